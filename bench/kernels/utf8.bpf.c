/* SPDX-License-Identifier: MIT */
/* Is the text UTF-8?  As strict as RFC 3629. */
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "kernel.h"

#define BYTES_MAX 400

SEC("table/kernel")
__u32 utf8(struct kernel *kernel, __u32 key)
{
    const __u8 *at = kernel->data, *end = kernel->data_end;
    __u32 characters = 0, left = 0;
    __u8 low = 0x80, high = 0xbf;

    for (int i = 0; i < BYTES_MAX && at + 1 <= end; i++, at++) {
        __u8 byte = *at;

        if (left > 0) {
            if (byte < low || byte > high)
                return ~0u;
            low = 0x80;
            high = 0xbf;
            left--;
            continue;
        }
        characters++;
        if (byte < 0x80)
            continue;
        if (byte < 0xc2 || byte > 0xf4)
            return ~0u;
        left = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
        low = byte == 0xe0 ? 0xa0 : byte == 0xf0 ? 0x90 : 0x80;
        high = byte == 0xed ? 0x9f : byte == 0xf4 ? 0x8f : 0xbf;
    }
    return left == 0 ? characters : ~0u;
}
