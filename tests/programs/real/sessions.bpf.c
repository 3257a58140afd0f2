/* SPDX-License-Identifier: MIT */
/*
 * A table of sessions, of which the least used go when it is full.  The packet begins with the session's addresses and
 * ports (12 bytes); the verdict is the how-manieth packet of the session it is, value all bytes of it so far, and size
 * the bytes of this one.  Key 1 ends the session: the verdict is 1 if it was there.
 *
 * expect: packet=0a000001+0a000002+1f90+0050 size=100 -> 1 value=100
 * expect: packet=0a000001+0a000002+1f90+0050 size=50 -> 2 value=150
 * expect: packet=0a000002+0a000001+0050+1f90 size=7 -> 1 value=7
 * expect: packet=0a000001+0a000002+1f91+0050 size=1 -> 1 value=1
 * expect: packet=0a000001+0a000002+1f92+0050 size=1 -> 1 value=1
 * expect: packet=0a000001+0a000002+1f90+0050 size=50 -> 3 value=200
 * expect: packet=0a000001+0a000002+1f93+0050 size=1 -> 1 value=1
 * expect: packet=0a000001+0a000002+1f90+0050 size=1 -> 4 value=201
 * expect: packet=0a000001+0a000002+1f90+0050 key=1 -> 1
 * expect: packet=0a000001+0a000002+1f90+0050 key=1 -> 0
 * expect: packet=0a000001+0a000002+1f90+0050 size=5 -> 1 value=5
 * expect: packet=0a000001+0a000002+1f90+00 size=5 -> 0
 */
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "../packet.h"

struct addresses {
    __u8 bytes[12];
};

struct session {
    __u64 packets, bytes;
};

struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 4);
    __type(key, struct addresses);
    __type(value, struct session);
} table SEC(".maps");

SEC("table/packet")
__u32 sessions(struct packet *packet, __u32 key)
{
    const __u8 *data = packet->data;
    struct session *session, first = { 1, packet->size };
    struct addresses addresses;

    if (data + sizeof(addresses) > packet->data_end)
        return 0;
    for (__u32 i = 0; i < sizeof(addresses.bytes); i++)
        addresses.bytes[i] = data[i];
    if (key == 1)
        return bpf_map_delete_elem(&table, &addresses) == 0;
    session = bpf_map_lookup_elem(&table, &addresses);
    if (!session) {
        if (bpf_map_update_elem(&table, &addresses, &first, BPF_ANY) != 0)
            return 0;
        packet->value = first.bytes;
        return 1;
    }
    __sync_fetch_and_add(&session->packets, 1);
    __sync_fetch_and_add(&session->bytes, packet->size);
    packet->value = session->bytes;
    return session->packets;
}
