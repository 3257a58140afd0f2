/* SPDX-License-Identifier: MIT */
/*
 * Adler-32 (RFC 1950) of the packet's first 512 bytes.
 *
 * expect: packet= -> 1
 * expect: packet="123456789" -> 0x91e01de
 * expect: packet=61 -> 6422626
 * expect: packet=00*32 -> 2097153
 * expect: packet=ff*512 -> 0x1ef1fe10
 * expect: packet="The quick brown fox jumps over the lazy dog" -> 0x5bdc0fda
 * expect: packet=ff*513 -> 0x1ef1fe10
 */
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "../packet.h"

#define BYTES_MAX 512
#define PRIME 65521

SEC("table/packet")
__u32 adler32(struct packet *packet, __u32 key)
{
    const __u8 *data = packet->data, *end = packet->data_end;
    __u32 low = 1, high = 0;

    for (__u32 i = 0; i < BYTES_MAX && data + i + 1 <= end; i++) {
        low += data[i];
        high += low;        /* below 2^32 for 5552 bytes, so that the remainder can wait */
    }
    return high % PRIME << 16 | low % PRIME;
}
