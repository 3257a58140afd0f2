/* SPDX-License-Identifier: MIT */
/* Data in memory: tables, strings, variables with and without a first value, in sections of their own too. */
#include "packet.h"
#include <bpf/bpf_helpers.h>

struct pair {
    __u32 low, high;
};

static const volatile __u32 primes[4] = { 2, 3, 5, 7 };
const volatile struct pair pairs[3] = { { 1, 2 }, { 3, 4 }, { 5, 6 } };
static const volatile char greeting[] = "hello";
static const volatile __u8 separate[2] SEC(".rodata.separate") = { 0xaa, 0xbb };

__u64 zero;
static volatile __u32 unused_between[7];
static volatile __u16 zeros[5];
__u32 started = 0x11223344;
static volatile __u8 ramp[4] = { 10, 20, 30, 40 };

/* A table in the code: the compiler makes an array of the cases. */
static __noinline __u32 from_switch(__u32 key)
{
    switch (key) {
    case 0:
        return 1123;
    case 1:
        return 77777;
    case 2:
        return 12;
    case 3:
        return 987654;
    case 4:
        return 31415926;
    case 5:
        return 4;
    case 6:
        return 99;
    default:
        return 5;
    }
}

PROGRAM(reads)(struct packet *packet, __u32 key)
{
    return primes[key & 3] + pairs[key & 1].high + (__u32)greeting[1] + separate[key & 1];
}

PROGRAM(writes)(struct packet *packet, __u32 key)
{
    zero += key;
    zeros[3]++;
    unused_between[0] = key;
    started ^= ramp[key & 3];
    return started;
}

PROGRAM(switches)(struct packet *packet, __u32 key)
{
    return from_switch(key);
}

/* What the compiler itself puts in memory, in sections that linkers merge. */
PROGRAM(literals)(struct packet *packet, __u32 key)
{
    static const __u32 squares[8] = { 0, 1, 4, 9, 16, 25, 36, 49 };
    const char *text = packet->size > 4 ? "dispatch" : "programs";

    return (__u32)text[key & 7] + squares[packet->status & 7];
}

PROGRAM(no_data)(struct packet *packet, __u32 key)
{
    return key;
}
