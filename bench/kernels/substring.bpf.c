/* SPDX-License-Identifier: MIT */
/* The text searched for a word, byte by byte. */
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "kernel.h"

#define TEXT_MAX 400

SEC("table/kernel")
__u32 substring(struct kernel *kernel, __u32 key)
{
    const __u8 *at = kernel->data, *end = kernel->data_end;

    for (__u32 i = 0; i < TEXT_MAX && at + 6 <= end; i++, at++)
        if (at[0] == 'C' && at[1] == 'o' && at[2] == 'o' && at[3] == 'k' && at[4] == 'i' && at[5] == 'e')
            return i;
    return ~0u;
}
