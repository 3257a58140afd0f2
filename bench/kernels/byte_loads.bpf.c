/* SPDX-License-Identifier: MIT */
/* Fields of 2, 4 and 8 bytes in network order, byte by byte at any alignment, as portable parsers read them. */
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "kernel.h"

#define RECORDS_MAX 24
#define RECORD_SIZE 15

static __always_inline __u32 read_be16(const __u8 *at)
{
    return (__u32)at[0] << 8 | at[1];
}

static __always_inline __u32 read_be32(const __u8 *at)
{
    return (__u32)at[0] << 24 | (__u32)at[1] << 16 | (__u32)at[2] << 8 | at[3];
}

static __always_inline __u64 read_be64(const __u8 *at)
{
    return (__u64)read_be32(at) << 32 | read_be32(at + 4);
}

SEC("table/kernel")
__u32 byte_loads(struct kernel *kernel, __u32 key)
{
    const __u8 *at = kernel->data, *end = kernel->data_end;
    __u64 sum = 0;
    __u32 words = 0, halves = 0;

    for (int i = 0; i < RECORDS_MAX && at + RECORD_SIZE <= end; i++, at += RECORD_SIZE) {
        halves += read_be16(at + 1);
        words ^= read_be32(at + 3);
        sum += read_be64(at + 7);
    }
    kernel->result = sum;
    return words + halves;
}
