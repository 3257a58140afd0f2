/* SPDX-License-Identifier: MIT */
/*
 * A machine with a stack, whose code is the packet: `0` to `9` push a digit, `+ - * / %` and `<` take two and push
 * one, `d` doubles the top, `x` exchanges the upper two, `.` ends with the top as the verdict.  status is 0, 1 (the
 * stack is too small or full), 2 (division by zero), 3 (no such instruction) or 4 (no end).
 *
 * expect: packet="12+." -> 3
 * expect: packet="93-4*5/." -> 4
 * expect: packet="35-." -> 0xfffffffe
 * expect: packet="12<21<." -> 0
 * expect: packet="5d*." -> 25
 * expect: packet="72x-." -> 0xfffffffb
 * expect: packet="97%." -> 2
 * expect: packet="+" -> 0 status=1
 * expect: packet="." -> 0 status=1
 * expect: packet="1." -> 1
 * expect: packet="12345678." -> 8
 * expect: packet="123456789." -> 0 status=1
 * expect: packet="12345678d." -> 0 status=1
 * expect: packet="12345678x." -> 7
 * expect: packet="10/." -> 0 status=2
 * expect: packet="10%." -> 0 status=2
 * expect: packet="11?" -> 0 status=3
 * expect: packet="12" -> 0 status=4
 * expect: packet= -> 0 status=4
 * expect: packet="9d*d*d*d*." -> 0xe21e3e81
 * expect: packet="1"+"d+"*15+"." -> 32768
 * expect: packet="1"+"d+"*23+"." -> 8388608
 * expect: packet="1"+"d+"*24+"." -> 0 status=4
 */
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "../packet.h"

#define STEPS_MAX 48
#define DEPTH_MAX 8

enum status { DONE, STACK, DIVISION, UNKNOWN, ENDLESS };

SEC("table/packet")
__u32 calculator(struct packet *packet, __u32 key)
{
    const __u8 *at = packet->data, *end = packet->data_end;
    __u32 slot[DEPTH_MAX] = { 0 };
    __u32 depth = 0;

    for (int i = 0; i < STEPS_MAX && at + 1 <= end; i++, at++) {
        __u8 code = *at;
        __u32 needed = code == '.' || code == 'd' ? 1 : code >= '0' && code <= '9' ? 0 : 2;
        __u32 top, below;

        if (depth < needed || depth > DEPTH_MAX || (needed < 2 && code != '.' && depth == DEPTH_MAX)) {
            packet->status = STACK;
            return 0;
        }
        top = slot[(depth - 1) & (DEPTH_MAX - 1)];
        below = slot[(depth - 2) & (DEPTH_MAX - 1)];
        depth -= needed;
        switch (code) {
        case '0' ... '9':
            top = code - '0';
            break;
        case '+':
            top = below + top;
            break;
        case '-':
            top = below - top;
            break;
        case '*':
            top = below * top;
            break;
        case '/':
        case '%':
            if (top == 0) {
                packet->status = DIVISION;
                return 0;
            }
            top = code == '/' ? below / top : below % top;
            break;
        case '<':
            top = below < top;
            break;
        case 'd':
            slot[depth++ & (DEPTH_MAX - 1)] = top;
            break;
        case 'x':
            slot[depth++ & (DEPTH_MAX - 1)] = top;
            top = below;
            break;
        case '.':
            packet->status = DONE;
            return top;
        default:
            packet->status = UNKNOWN;
            return 0;
        }
        slot[depth++ & (DEPTH_MAX - 1)] = top;
    }
    packet->status = ENDLESS;
    return 0;
}
