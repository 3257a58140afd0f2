/* SPDX-License-Identifier: MIT */
/* MurmurHash3 with words put together from bytes, as portable code does. */
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "kernel.h"

#define WORDS_MAX 64

static __always_inline __u32 rotate(__u32 word, unsigned bits)
{
    return word << bits | word >> (32 - bits);
}

static __always_inline __u32 read_le32(const __u8 *at)
{
    return at[0] | (__u32)at[1] << 8 | (__u32)at[2] << 16 | (__u32)at[3] << 24;
}

SEC("table/kernel")
__u32 murmur3(struct kernel *kernel, __u32 key)
{
    const __u8 *at = kernel->data, *end = kernel->data_end;
    __u32 hash = key;

    for (int i = 0; i < WORDS_MAX && at + 4 <= end; i++, at += 4) {
        hash ^= rotate(read_le32(at) * 0xcc9e2d51, 15) * 0x1b873593;
        hash = rotate(hash, 13) * 5 + 0xe6546b64;
    }
    hash = (hash ^ hash >> 16) * 0x85ebca6b;
    hash = (hash ^ hash >> 13) * 0xc2b2ae35;
    return hash ^ hash >> 16;
}
