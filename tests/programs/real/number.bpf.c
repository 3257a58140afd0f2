/* SPDX-License-Identifier: MIT */
/*
 * A number in the way of C: decimal, 0x... or 0..., with a sign: value is the number, the verdict the characters
 * that it takes.  0 if there is none, or if it is too large for 63 bits to be sure.
 *
 * expect: packet="0" -> 1
 * expect: packet="42" -> 2 value=42
 * expect: packet="-42," -> 3 value=0xffffffffffffffd6
 * expect: packet="+7 " -> 2 value=7
 * expect: packet="0x1F;" -> 4 value=31
 * expect: packet="0XdeadBEEFcafe" -> 14 value=0xdeadbeefcafe
 * expect: packet="0777" -> 4 value=511
 * expect: packet="089" -> 1
 * expect: packet="-0x10" -> 5 value=0xfffffffffffffff0
 * expect: packet="576460752303423487" -> 18 value=0x7ffffffffffffff
 * expect: packet=30+78+37+66*15 -> 18 value=0x7fffffffffffffff
 * expect: packet= -> 0
 * expect: packet="-" -> 0
 * expect: packet="x1" -> 0
 * expect: packet="0x" -> 0
 * expect: packet="0xg" -> 0
 * expect: packet="+ 1" -> 0
 * expect: packet=39*20 -> 0
 * expect: packet=30+78+38+30*16 -> 0
 */
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "../packet.h"

#define DIGITS_MAX 24

static __always_inline __u32 digit(__u8 character)
{
    if (character >= '0' && character <= '9')
        return character - '0';
    if (character >= 'a' && character <= 'f')
        return character - 'a' + 10;
    if (character >= 'A' && character <= 'F')
        return character - 'A' + 10;
    return 16;
}

static __noinline __u32 read_digits(struct packet *packet, __u32 from, __u32 base)
{
    const __u8 *at = packet->data + (from & 7), *end = packet->data_end;
    __u64 value = 0;
    __u32 i;

    for (i = 0; i < DIGITS_MAX; i++, at++) {
        __u32 next;

        if (at + 1 > end)
            break;
        next = digit(*at);
        if (next >= base)
            break;
        if (value >> 59)
            return 0;
        value = value * base + next;
    }
    packet->value = value;
    return i;
}

SEC("table/packet")
__u32 number(struct packet *packet, __u32 key)
{
    const __u8 *at = packet->data, *end = packet->data_end;
    __u32 base = 10, skip = 0, digits;
    __u8 sign = 0;

    if (at + 1 > end)
        return 0;
    if (*at == '-' || *at == '+') {
        sign = *at;
        skip = 1;
        at++;
    }
    if (at + 2 <= end && at[0] == '0' && (at[1] | 32) == 'x') {
        base = 16;
        skip += 2;
    } else if (at + 1 <= end && at[0] == '0') {
        base = 8;
    }
    digits = read_digits(packet, skip, base);
    if (digits == 0)
        return 0;
    if (sign == '-')
        packet->value = -packet->value;
    return skip + digits;
}
