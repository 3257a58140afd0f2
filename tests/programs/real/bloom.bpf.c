/* SPDX-License-Identifier: MIT */
/*
 * A Bloom filter of 1,024 bits with 3 hash functions: was the number in value seen before?  The verdict is 1
 * (perhaps) or 0 (surely not), status the bits that are set by now; size 0 forgets all.
 *
 * expect: value=1 size=1 -> 0 status=3
 * expect: value=2 size=1 -> 0 status=6
 * expect: value=1 size=1 -> 1 status=6
 * expect: value=3 size=1 -> 0 status=9
 * expect: value=2 size=1 -> 1 status=9
 * expect: value=0 size=1 -> 0 status=10
 * expect: value=0 -> 0
 * expect: value=1 size=1 -> 0 status=3
 * expect: value=1 size=1 -> 1 status=3
 * expect: value=0xffffffffffffffff size=1 -> 0 status=6
 */
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "../packet.h"

#define WORDS 16
#define HASHES 3

static __u64 filter[WORDS];
static __u32 set;

static __always_inline __u64 scatter(__u64 x)
{
    x = (x ^ x >> 33) * 0xff51afd7ed558ccd;
    x = (x ^ x >> 33) * 0xc4ceb9fe1a85ec53;
    return x ^ x >> 33;
}

static __noinline __u32 test_and_set(__u32 bit)
{
    __u64 *word = &filter[bit / 64 % WORDS], mask = 1ull << bit % 64;

    if (*word & mask)
        return 1;
    *word |= mask;
    set++;
    return 0;
}

SEC("table/packet")
__u32 bloom(struct packet *packet, __u32 key)
{
    __u64 hash = scatter(packet->value);
    __u32 known = 1;

    if (packet->size == 0) {
        __builtin_memset(filter, 0, sizeof(filter));
        set = 0;
        return 0;
    }
    for (int i = 0; i < HASHES; i++, hash >>= 16)
        known &= test_and_set(hash & 1023);
    packet->status = set;
    return known;
}
