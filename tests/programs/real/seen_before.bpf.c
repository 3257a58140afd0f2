/* SPDX-License-Identifier: MIT */
/*
 * Has this packet been there before?  A filter in the manner of Bloom: three bits for each packet, of 4096, so it may
 * say yes of one that was not there, and never no of one that was.  The verdict is 1 for yes; every packet is entered.
 *
 * expect: packet="first" -> 0
 * expect: packet="second" -> 0
 * expect: packet="first" -> 1
 * expect: packet="second" -> 1
 * expect: packet="third" -> 0
 * expect: packet= -> 0
 * expect: packet= -> 1
 * expect: packet=00 -> 0
 * expect: packet=0000 -> 0
 * expect: packet=00 -> 1
 */
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "../packet.h"

#define WORDS 64
#define BYTES_MAX 64

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, WORDS);
    __type(key, __u32);
    __type(value, __u64);
} bits SEC(".maps");

static __u64 hash(const struct packet *packet)
{
    const __u8 *data = packet->data, *end = packet->data_end;
    __u64 sum = 0xcbf29ce484222325;

    for (__u32 i = 0; i < BYTES_MAX && data + i + 1 <= end; i++)
        sum = (sum ^ data[i]) * 0x100000001b3;
    sum = (sum ^ sum >> 32) * 0xd6e8feb86659fd93;
    return sum ^ sum >> 32;
}

SEC("table/packet")
__u32 seen_before(struct packet *packet, __u32 key)
{
    __u64 sum = hash(packet);
    __u32 seen = 1;

    for (__u32 i = 0; i < 3; i++, sum >>= 12) {
        __u32 word = sum >> 6 & (WORDS - 1);
        __u64 *found = bpf_map_lookup_elem(&bits, &word), bit = 1ull << (sum & 63);

        if (!found)
            return 0;
        seen &= (*found & bit) != 0;
        *found |= bit;
    }
    return seen;
}
