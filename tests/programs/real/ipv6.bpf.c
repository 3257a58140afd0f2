/* SPDX-License-Identifier: MIT */
/*
 * IPv6 behind Ethernet, with a chain of extension headers: the protocol behind them, in status their number, in small
 * the offset of what follows.  0 for anything else, and where a header is cut off.
 *
 * expect: packet=ff*6+02000000000186dd600000000000064020010db8+00*11+01fe80+00*13+02 -> 6 small=54
 * expect: packet=ff*6+02000000000186dd60000000000c004020010db8+00*11+01fe80+00*13+0211+00*7+
 *   "udp!" -> 17 status=1 small=62
 * expect: packet=ff*6+02000000000186dd600000000028004020010db8+00*11+01fe80+00*13+022b01+00*14+2c+00*7+3c63+00*6+
 *   3a+00*7 -> 58 status=4 small=94
 * expect: packet=ff*6+02000000000186dd6000000000+"0<@ "+010db8+00*11+01fe80+00*13+023c+00*7+3c+00*7+3c+00*7+3c+
 *   00*7+3c+00*7+3b+00*7 -> 59 status=6 small=102
 * expect: packet=ff*6+02000000000186dd6000000000+"8<@ "+010db8+00*11+01fe80+00*13+023c+00*7+3c+00*7+3c+00*7+3c+
 *   00*7+3c+00*7+3c+00*7+3c+00*7 -> 0
 * expect: packet=ff*6+02000000000186dd600000000008004020010db8+00*11+01fe80+00*13+021101+00*6 -> 0
 * expect: packet=ff*6+02000000000186dd600000000001004020010db8+00*11+01fe80+00*13+0211 -> 0
 * expect: packet=ff*6+02000000000186dd400000000000064020010db8+00*11+01fe80+00*13+02 -> 0
 * expect: packet=ff*6+0200000000010800600000000000064020010db8+00*11+01fe80+00*13+02 -> 0
 * expect: packet=ff*6+02000000000186dd600000000000064020010db8+00*11+01fe80+00*13 -> 0
 */
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/ipv6.h>
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "../packet.h"

#define EXTENSIONS_MAX 6
#define FRAGMENT_SIZE 8         /* bytes; that header has no length of its own */

static __always_inline int is_extension(__u8 protocol)
{
    switch (protocol) {
    case IPPROTO_HOPOPTS:
    case IPPROTO_ROUTING:
    case IPPROTO_FRAGMENT:
    case IPPROTO_DSTOPTS:
        return 1;
    default:
        return 0;
    }
}

SEC("table/packet")
__u32 ipv6(struct packet *packet, __u32 key)
{
    const struct ethhdr *ethernet = (const void *)packet->data;
    const struct ipv6hdr *ip = (const void *)(ethernet + 1);
    const __u8 *at = (const void *)(ip + 1), *end = packet->data_end;
    __u8 protocol;
    __u32 count;

    if (at > end || ethernet->h_proto != bpf_htons(ETH_P_IPV6) || ip->version != 6)
        return 0;
    protocol = ip->nexthdr;
    for (count = 0; count < EXTENSIONS_MAX && is_extension(protocol); count++) {
        if (at + 2 > end)
            return 0;
        if (protocol == IPPROTO_FRAGMENT) {
            protocol = at[0];
            at += FRAGMENT_SIZE;
        } else {
            protocol = at[0];
            at += (at[1] + 1) * 8;
        }
    }
    if (is_extension(protocol) || at > end)
        return 0;
    packet->status = count;
    packet->small = (__u16)(at - packet->data);
    return protocol;
}
