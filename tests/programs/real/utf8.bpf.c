/* SPDX-License-Identifier: MIT */
/*
 * Is the packet's text (its first 128 bytes) UTF-8, as RFC 3629 has it?  The verdict is the number of characters;
 * status is 0, or 1 plus the position of the byte that is wrong or missing.
 *
 * expect: packet="abc" -> 3
 * expect: packet=4772c3bcc39f652c20e4b896e7958c20f09f9982 -> 11
 * expect: packet= -> 0
 * expect: packet=80 -> 0 status=1
 * expect: packet=c080 -> 0 status=1
 * expect: packet=c1bf -> 0 status=1
 * expect: packet=c3 -> 0 status=2
 * expect: packet=c328 -> 0 status=2
 * expect: packet=e08080 -> 0 status=2
 * expect: packet=e0a080 -> 1
 * expect: packet=ed9fbf -> 1
 * expect: packet=eda080 -> 0 status=2
 * expect: packet=f08fbfbf -> 0 status=2
 * expect: packet=f0908080 -> 1
 * expect: packet=f48fbfbf -> 1
 * expect: packet=f4908080 -> 0 status=2
 * expect: packet=f5808080 -> 0 status=1
 * expect: packet=6f6be4b8 -> 2 status=5
 * expect: packet=6f6be4b878 -> 2 status=5
 * expect: packet=61*128+ff -> 128
 * expect: packet=61*127+c3a4 -> 127 status=129
 */
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "../packet.h"

#define BYTES_MAX 128

SEC("table/packet")
__u32 utf8(struct packet *packet, __u32 key)
{
    const __u8 *at = packet->data, *end = packet->data_end;
    __u32 characters = 0, left = 0, i;
    __u8 low = 0x80, high = 0xbf;       /* which the next byte of a sequence may be */

    for (i = 0; i < BYTES_MAX && at + 1 <= end; i++, at++) {
        __u8 byte = *at;

        if (left > 0) {
            if (byte < low || byte > high)
                break;
            low = 0x80;
            high = 0xbf;
            if (--left == 0)
                characters++;
        } else if (byte < 0x80) {
            characters++;
        } else if (byte >= 0xc2 && byte <= 0xdf) {
            left = 1;
        } else if ((byte & 0xf0) == 0xe0) {
            left = 2;
            if (byte == 0xe0)
                low = 0xa0;             /* less would be a longer form than needed */
            if (byte == 0xed)
                high = 0x9f;            /* more would be a surrogate */
        } else if (byte >= 0xf0 && byte <= 0xf4) {
            left = 3;
            if (byte == 0xf0)
                low = 0x90;
            if (byte == 0xf4)
                high = 0x8f;            /* more would be above U+10FFFF */
        } else {
            break;
        }
    }
    if (left > 0 || (i < BYTES_MAX && at + 1 <= end))
        packet->status = i + 1;
    return characters;
}
