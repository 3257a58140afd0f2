/* SPDX-License-Identifier: MIT */
/*
 * Does the packet, as text, match the pattern below?  `*` stands for any bytes, `?` for one.  All positions of the
 * pattern that the text may have led to are kept at once, a bit each.  The verdict is 1 or 0, status the bits at the
 * end.
 *
 * expect: packet="/api/v1/users/7.json" -> 1 status=0x10c060
 * expect: packet="/api/v1/x/users/users/8.json.json" -> 1 status=0x10c060
 * expect: packet="/api//users/a.json" -> 1 status=0x10c060
 * expect: packet="/api/v1/users/.json" -> 0 status=0xc060
 * expect: packet="/api/v1/users/7.jso" -> 0 status=0x8c060
 * expect: packet="/app/v1/users/7.json" -> 0
 * expect: packet="/api/v1/groups/7.json" -> 0 status=0x60
 * expect: packet= -> 0 status=0x1
 * expect: packet="/api/"+75*40+"/users/7.json" -> 1 status=0x10c060
 * expect: packet="/api/"+75*64+"/users/7.json" -> 0 status=0x60
 */
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "../packet.h"

#define TEXT_MAX 64
#define LENGTH 20

static const char pattern[LENGTH + 1] = "/api/*/users/?*.json";

/* Where a star is, it may also stand for nothing. */
static __always_inline __u32 skip_stars(__u32 positions)
{
    for (int i = 0; i < LENGTH; i++)
        if (pattern[i] == '*')
            positions |= (positions >> i & 1) << (i + 1);
    return positions;
}

SEC("table/packet")
__u32 wildcard(struct packet *packet, __u32 key)
{
    const __u8 *at = packet->data, *end = packet->data_end;
    __u32 positions = skip_stars(1);

    for (int i = 0; i < TEXT_MAX && at + 1 <= end; i++, at++) {
        __u32 next = 0;

        for (int j = 0; j < LENGTH; j++) {
            if (pattern[j] == '*')
                next |= positions & 1u << j;
            else if (pattern[j] == '?' || pattern[j] == *at)
                next |= (positions >> j & 1) << (j + 1);
        }
        positions = skip_stars(next);
    }
    packet->status = positions;
    return at + 1 > end && positions >> LENGTH & 1;
}
