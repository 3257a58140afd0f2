/* SPDX-License-Identifier: MIT */
/*
 * At most `limit` requests at once for each backend, which is the number in value; there are 8 of them.  Key 0: one
 * begins; the verdict is 1 if it may.  Key 1: one ends.  status is how many are under way then.
 *
 * expect: key=0 value=3 -> 1 status=1
 * expect: key=0 value=3 -> 1 status=2
 * expect: key=0 value=3 -> 0 status=2
 * expect: key=0 value=4 -> 1 status=1
 * expect: key=1 value=3 -> 1 status=1
 * expect: key=0 value=3 -> 1 status=2
 * expect: key=0 value=8 -> 0
 * with: limit=1
 * expect: key=0 value=7 -> 1 status=1
 * expect: key=0 value=7 -> 0 status=1
 * expect: key=1 value=7 -> 1 status=0
 */
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "../packet.h"

const volatile __u32 limit = 2;

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 8);
    __type(key, __u32);
    __type(value, __u64);
} under_way SEC(".maps");

SEC("table/packet")
__u32 in_flight(struct packet *packet, __u32 key)
{
    __u32 backend = packet->value, pass = 1;
    __u64 *count = bpf_map_lookup_elem(&under_way, &backend);

    if (!count)
        return 0;
    if (key == 0 && *count >= limit)
        pass = 0;
    else
        __sync_fetch_and_add(count, key == 0 ? 1 : -1);
    packet->status = *count;
    return pass;
}
