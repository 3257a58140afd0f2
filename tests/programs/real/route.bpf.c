/* SPDX-License-Identifier: MIT */
/*
 * Longest-prefix match of the IPv4 address in value (host order) in a table of constants: the next hop, 0 without a
 * route; tiny the prefix's length.
 *
 * expect: value=0xc0000201 -> 1 tiny=32
 * expect: value=0xc0000202 -> 3 tiny=24
 * expect: value=0xc0000280 -> 2 tiny=25
 * expect: value=0xc00002ff -> 2 tiny=25
 * expect: value=0xc0000300 -> 8 tiny=1
 * expect: value=0xc6336409 -> 4 tiny=24
 * expect: value=0xc613ffff -> 5 tiny=15
 * expect: value=0xc6140000 -> 8 tiny=1
 * expect: value=0xac1f0001 -> 6 tiny=12
 * expect: value=0xac200000 -> 8 tiny=1
 * expect: value=0xaffffff -> 7 tiny=8
 * expect: value=0xb000000 -> 0
 * expect: value=0x7f000001 -> 0
 * expect: value=0xffffffff -> 8 tiny=1
 * expect: value=0 -> 0
 */
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "../packet.h"

#define ADDRESS(a, b, c, d) ((__u32)(a) << 24 | (b) << 16 | (c) << 8 | (d))

/* The longest first, so that the first match is the best. */
static const struct prefix {
    __u32 address;
    __u8 length;
    __u8 hop;
} prefixes[] = {
    { ADDRESS(192, 0, 2, 1), 32, 1 },     { ADDRESS(192, 0, 2, 128), 25, 2 }, { ADDRESS(192, 0, 2, 0), 24, 3 },
    { ADDRESS(198, 51, 100, 0), 24, 4 },  { ADDRESS(198, 18, 0, 0), 15, 5 },  { ADDRESS(172, 16, 0, 0), 12, 6 },
    { ADDRESS(10, 0, 0, 0), 8, 7 },       { ADDRESS(128, 0, 0, 0), 1, 8 },
};

#define COUNT (sizeof(prefixes) / sizeof(prefixes[0]))

SEC("table/packet")
__u32 route(struct packet *packet, __u32 key)
{
    __u32 address = packet->value;

    for (unsigned i = 0; i < COUNT; i++) {
        const struct prefix *prefix = &prefixes[i];

        if ((address ^ prefix->address) >> (32 - prefix->length) == 0) {
            packet->tiny = prefix->length;
            return prefix->hop;
        }
    }
    return 0;
}
