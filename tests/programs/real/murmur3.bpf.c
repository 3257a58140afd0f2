/* SPDX-License-Identifier: MIT */
/*
 * MurmurHash3, 32 bits, of the packet's first 256 bytes; the key is the seed.
 *
 * expect: packet= key=0 -> 0
 * expect: packet= key=1 -> 0x514e28b7
 * expect: packet= key=4294967295 -> 0x81f16f39
 * expect: packet="test" key=2538058380 -> 0x704b81dc
 * expect: packet="Hello, world!" key=2538058380 -> 0x24884cba
 * expect: packet=616263 key=0 -> 0xb3dd93fa
 * expect: packet=ff*255 key=0 -> 0xfeed3756
 * expect: packet=ff*256 key=0 -> 0x4eb2f06d
 * expect: packet=ff*257 key=0 -> 0x4eb2f06d
 */
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "../packet.h"

#define WORDS_MAX 64

static __always_inline __u32 rotate(__u32 word, unsigned bits)
{
    return word << bits | word >> (32 - bits);
}

static __always_inline __u32 scramble(__u32 word)
{
    return rotate(word * 0xcc9e2d51, 15) * 0x1b873593;
}

SEC("table/packet")
__u32 murmur3(struct packet *packet, __u32 key)
{
    const __u8 *at = packet->data, *end = packet->data_end;
    __u32 hash = key, length = 0, word = 0;

    for (int i = 0; i < WORDS_MAX && at + 4 <= end; i++, at += 4, length += 4) {
        hash ^= scramble(*(const __u32 *)at);
        hash = rotate(hash, 13) * 5 + 0xe6546b64;
    }
    for (int i = 0; i < 3 && length < 4 * WORDS_MAX && at + 1 <= end; i++, at++, length++)
        word |= (__u32)*at << 8 * i;
    hash ^= scramble(word) ^ length;
    hash = (hash ^ hash >> 16) * 0x85ebca6b;
    hash = (hash ^ hash >> 13) * 0xc2b2ae35;
    return hash ^ hash >> 16;
}
