/* SPDX-License-Identifier: MIT */
/*
 * At most `limit` requests in any `window` ms, by the two counters of the usual estimate: those of the window that
 * runs, and those of the one before, weighed with how much of it still counts.  The key is the client, value the time
 * in ms.  The verdict is 1 (pass) or 0; status the estimate, with this request if it passes.
 *
 * expect: key=1 value=1000 -> 1 status=1
 * expect: key=1 value=1001 -> 1 status=2
 * expect: key=1 value=1002 -> 1 status=3
 * expect: key=1 value=1500 -> 1 status=4
 * expect: key=1 value=1999 -> 0 status=4
 * expect: key=2 value=1999 -> 1 status=1
 * expect: key=1 value=2000 -> 0 status=4
 * expect: key=1 value=2250 -> 1 status=4
 * expect: key=1 value=2251 -> 0 status=4
 * expect: key=1 value=2500 -> 1 status=4
 * expect: key=1 value=4000 -> 1 status=1
 * expect: key=1 value=9999 -> 1 status=1
 */
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "../packet.h"

const volatile __u32 limit = 4;
const volatile __u32 window = 1000;

struct counters {
    __u64 number;               /* of the window that `now` counts */
    __u32 now, before;
};

struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 1024);
    __type(key, __u32);
    __type(value, struct counters);
} clients SEC(".maps");

static void advance(struct counters *counters, __u64 number)
{
    if (counters->number == number)
        return;
    counters->before = counters->number + 1 == number ? counters->now : 0;
    counters->now = 0;
    counters->number = number;
}

SEC("table/packet")
__u32 sliding_window(struct packet *packet, __u32 key)
{
    struct counters *found = bpf_map_lookup_elem(&clients, &key), counters = { 0 };
    __u64 length = window, left;
    __u32 estimate, pass;

    if (length == 0)
        return 0;
    if (found)
        counters = *found;
    advance(&counters, packet->value / length);
    left = length - packet->value % length;
    estimate = counters.now + (counters.before * left + length - 1) / length;
    pass = estimate < limit;
    counters.now += pass;
    packet->status = estimate + pass;
    bpf_map_update_elem(&clients, &key, &counters, BPF_ANY);
    return pass;
}
