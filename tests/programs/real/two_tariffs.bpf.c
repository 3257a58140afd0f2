/* SPDX-License-Identifier: MIT */
/*
 * Which of two maps counts a packet is decided as it comes, and one call serves both, as compilers make of two that are
 * alike.  Key 0 counts in a hash table, key 1 in an array, key 2 adds both tables' counts of this size up.
 *
 * expect: key=0 size=1 status=0 -> 1
 * expect: key=0 size=1 status=0 -> 2
 * expect: key=0 size=1 status=1 -> 1
 * expect: key=0 size=7 status=1 -> 1
 * expect: key=0 size=7 status=1 -> 2
 * expect: key=2 size=1 status=0 -> 2
 * expect: key=2 size=1 status=1 -> 3
 * expect: key=1 size=2 status=0 -> 1
 * expect: key=1 size=2 status=1 -> 1
 * expect: key=1 size=2 status=1 -> 2
 * expect: key=1 size=3 status=1 -> 1
 * expect: key=1 size=4 status=0 -> 1
 * expect: key=1 size=4 status=1 -> 0
 */
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "../packet.h"

#define TARIFF(name, kind, entries)             \
    struct {                                    \
        __uint(type, BPF_MAP_TYPE_##kind);      \
        __uint(max_entries, entries);           \
        __type(key, __u32);                     \
        __type(value, __u64);                   \
    } name SEC(".maps")

TARIFF(day, HASH, 64);
TARIFF(night, HASH, 16);
TARIFF(day_by_size, ARRAY, 8);
TARIFF(night_by_size, ARRAY, 4);

static __u64 count(void *map, __u32 size)
{
    __u64 one = 1, *found = bpf_map_lookup_elem(map, &size);

    if (found)
        return ++*found;
    return bpf_map_update_elem(map, &size, &one, BPF_NOEXIST) == 0;
}

static long add_value(void *map, const __u32 *key, const __u64 *value, __u64 *sum)
{
    *sum += *value;
    return 0;
}

SEC("table/packet")
__u32 two_tariffs(struct packet *packet, __u32 key)
{
    void *tariff = packet->status ? (void *)&night : (void *)&day;
    __u64 sum = 0;

    switch (key) {
    case 0:
        return count(tariff, packet->size);
    case 1:
        return count(packet->status ? (void *)&night_by_size : (void *)&day_by_size, packet->size);
    default:
        bpf_for_each_map_elem(tariff, add_value, &sum, 0);
        return sum;
    }
}
