/* SPDX-License-Identifier: MIT */
/*
 * Counters that many workers add to: packets and bytes of each of 8 keys, atomically.  The verdict is the number of
 * packets of this key so far, value its bytes, status the packets of all keys.
 *
 * expect: packet=00*10 key=0 -> 1 value=10 status=101
 * expect: packet=0000000000 key=0 -> 2 value=15 status=102
 * expect: packet=00 key=7 -> 1 value=1 status=103
 * expect: packet= key=8 -> 3 value=15 status=104
 * expect: packet=00*64 key=7 -> 2 value=65 status=105
 * expect: packet=0000 key=15 -> 3 value=67 status=106
 */
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "../packet.h"

#define KEYS 8

static struct counter {
    __u64 packets;
    __u64 bytes;
} counters[KEYS];

__u32 total = 100;              /* where it starts is in the object */

SEC("table/packet")
__u32 statistics(struct packet *packet, __u32 key)
{
    struct counter *counter = &counters[key & (KEYS - 1)];

    __sync_fetch_and_add(&counter->packets, 1);
    __sync_fetch_and_add(&counter->bytes, packet->data_end - packet->data);
    __sync_fetch_and_add(&total, 1);
    packet->value = counter->bytes;
    packet->status = total;
    return counter->packets;
}
