/* SPDX-License-Identifier: MIT */
/* Bits counted, reversed, spread and found, of each of 32 words. */
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "kernel.h"

#define WORDS 32

static __always_inline __u64 count(__u64 x)
{
    x -= x >> 1 & 0x5555555555555555;
    x = (x & 0x3333333333333333) + (x >> 2 & 0x3333333333333333);
    x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0f;
    return x * 0x0101010101010101 >> 56;
}

static __always_inline __u64 spread(__u64 x)
{
    x &= 0xffffffff;
    x = (x | x << 16) & 0x0000ffff0000ffff;
    x = (x | x << 8) & 0x00ff00ff00ff00ff;
    x = (x | x << 4) & 0x0f0f0f0f0f0f0f0f;
    x = (x | x << 2) & 0x3333333333333333;
    return (x | x << 1) & 0x5555555555555555;
}

SEC("table/kernel")
__u32 bits(struct kernel *kernel, __u32 key)
{
    const __u8 *at = kernel->data, *end = kernel->data_end;
    __u64 sum = key;

    for (int i = 0; i < WORDS && at + 8 <= end; i++, at += 8) {
        __u64 x = *(const __u64 *)at;

        sum += count(x) + count(~x & (x - 1));
        sum ^= spread(x) | spread(x >> 32) << 1;
        sum += __builtin_bswap64(x & -x);
    }
    kernel->result = sum;
    return (__u32)sum;
}
