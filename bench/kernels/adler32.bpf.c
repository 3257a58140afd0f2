/* SPDX-License-Identifier: MIT */
/* Adler-32: two sums and two remainders. */
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "kernel.h"

#define BYTES_MAX 512

SEC("table/kernel")
__u32 adler32(struct kernel *kernel, __u32 key)
{
    const __u8 *at = kernel->data, *end = kernel->data_end;
    __u32 low = 1, high = 0;

    for (int i = 0; i < BYTES_MAX && at + 1 <= end; i++, at++) {
        low += *at;
        high += low;
    }
    return high % 65521 << 16 | low % 65521;
}
