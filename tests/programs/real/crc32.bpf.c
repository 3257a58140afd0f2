/* SPDX-License-Identifier: MIT */
/*
 * CRC-32 as Ethernet and zip have it, of the packet's first 512 bytes, half a byte at a time with a table of 16 words.
 *
 * expect: packet= -> 0
 * expect: packet="123456789" -> 0xcbf43926
 * expect: packet=61 -> 0xe8b7be43
 * expect: packet=00*32 -> 0x190a55ad
 * expect: packet=ff*512 -> 0xbd7bc39f
 * expect: packet="The quick brown fox jumps over the lazy dog" -> 0x414fa339
 * expect: packet=ff*513 -> 0xbd7bc39f
 */
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "../packet.h"

#define BYTES_MAX 512

static const __u32 table[16] = {
    0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
    0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
};

SEC("table/packet")
__u32 crc32(struct packet *packet, __u32 key)
{
    const __u8 *at = packet->data, *end = packet->data_end;
    __u32 crc = ~0u;

    for (__u32 i = 0; i < BYTES_MAX; i++, at++) {
        if (at + 1 > end)
            break;
        crc ^= *at;
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}
