/* SPDX-License-Identifier: MIT */
/*
 * The question of a DNS message: its type, in status the labels of its name, in value the FNV-1a hash of the name in
 * lower case, with a dot in front of each label.  0 for answers, for names that are compressed or too long, and for
 * what is cut off.
 *
 * expect: packet=123401000001+00*6+0377777707+"Example"+03434f4d0000010001 -> 1 status=3 value=0xec5e1869285025b7
 * expect: packet=123401000001+00*6+01610162016301640165016600001c0001 -> 28 status=6 value=0xc7955576ab9d68c4
 * expect: packet=123401000001+00*8+020001 -> 2 value=0xcbf29ce484222325
 * expect: packet=123401000001+00*6+3f+78*63+3d+79*61+0000100001 -> 16 status=2 value=0x39a4432f716badce
 * expect: packet=123401000001+00*6+3f+78*63+3f+79*63+0000100001 -> 0
 * expect: packet=123481800001+00*6+09+"dispatchd"+036f72670000010001 -> 0
 * expect: packet=123401000002+00*6+09+"dispatchd"+036f72670000010001 -> 0
 * expect: packet=123401000001+00*6+09+"dispatchd"+036f726700000100 -> 0
 * expect: packet=123401000001+00*6+09+"disp" -> 0
 * expect: packet=123401000001+00*6 -> 0
 * expect: packet=1234010000010000000000 -> 0
 * expect: packet=123401000001+00*6+c00c00010001 -> 0
 */
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "../packet.h"

#define NAME_MAX 128            /* bytes that are looked at */
#define LABEL_MAX 63            /* longer ones are pointers */
#define RESPONSE 0x8000

struct dns_header {
    __be16 id, flags, questions, answers, authorities, additionals;
};

static __always_inline __u8 lower(__u8 character)
{
    return character >= 'A' && character <= 'Z' ? character + ('a' - 'A') : character;
}

SEC("table/packet")
__u32 dns(struct packet *packet, __u32 key)
{
    const struct dns_header *header = (const void *)packet->data;
    const __u8 *at = (const void *)(header + 1), *end = packet->data_end;
    __u64 hash = 0xcbf29ce484222325;
    __u32 labels = 0, left = 0;

    if (at > end || header->flags & bpf_htons(RESPONSE) || header->questions != bpf_htons(1))
        return 0;
    for (int i = 0; i < NAME_MAX; i++, at++) {
        __u8 byte;

        if (at + 1 > end)
            return 0;
        byte = *at;
        if (left == 0) {
            if (byte == 0) {
                if (at + 5 > end)
                    return 0;
                packet->status = labels;
                packet->value = hash;
                return at[1] << 8 | at[2];
            }
            if (byte > LABEL_MAX)
                return 0;
            left = byte;
            labels++;
            byte = '.';
        } else {
            left--;
        }
        hash = (hash ^ lower(byte)) * 0x100000001b3;
    }
    return 0;
}
