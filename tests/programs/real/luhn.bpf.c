/* SPDX-License-Identifier: MIT */
/*
 * Card numbers in text: how many runs of 13 to 19 digits (spaces and dashes between them do not count) have the
 * right check digit by Luhn's rule, in the packet's first 40 bytes.  status is where the last one ends.
 *
 * expect: packet="4111 1111 1111 1111" -> 1 status=19
 * expect: packet="4111-1111-1111-1112" -> 0
 * expect: packet="card: 5500005555555559." -> 1 status=22
 * expect: packet="378282246310005, 6011111111111117" -> 2 status=33
 * expect: packet="4"+"1"*11 -> 0
 * expect: packet="4"+"2"*12 -> 1 status=13
 * expect: packet="0"*19 -> 1 status=19
 * expect: packet="0"*20 -> 0
 * expect: packet= -> 0
 * expect: packet="no digits here" -> 0
 * expect: packet="4111111111111111"+00+"4111111111111111" -> 1 status=16
 * expect: packet="x"*24+"4111111111111111" -> 1 status=40
 * expect: packet="x"*25+"4111111111111111" -> 0
 */
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "../packet.h"

#define BYTES_MAX 40
#define DIGITS_MIN 13
#define DIGITS_MAX 19

SEC("table/packet")
__u32 luhn(struct packet *packet, __u32 key)
{
    const __u8 *data = packet->data, *end = packet->data_end;
    /* The sums of both ways to double every second digit: which is right shows at the end. */
    __u32 doubled = 0, plain = 0, digits = 0, found = 0;

    for (__u32 i = 0; i <= BYTES_MAX; i++) {
        __u8 byte = i < BYTES_MAX && data + i + 1 <= end ? data[i] : 0;

        if (byte >= '0' && byte <= '9') {
            __u32 digit = byte - '0', twice = digit * 2 > 9 ? digit * 2 - 9 : digit * 2, other = doubled;

            doubled = plain + twice;
            plain = other + digit;
            digits += digits <= DIGITS_MAX;
            continue;
        }
        if ((byte == ' ' || byte == '-') && digits > 0)
            continue;
        if (digits >= DIGITS_MIN && digits <= DIGITS_MAX && plain % 10 == 0) {
            found++;
            packet->status = i;
        }
        doubled = plain = digits = 0;
        if (byte == 0)
            break;
    }
    return found;
}
