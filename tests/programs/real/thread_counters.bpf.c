/* SPDX-License-Identifier: MIT */
/*
 * Packets and bytes by protocol (the key), counted by each thread for itself, so that none waits for another and no
 * cache line is shared.  The verdict is how many packets this thread has seen of the protocol, value their bytes; size
 * is the bytes of this one.  There is room for four protocols; the verdict of others is 0.
 *
 * expect: key=6 size=100 -> 1 value=100
 * expect: key=17 size=8 -> 1 value=8
 * expect: key=6 size=1000 -> 2 value=1100
 * expect: key=1 size=1 -> 1 value=1
 * expect: key=58 size=1 -> 1 value=1
 * expect: key=47 size=1 -> 0
 * expect: key=17 size=9 -> 2 value=17
 */
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "../packet.h"

struct counters {
    __u64 packets, bytes;
};

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_HASH);
    __uint(max_entries, 4);
    __type(key, __u32);
    __type(value, struct counters);
} protocols SEC(".maps");

SEC("table/packet")
__u32 thread_counters(struct packet *packet, __u32 key)
{
    struct counters *counters = bpf_map_lookup_elem(&protocols, &key), none = { 0 };

    if (!counters) {
        bpf_map_update_elem(&protocols, &key, &none, BPF_NOEXIST);
        counters = bpf_map_lookup_elem(&protocols, &key);
    }
    if (!counters)
        return 0;
    counters->packets++;
    counters->bytes += packet->size;
    packet->value = counters->bytes;
    return counters->packets;
}
