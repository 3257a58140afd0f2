/* SPDX-License-Identifier: MIT */
/* Each byte through a table in .data, which is read again for every byte. */
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "kernel.h"

#define BYTES_MAX 512

__u8 table[256] = { 7, 3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3, 2, 3, 8, 4, 6, 2, 6, 4, 3, 3, 8, 3, 2, 7, 9, 5 };

SEC("table/kernel")
__u32 translate(struct kernel *kernel, __u32 key)
{
    const __u8 *at = kernel->data, *end = kernel->data_end;
    __u32 sum = 0;

    for (int i = 0; i < BYTES_MAX && at + 1 <= end; i++, at++)
        sum = sum * 3 + table[*at];
    return sum;
}
