/* SPDX-License-Identifier: MIT */
/* CRC-32, half a byte at a time by a table of 16 words. */
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "kernel.h"

#define BYTES_MAX 256

static const __u32 low[16] = {
    0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
    0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
};

SEC("table/kernel")
__u32 crc32(struct kernel *kernel, __u32 key)
{
    const __u8 *at = kernel->data, *end = kernel->data_end;
    __u32 crc = ~key;

    for (int i = 0; i < BYTES_MAX && at + 1 <= end; i++, at++) {
        crc ^= *at;
        crc = crc >> 4 ^ low[crc & 15];
        crc = crc >> 4 ^ low[crc & 15];
    }
    return ~crc;
}
