/* SPDX-License-Identifier: MIT */
/*
 * The EtherType behind up to two VLAN tags, in status the outer VLAN (0 without a tag).
 *
 * expect: packet=ff*6+020000000001080045 -> 2048
 * expect: packet=ff*6+02000000000186dd -> 34525
 * expect: packet=ff*6+02000000000186 -> 0
 * expect: packet= -> 0
 * expect: packet=ff*6+0200000000018100a1230806 -> 2054 status=291
 * expect: packet=ff*6+02000000000188a80fff810000070800 -> 2048 status=4095
 * expect: packet=ff*6+02000000000188a8000581000007810000090800 -> 33024 status=5
 * expect: packet=ff*6+0200000000018100000508 -> 0
 */
#include <linux/if_ether.h>
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "../packet.h"

#define TAGS_MAX 2
#define VLAN_MASK 0x0fff

struct vlan_header {
    __be16 tag;
    __be16 type;
};

SEC("table/packet")
__u32 ethernet(struct packet *packet, __u32 key)
{
    const struct ethhdr *header = (const void *)packet->data;
    const struct vlan_header *vlan = (const void *)(header + 1);
    const void *end = packet->data_end;
    __u16 type;

    if ((const void *)(header + 1) > end)
        return 0;
    type = bpf_ntohs(header->h_proto);
    for (int i = 0; i < TAGS_MAX && (type == ETH_P_8021Q || type == ETH_P_8021AD); i++, vlan++) {
        if ((const void *)(vlan + 1) > end)
            return 0;
        if (i == 0)
            packet->status = bpf_ntohs(vlan->tag) & VLAN_MASK;
        type = bpf_ntohs(vlan->type);
    }
    return type;
}
