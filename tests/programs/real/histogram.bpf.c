/* SPDX-License-Identifier: MIT */
/*
 * How often each upper half of a byte comes in the packet's first 256 bytes, counted on the stack: the most frequent
 * one, in status its count, in small how many different ones there are.
 *
 * expect: packet= -> 0 status=0 small=0
 * expect: packet=00 -> 0 status=1 small=1
 * expect: packet="Hello, World" -> 6 status=7 small=5
 * expect: packet=000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f+
 *   " !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~"+
 *   7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6+
 *   a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdce+
 *   cfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6+
 *   f7f8f9fafbfcfdfeff -> 0 status=16 small=16
 * expect: packet=f0*10+10*11 -> 1 status=11 small=2
 * expect: packet="0@@0" -> 3 status=2 small=2
 * expect: packet=77*300 -> 7 status=256 small=1
 */
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "../packet.h"

#define BYTES_MAX 256
#define KINDS 16

SEC("table/packet")
__u32 histogram(struct packet *packet, __u32 key)
{
    const __u8 *at = packet->data, *end = packet->data_end;
    __u16 count[KINDS] = { 0 };
    __u32 best = 0, different = 0;

    for (int i = 0; i < BYTES_MAX && at + 1 <= end; i++, at++)
        count[*at >> 4]++;
    for (__u32 kind = 0; kind < KINDS; kind++) {
        if (count[kind] > 0)
            different++;
        if (count[kind] > count[best & (KINDS - 1)])
            best = kind;
    }
    packet->status = count[best & (KINDS - 1)];
    packet->small = different;
    return best;
}
