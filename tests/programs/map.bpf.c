/* SPDX-License-Identifier: MIT */
/* Refused: a map. */
#include "packet.h"

static void *(*map_lookup_elem)(void *map, const void *key) = (void *)1;

struct {
    int (*type)[2];
    __u32 *key;
    __u64 *value;
    int (*max_entries)[4];
} counters __attribute__((section(".maps"), used));

PROGRAM(count)(struct packet *packet, __u32 key)
{
    __u64 *value = map_lookup_elem(&counters, &key);

    return value ? (__u32)*value : 0;
}
