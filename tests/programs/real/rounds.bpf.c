/* SPDX-License-Identifier: MIT */
/*
 * Numbers go round in 10 places: is the packet's number, the field size, in the round that was seen last in its place?
 *
 * Compilers make a remainder next to a quotient of the quotient, and know that it is below 10; what they made does not
 * say so, and a comparison is there only behind barrier_var().
 *
 * expect: packet= size=0 -> 1
 * expect: packet= size=7 -> 1
 * expect: packet= size=17 -> 0
 * expect: packet= size=17 -> 1
 * expect: packet= size=7 -> 0
 * expect: packet= size=0xffffffff -> 0
 * expect: packet= size=0xffffffff -> 1
 */
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "../packet.h"

#define PLACES 10

static __u32 seen[PLACES];

SEC("table/packet")
__u32 rounds(struct packet *packet, __u32 key)
{
    __u32 place = packet->size % PLACES, round = packet->size / PLACES, before;

    barrier_var(place);
    if (place >= PLACES)
        return 0;
    before = seen[place];
    seen[place] = round;
    return before == round;
}
