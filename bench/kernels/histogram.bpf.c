/* SPDX-License-Identifier: MIT */
/* Nibbles counted on the stack, at places that the data decides. */
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "kernel.h"

#define BYTES_MAX 256

SEC("table/kernel")
__u32 histogram(struct kernel *kernel, __u32 key)
{
    const __u8 *at = kernel->data, *end = kernel->data_end;
    __u16 count[16] = { 0 };
    __u32 most = 0;

    for (int i = 0; i < BYTES_MAX && at + 1 <= end; i++, at++) {
        count[*at >> 4]++;
        count[*at & 15]++;
    }
    for (int i = 0; i < 16; i++)
        if (count[i] > most)
            most = count[i];
    return most;
}
