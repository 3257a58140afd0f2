/* SPDX-License-Identifier: MIT */
/* xxHash64's four lanes over 256 bytes: rotates and multiplications that do not wait for each other. */
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "kernel.h"

#define STRIPES_MAX 8

#define PRIME1 0x9e3779b185ebca87
#define PRIME2 0xc2b2ae3d27d4eb4f

static __always_inline __u64 rotate(__u64 word, unsigned bits)
{
    return word << bits | word >> (64 - bits);
}

static __always_inline __u64 lane(__u64 sum, __u64 word)
{
    return rotate(sum + word * PRIME2, 31) * PRIME1;
}

SEC("table/kernel")
__u32 xxhash(struct kernel *kernel, __u32 key)
{
    const __u8 *at = kernel->data, *end = kernel->data_end;
    __u64 a = key + PRIME1 + PRIME2, b = key + PRIME2, c = key, d = key - PRIME1, hash;

    for (int i = 0; i < STRIPES_MAX && at + 32 <= end; i++, at += 32) {
        const __u64 *word = (const void *)at;

        a = lane(a, word[0]);
        b = lane(b, word[1]);
        c = lane(c, word[2]);
        d = lane(d, word[3]);
    }
    hash = rotate(a, 1) + rotate(b, 7) + rotate(c, 12) + rotate(d, 18);
    hash = (hash ^ hash >> 33) * PRIME2;
    kernel->result = hash ^ hash >> 29;
    return (__u32)kernel->result;
}
