/* SPDX-License-Identifier: MIT */
/* Functions whose addresses are passed on: a static one and a global one. */
#include "packet.h"
#include <bpf/bpf_helpers.h>

struct sum {
    __u64 total;
};

static __noinline __u64 square(__u64 number)
{
    return number * number;
}

static long add_square(__u32 index, void *context)
{
    struct sum *sum = context;

    sum->total += square(index);
    return 0;
}

long add_index(__u32 index, void *context)
{
    struct sum *sum = context;

    sum->total += index;
    return 0;
}

PROGRAM(sums)(struct packet *packet, __u32 key)
{
    struct sum sum = { 0 };

    bpf_loop(key & 15, add_square, &sum, 0);
    bpf_loop(key & 7, add_index, &sum, 0);
    packet->value = sum.total;
    return (__u32)sum.total;
}
