/* SPDX-License-Identifier: MIT */
/*
 * Leases that expire.  Key 0: the lease in value is taken, or renewed, until the time in size; the verdict is 1.  Key
 * 1: all whose time is before size are given back; the verdict is how many are left, status how many went.  Key 2:
 * those that begin with a name: the packet is compared with "lease:", the verdict is 1 if it begins so.
 *
 * expect: key=0 value=1 size=10 -> 1
 * expect: key=0 value=2 size=20 -> 1
 * expect: key=0 value=3 size=30 -> 1
 * expect: key=1 size=10 -> 3
 * expect: key=1 size=11 -> 2 status=1
 * expect: key=0 value=2 size=40 -> 1
 * expect: key=1 size=35 -> 1 status=1
 * expect: key=1 size=100 -> 0 status=1
 * expect: key=1 size=100 -> 0
 * expect: packet="lease:5" key=2 -> 1
 * expect: packet="leases:" key=2 -> 0
 */
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "../packet.h"

#define NAME 6                  /* bytes */

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 64);
    __type(key, __u64);
    __type(value, __u64);
} leases SEC(".maps");

struct sweep {
    __u64 now;
    __u32 left, gone;
};

static long look_at(void *map, const __u64 *lease, const __u64 *until, struct sweep *sweep)
{
    __u64 key = *lease;

    if (*until >= sweep->now)
        sweep->left++;
    else if (bpf_map_delete_elem(&leases, &key) == 0)
        sweep->gone++;
    return 0;
}

static __u32 begins_with_name(const struct packet *packet)
{
    const __u8 *data = packet->data;
    char name[NAME];

    if (data + NAME > packet->data_end)
        return 0;
    for (__u32 i = 0; i < NAME; i++)
        name[i] = data[i];
    return bpf_strncmp(name, NAME, "lease:") == 0;
}

SEC("table/packet")
__u32 expiry(struct packet *packet, __u32 key)
{
    struct sweep sweep = { .now = packet->size };
    __u64 lease = packet->value, until = packet->size;

    if (key == 2)
        return begins_with_name(packet);
    if (key == 0)
        return bpf_map_update_elem(&leases, &lease, &until, BPF_ANY) == 0;
    bpf_for_each_map_elem(&leases, look_at, &sweep, 0);
    packet->status = sweep.gone;
    return sweep.left;
}
