/* SPDX-License-Identifier: MIT */
/*
 * The most frequent of the eight digits 0 to 7 among the packet's first 32 bytes, counted in the bytes of one number.
 * (Compilers find such a byte of the stack by "or", as eight bytes of a stack begin at a multiple of eight.)
 *
 * expect: packet= -> 0 value=0
 * expect: packet="7" -> 7 value=0x100000000000000
 * expect: packet="0123456701234567" -> 0 value=0x202020202020202
 * expect: packet="1252" -> 2 value=0x10000020100
 * expect: packet="89a34"+33*30 -> 3 value=0x11c000000
 */
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "../packet.h"

#define BYTES_MAX 32
#define DIGITS 8

SEC("table/packet")
__u32 digits(struct packet *packet, __u32 key)
{
    const __u8 *data = packet->data, *end = packet->data_end;
    union {
        __u64 all;
        __u8 of[DIGITS];
    } count = { .all = 0 };
    __u32 most = 0;

    for (__u32 i = 0; i < BYTES_MAX && data + i + 1 <= end; i++)
        if (data[i] >= '0' && data[i] <= '7')
            count.of[data[i] & 7]++;
    for (__u32 digit = 1; digit < DIGITS; digit++)
        if (count.of[digit] > count.of[most & 7])
            most = digit;
    packet->value = count.all;
    return most;
}
