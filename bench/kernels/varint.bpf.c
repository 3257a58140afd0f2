/* SPDX-License-Identifier: MIT */
/* Numbers of 7 bits a byte, as protocol buffers have them. */
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "kernel.h"

#define BYTES_MAX 320

SEC("table/kernel")
__u32 varint(struct kernel *kernel, __u32 key)
{
    const __u8 *at = kernel->data, *end = kernel->data_end;
    __u64 number = 0, sum = 0;
    __u32 shift = 0, count = 0;

    for (int i = 0; i < BYTES_MAX && at + 1 <= end; i++, at++) {
        number |= (__u64)(*at & 127) << shift;
        if (*at & 128) {
            shift = (shift + 7) & 63;
            continue;
        }
        sum += number >> 1 ^ -(number & 1);
        number = 0;
        shift = 0;
        count++;
    }
    kernel->result = sum;
    return count;
}
