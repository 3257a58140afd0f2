/* SPDX-License-Identifier: MIT */
/*
 * VXLAN: Ethernet, IPv4, UDP to port 4789, the VXLAN header, Ethernet again.  The verdict is the network's number,
 * small the inner EtherType, value the inner destination address (the first byte the highest).  0 for anything else.
 *
 * expect: packet=ff*6+0200000000010800450000320001000040118e7ec0000201c6336407138812b5001e000008000000+
 *   123456000242ac1100020200000000010806 -> 1193046 value=0x242ac110002 small=2054
 * expect: packet=ff*6+02000000000108004f00005a0001000040117042c0000201c6336407+01*40+
 *   138812b5001e000008000000000001000242ac1100020200000000010806 -> 1 value=0x242ac110002 small=2054
 * expect: packet=ff*6+0200000000010800450000320001000040118e7ec0000201c6336407138812b5001e+00*8+
 *   01000242ac1100020200000000010806 -> 0
 * expect: packet=ff*6+0200000000010800450000320001000040118e7ec0000201c6336407138812b6001e000008000000+
 *   000001000242ac1100020200000000010806 -> 0
 * expect: packet=ff*6+0200000000010800450000320001000040068e89c0000201c6336407138812b5001e000008000000+
 *   000001000242ac1100020200000000010806 -> 0
 * expect: packet=ff*6+0200000000010800450000320001000040118e7ec0000201c6336407138812b5001e000008000000+
 *   000001000242ac11000202000000000108 -> 0
 * expect: packet=ff*6+0200000000010800450000320001000040118e7ec0000201c63364 -> 0
 * expect: packet=ff*6+02000000000108 -> 0
 */
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/types.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "../packet.h"

#define VXLAN_PORT 4789
#define VXLAN_VALID 0x08

struct vxlan_header {
    __u8 flags, reserved[3];
    __be32 network;             /* in the upper 24 bits */
};

/* Where the next header begins: a number, since subprograms return no pointers into the packet. */
static __noinline __u32 skip_ip(struct packet *packet, __u32 offset)
{
    const struct iphdr *ip = (const void *)(packet->data + (offset & 63));

    if ((const __u8 *)(ip + 1) > packet->data_end)
        return 0;
    if (ip->version != 4 || ip->ihl < 5 || ip->protocol != IPPROTO_UDP)
        return 0;
    return offset + ip->ihl * 4;
}

SEC("table/packet")
__u32 tunnel(struct packet *packet, __u32 key)
{
    const struct ethhdr *outer = (const void *)packet->data, *inner;
    const struct udphdr *udp;
    const struct vxlan_header *vxlan;
    __u64 address = 0;
    __u32 offset;

    if ((const __u8 *)(outer + 1) > packet->data_end || outer->h_proto != bpf_htons(ETH_P_IP))
        return 0;
    offset = skip_ip(packet, sizeof(*outer));
    if (offset == 0 || offset > 128)
        return 0;
    udp = (const void *)(packet->data + offset);
    vxlan = (const void *)(udp + 1);
    inner = (const void *)(vxlan + 1);
    if ((const __u8 *)(inner + 1) > packet->data_end)
        return 0;
    if (udp->dest != bpf_htons(VXLAN_PORT) || !(vxlan->flags & VXLAN_VALID))
        return 0;
    for (int i = 0; i < ETH_ALEN; i++)
        address = address << 8 | inner->h_dest[i];
    packet->value = address;
    packet->small = bpf_ntohs(inner->h_proto);
    return bpf_ntohl(vxlan->network) >> 8;
}
