/* SPDX-License-Identifier: MIT */
/* Functions that nothing calls are left out, whatever they do. */
#include "packet.h"

static void *(*map_lookup_elem)(void *map, const void *key) = (void *)1;

static int counters;

NOINLINE __u64 dead(struct packet *packet)
{
    return map_lookup_elem(packet, packet) != 0;
}

NOINLINE int dead_too(struct packet *packet)
{
    return ++counters + (int)dead(packet);
}

NOINLINE __u32 alive(__u32 key)
{
    return key * 3;
}

PROGRAM(uses_one)(struct packet *packet, __u32 key)
{
    return alive(key);
}
