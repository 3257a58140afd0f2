/* SPDX-License-Identifier: MIT */
/* Ethernet with VLAN tags, IPv4 or IPv6, TCP or UDP: the destination port and the payload's length. */
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "kernel.h"

#define TYPE_IPV4 0x0800
#define TYPE_IPV6 0x86dd
#define TYPE_VLAN 0x8100
#define TAGS_MAX 2

struct ports {
    __be16 source, destination;
};

SEC("table/kernel")
__u32 frame(struct kernel *kernel, __u32 key)
{
    const __u8 *at = kernel->data, *end = kernel->data_end;
    const struct ports *ports;
    __u32 length;
    __u16 type;
    __u8 protocol;

    if (at + 14 > end)
        return 0;
    type = bpf_ntohs(*(const __be16 *)(at + 12));
    at += 14;
    for (int i = 0; i < TAGS_MAX && type == TYPE_VLAN; i++) {
        if (at + 4 > end)
            return 0;
        type = bpf_ntohs(*(const __be16 *)(at + 2));
        at += 4;
    }
    if (type == TYPE_IPV4) {
        __u32 header_length;

        if (at + 20 > end)
            return 0;
        header_length = (at[0] & 15) * 4;
        if (at[0] >> 4 != 4 || header_length < 20)
            return 0;
        protocol = at[9];
        length = bpf_ntohs(*(const __be16 *)(at + 2)) - header_length;
        at += header_length;
    } else if (type == TYPE_IPV6) {
        if (at + 40 > end || at[0] >> 4 != 6)
            return 0;
        protocol = at[6];
        length = bpf_ntohs(*(const __be16 *)(at + 4));
        at += 40;
    } else {
        return 0;
    }
    ports = (const void *)at;
    if (protocol == 17) {
        if (at + 8 > end)
            return 0;
        length -= 8;
    } else if (protocol == 6) {
        if (at + 20 > end)
            return 0;
        length -= (at[12] >> 4) * 4;
    } else {
        return 0;
    }
    return (__u32)bpf_ntohs(ports->destination) << 16 | (length & 0xffff);
}
