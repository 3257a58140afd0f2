/* SPDX-License-Identifier: MIT */
/* A load that fails three calls deep ends the whole program, with all registers in use. */
#include "packet.h"

static NOINLINE __u64 third(struct packet *packet, __u64 at)
{
    __u64 before = packet->value, loaded = *(const __u32 *)(packet->data + at);

    packet->status = 103;
    return loaded + before;
}

static NOINLINE __u64 second(struct packet *packet, __u64 at, __u64 factor)
{
    __u64 one = third(packet, at), two;

    packet->status = 102;
    two = third(packet, at + 4) * factor;
    return one ^ two;
}

static NOINLINE __u64 first(struct packet *packet)
{
    __u64 at = packet->offset, size = packet->size, sum = second(packet, at, size);

    packet->status = 101;
    return sum + at + size;
}

PROGRAM(subprogram)(struct packet *packet, __u32 key)
{
    __u64 value = packet->value, sum = first(packet);

    packet->status = 100;
    packet->value = sum + value;
    return key + 1;
}
