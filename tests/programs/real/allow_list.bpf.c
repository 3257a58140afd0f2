/* SPDX-License-Identifier: MIT */
/*
 * A list of networks, the longest prefix decides.  The packet is an IPv4 address; by the key, 0: may it pass (the
 * verdict of its network, 0 if there is none), 1: enter its network, size bits long, with verdict tiny; 2: remove that.
 * The verdict of 1 and 2 is 1 if it was done.
 *
 * expect: packet=0a010203 key=0 -> 0
 * expect: packet=0a000000 key=1 size=8 tiny=1 -> 1
 * expect: packet=0a010203 key=0 -> 1
 * expect: packet=0b010203 key=0 -> 0
 * expect: packet=0a010000 key=1 size=16 tiny=2 -> 1
 * expect: packet=0a010203 key=0 -> 2
 * expect: packet=0a020203 key=0 -> 1
 * expect: packet=0a010203 key=1 size=32 tiny=3 -> 1
 * expect: packet=0a010203 key=0 -> 3
 * expect: packet=0a010202 key=0 -> 2
 * expect: packet=00000000 key=1 size=0 tiny=9 -> 1
 * expect: packet=ffffffff key=0 -> 9
 * expect: packet=0a010203 key=0 -> 3
 * expect: packet=0a01ffff key=2 size=16 -> 1
 * expect: packet=0a010202 key=0 -> 1
 * expect: packet=0a010203 key=0 -> 3
 * expect: packet=0a010000 key=2 size=16 -> 0
 * expect: packet=0a010000 key=1 size=33 tiny=1 -> 0
 * expect: packet=0a010203 key=1 size=32 tiny=4 -> 1
 * expect: packet=0a010203 key=0 -> 4
 * expect: packet=0a0102 key=0 -> 0
 */
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "../packet.h"

struct network {
    __u32 length;               /* bits of the address that count */
    __u8 address[4];
};

struct {
    __uint(type, BPF_MAP_TYPE_LPM_TRIE);
    __uint(max_entries, 64);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, struct network);
    __type(value, __u8);
} networks SEC(".maps");

SEC("table/packet")
__u32 allow_list(struct packet *packet, __u32 key)
{
    const __u8 *address = packet->data;
    struct network network = { .length = key == 0 ? 32 : packet->size };
    __u8 *verdict, wanted = packet->tiny;

    if (address + 4 > packet->data_end)
        return 0;
    for (__u32 i = 0; i < 4; i++)
        network.address[i] = address[i];
    if (key == 1)
        return bpf_map_update_elem(&networks, &network, &wanted, BPF_ANY) == 0;
    if (key == 2)
        return bpf_map_delete_elem(&networks, &network) == 0;
    verdict = bpf_map_lookup_elem(&networks, &network);
    return verdict ? *verdict : 0;
}
