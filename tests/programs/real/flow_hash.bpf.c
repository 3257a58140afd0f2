/* SPDX-License-Identifier: MIT */
/*
 * The flow of an IPv4 packet with ports, by Jenkins's hash of three words with the key as its seed: both directions
 * of a connection have the same.  The verdict is the one of 8 queues that it belongs to, status the hash.
 *
 * expect: packet=450000180001000040068ea3c0000201c63364079c4001bb key=0 -> 5 status=0xa1fbd58d
 * expect: packet=450000180001000040068ea3c6336407c000020101bb9c40 key=0 -> 5 status=0xa1fbd58d
 * expect: packet=450000180001000040068ea3c0000201c63364079c4001bb key=7 -> 4 status=0x65a28484
 * expect: packet=4700002000010000401176c67f0000017f0000+01*9+003514e9 key=0 -> 7 status=0x76c1d0e7
 * expect: packet=450000180001000040117cd27f0000017f00000114e90035 key=0 -> 7 status=0x76c1d0e7
 * expect: packet=450000180001000040068ea3c0000201c63364079c4001 -> 255
 * expect: packet=450000180001000040068ea3c0000201c63364 -> 255
 * expect: packet=440000180001000040068ea3c0000201c63364079c4001bb -> 255
 */
#include <linux/ip.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "../packet.h"

#define QUEUES 8
#define NO_QUEUE 255

static __always_inline __u32 rotate(__u32 word, unsigned bits)
{
    return word << bits | word >> (32 - bits);
}

/* The final mixing of Bob Jenkins's lookup3. */
static __always_inline __u32 hash_3words(__u32 a, __u32 b, __u32 c, __u32 seed)
{
    seed += 0xdeadbeef + (3 << 2);
    a += seed;
    b += seed;
    c += seed;
    c ^= b; c -= rotate(b, 14);
    a ^= c; a -= rotate(c, 11);
    b ^= a; b -= rotate(a, 25);
    c ^= b; c -= rotate(b, 16);
    a ^= c; a -= rotate(c, 4);
    b ^= a; b -= rotate(a, 14);
    c ^= b; c -= rotate(b, 24);
    return c;
}

SEC("table/packet")
__u32 flow_hash(struct packet *packet, __u32 key)
{
    const struct iphdr *ip = (const void *)packet->data;
    const __u16 *ports;
    __u32 from, to, from_port, to_port, hash;

    if ((const __u8 *)(ip + 1) > packet->data_end || ip->ihl < 5)
        return NO_QUEUE;
    ports = (const void *)(packet->data + ip->ihl * 4);
    if ((const __u8 *)(ports + 2) > packet->data_end)
        return NO_QUEUE;
    from = ip->saddr;
    to = ip->daddr;
    from_port = ports[0];
    to_port = ports[1];
    if (from > to || (from == to && from_port > to_port)) {
        __u32 other = from;

        from = to;
        to = other;
        other = from_port;
        from_port = to_port;
        to_port = other;
    }
    hash = hash_3words(from, to, from_port << 16 | to_port, key);
    packet->status = hash;
    return hash % QUEUES;
}
