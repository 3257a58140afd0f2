/* SPDX-License-Identifier: MIT */
/*
 * The median of 9 bytes, sorted on the stack by insertion; value has the 8 smallest in order, the first the highest.
 *
 * expect: packet=000102030405060708 -> 4 value=0x1020304050607
 * expect: packet=080706050403020100 -> 4 value=0x1020304050607
 * expect: packet=05*9 -> 5 value=0x505050505050505
 * expect: packet=c801ff000707098003 -> 7 value=0x10307070980c8
 * expect: packet=00ff00ff00ff00ff00+"tail" -> 0 value=16777215
 * expect: packet=01*8 -> 0
 */
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "../packet.h"

#define COUNT 9

SEC("table/packet")
__u32 median(struct packet *packet, __u32 key)
{
    const __u8 *data = packet->data;
    __u8 sorted[COUNT];
    __u64 smallest = 0;

    if (data + COUNT > packet->data_end)
        return 0;
    for (int i = 0; i < COUNT; i++) {
        int place = i;

        for (; place > 0 && sorted[place - 1] > data[i]; place--)
            sorted[place] = sorted[place - 1];
        sorted[place] = data[i];
    }
    for (int i = 0; i < 8; i++)
        smallest = smallest << 8 | sorted[i];
    packet->value = smallest;
    return sorted[COUNT / 2];
}
