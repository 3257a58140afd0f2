/* SPDX-License-Identifier: MIT */
/*
 * Is the checksum of the IPv4 header, which the packet begins with, right?  The verdict is 1 or 0; small the
 * checksum it would have with one hop less to live, made from the old one (RFC 1624).
 *
 * expect: packet=450000140001000040068ea7c0000201c6336407 -> 1 small=36775
 * expect: packet=46000018000100004011f993c0000201c633640794040000 -> 1 small=64147
 * expect: packet=45000014000100000101afe80a000001ffffffff -> 1 small=45288
 * expect: packet=4f00003c00010000ff06b16ac0000201c6336407+01*40 -> 1 small=45674
 * expect: packet=450000140001000040068ea7c0000201c6336406 -> 0
 * expect: packet=450000140001000040068ea7c0000201c63364 -> 0
 * expect: packet=46000018000100004011f993c0000201c6336407940400 -> 0
 * expect: packet=440000140001000040068ea7c0000201c6336407 -> 0
 */
#include <linux/ip.h>
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "../packet.h"

#define WORDS_MAX 30            /* of 16 bits: the longest header has 60 bytes */

static __always_inline __u16 fold(__u32 sum)
{
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (__u16)sum;
}

SEC("table/packet")
__u32 internet_checksum(struct packet *packet, __u32 key)
{
    const struct iphdr *ip = (const void *)packet->data;
    const __u16 *word = (const void *)packet->data;
    const void *end = packet->data_end;
    __u32 sum = 0, words;

    if ((const void *)(ip + 1) > end || ip->ihl < 5)
        return 0;
    words = ip->ihl * 2;
    for (__u32 i = 0; i < WORDS_MAX && i < words; i++) {
        if ((const void *)(word + i + 1) > end)
            return 0;
        sum += word[i];
    }
    if (fold(sum) != 0xffff)
        return 0;
    /* The word of the time to live changes by 0x0100 in network order, which is 1 in the low byte of ours. */
    packet->small = bpf_ntohs((__u16)~fold((__u16)~ip->check + 0xffffu - 1));
    return 1;
}
