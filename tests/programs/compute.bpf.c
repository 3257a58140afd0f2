/* SPDX-License-Identifier: MIT */
/* Arithmetic, branches, loops over the packet, the stack; compiled for the host too, to compare. */
#include "packet.h"

#define BYTES_MAX 128

static NOINLINE __u32 crc32(const unsigned char *from, const unsigned char *end)
{
    __u32 crc = ~0u;

    for (int i = 0; i < BYTES_MAX && from + 1 <= end; i++, from++) {
        crc ^= *from;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

static NOINLINE __u64 fnv1a(const unsigned char *from, const unsigned char *end)
{
    __u64 hash = 0xcbf29ce484222325ull;

    for (int i = 0; i < BYTES_MAX && from + 1 <= end; i++, from++)
        hash = (hash ^ *from) * 0x100000001b3ull;
    return hash;
}

static NOINLINE __u64 divide(__u64 a, __u64 b, __u32 c, __u32 d)
{
    return a / (b | 1) + a % (b + 3) + c / (d | 1) * 17 + c % (d | 5);
}

/* A sorting network on the stack: eight slots, all offsets constant. */
#define SORT(i, j)                  \
    do {                            \
        if (slot[i] > slot[j]) {    \
            __u64 other = slot[i];  \
            slot[i] = slot[j];      \
            slot[j] = other;        \
        }                           \
    } while (0)

static NOINLINE __u64 median(__u64 seed)
{
    volatile __u64 slot[8];

    slot[0] = seed * 3;
    slot[1] = seed ^ 0x5555;
    slot[2] = seed >> 7;
    slot[3] = seed << 9;
    slot[4] = ~seed;
    slot[5] = seed + 99;
    slot[6] = (__u64)((long long)seed >> 3);
    slot[7] = seed % 1009;
    SORT(0, 2); SORT(1, 3); SORT(4, 6); SORT(5, 7);
    SORT(0, 4); SORT(1, 5); SORT(2, 6); SORT(3, 7);
    SORT(0, 1); SORT(2, 3); SORT(4, 5); SORT(6, 7);
    SORT(2, 4); SORT(3, 5);
    SORT(1, 4); SORT(3, 6);
    SORT(1, 2); SORT(3, 4); SORT(5, 6);
    return slot[3] ^ slot[0] << 1 ^ slot[7] >> 1;
}

PROGRAM(compute)(struct packet *packet, __u32 key)
{
    __u64 hash = fnv1a(packet->data, packet->data_end);
    __u32 crc = crc32(packet->data, packet->data_end);
    int balance = (int)crc >> 5;

    packet->value = hash ^ divide(hash, crc, crc, key) ^ median(hash);
    packet->status = crc;
    if (balance < -1000)
        packet->small = __builtin_bswap16((__u16)crc);
    else if (balance > 100000)
        packet->small = (__u16)(__builtin_bswap32(crc) >> 16);
    else
        packet->small = (__u16)(__builtin_bswap64(hash) >> 48);
    packet->tiny = (signed char)crc < 0 && key > 3 ? 1 : 2;
    return (__u32)(hash >> 32) ^ key;
}
