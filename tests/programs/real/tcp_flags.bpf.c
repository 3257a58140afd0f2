/* SPDX-License-Identifier: MIT */
/*
 * Ethernet, IPv4 with options, TCP: the destination port, in tiny the flags, in status the bytes of payload.
 * 0 for anything else, for fragments, and for what is cut off.
 *
 * expect: packet=ff*6+0200000000010800450000280001000040068e93c0000201c63364079c4001bb0000000100000000+
 *   5002ffff00000000 -> 443 tiny=2
 * expect: packet=ff*6+0200000000010800450000390001000040068e82c0000201c63364079c4001bb0000000100000000+
 *   8018ffff00000000+01*12+"hello" -> 443 tiny=24 status=5
 * expect: packet=ff*6+02000000000108004600002c000100004006f98ac0000201c6336407940400009c40005000000001+
 *   000000005011ffff00000000 -> 80 tiny=17
 * expect: packet=ff*6+0200000000010800450000280001000040068e93c0000201c63364079c4001bb0000000100000000+
 *   5002ffff000000 -> 0
 * expect: packet=ff*6+0200000000010800450000280001000040068e93c0000201c63364 -> 0
 * expect: packet=ff*6+0200000000010800450000280001000040118e88c0000201c63364079c4001bb0000000100000000+
 *   5002ffff00000000 -> 0
 * expect: packet=ff*6+0200000000010800450000280001200040066e93c0000201c63364079c4001bb0000000100000000+
 *   5002ffff00000000 -> 0
 * expect: packet=ff*6+0200000000010800650000280001000040066e93c0000201c63364079c4001bb0000000100000000+
 *   5002ffff00000000 -> 0
 * expect: packet=ff*6+0200000000010800450000280001000040068e93c0000201c63364079c4001bb0000000100000000+
 *   4002ffff00000000 -> 0
 * expect: packet=ff*6+0200000000010800450000280001000040068e93c0000201c63364079c4001bb0000000100000000+
 *   6002ffff00000000 -> 0
 * expect: packet=ff*6+02000000000186dd450000280001000040068e93c0000201c63364079c4001bb0000000100000000+
 *   5002ffff00000000 -> 0
 */
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "../packet.h"

#define FRAGMENT_MASK 0x3fff    /* the offset, and that more fragments follow */
#define FLAGS_OFFSET 13         /* in the TCP header */

static __always_inline const struct tcphdr *find_tcp(const __u8 *data, const __u8 *end, __u32 *ret_length)
{
    const struct ethhdr *ethernet = (const void *)data;
    const struct iphdr *ip = (const void *)(ethernet + 1);
    const struct tcphdr *tcp;
    __u32 header_length;

    if ((const __u8 *)(ip + 1) > end || ethernet->h_proto != bpf_htons(ETH_P_IP))
        return NULL;
    header_length = ip->ihl * 4;
    if (ip->version != 4 || header_length < sizeof(*ip) || ip->protocol != IPPROTO_TCP ||
        ip->frag_off & bpf_htons(FRAGMENT_MASK))
        return NULL;
    tcp = (const void *)((const __u8 *)ip + header_length);
    if ((const __u8 *)(tcp + 1) > end)
        return NULL;
    *ret_length = bpf_ntohs(ip->tot_len) - header_length;
    return tcp;
}

SEC("table/packet")
__u32 tcp_flags(struct packet *packet, __u32 key)
{
    __u32 length, header_length;
    const struct tcphdr *tcp = find_tcp(packet->data, packet->data_end, &length);

    if (!tcp)
        return 0;
    header_length = tcp->doff * 4;
    if (header_length < sizeof(*tcp) || header_length > length)
        return 0;
    packet->tiny = ((const __u8 *)tcp)[FLAGS_OFFSET];
    packet->status = length - header_length;
    return bpf_ntohs(tcp->dest);
}
