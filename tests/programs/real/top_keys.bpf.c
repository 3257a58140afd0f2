/* SPDX-License-Identifier: MIT */
/*
 * The three keys that come most.  Each call counts its key, and moves it up in the list while it has more than the one
 * before it.  The verdict is its place, 1 to 3, or 0; value is then the list, two bytes a key from the first on, and
 * status the count of the first.
 *
 * expect: key=7 -> 1 value=7 status=1
 * expect: key=8 -> 2 value=0x80007 status=1
 * expect: key=9 -> 3 value=0x900080007 status=1
 * expect: key=10 -> 0 value=0x900080007 status=1
 * expect: key=10 -> 1 value=0x80007000a status=2
 * expect: key=8 -> 2 value=0x70008000a status=2
 * expect: key=8 -> 1 value=0x7000a0008 status=3
 * expect: key=9 -> 3 value=0x9000a0008 status=3
 * expect: key=9 -> 2 value=0xa00090008 status=3
 * expect: key=9 -> 1 value=0xa00080009 status=4
 */
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "../packet.h"

#define PLACES 3

struct place {
    __u32 key, count;
};

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, __u32);
    __type(value, __u32);
} counts SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct place[PLACES]);
} top SEC(".maps");

static __u32 count(__u32 key)
{
    __u32 *found = bpf_map_lookup_elem(&counts, &key), one = 1;

    if (found)
        return __sync_fetch_and_add(found, 1), *found;
    bpf_map_update_elem(&counts, &key, &one, BPF_NOEXIST);
    return 1;
}

SEC("table/packet")
__u32 top_keys(struct packet *packet, __u32 key)
{
    __u32 zero = 0, number = count(key), verdict = 0, at = PLACES;
    struct place *place = bpf_map_lookup_elem(&top, &zero);

    if (!place)
        return 0;
    for (__u32 i = 0; i < PLACES; i++)
        if (place[i].key == key && place[i].count)
            at = i;
    if (at == PLACES && number > place[PLACES - 1].count)
        at = PLACES - 1;
    if (at < PLACES)
        place[at] = (struct place){ key, number };
    for (__u32 i = PLACES - 1; i > 0; i--)
        if (place[i].count > place[i - 1].count) {
            struct place moved = place[i];

            place[i] = place[i - 1];
            place[i - 1] = moved;
        }
    for (__u32 i = 0; i < PLACES; i++)
        if (place[i].key == key && place[i].count)
            verdict = i + 1;
    packet->value = place[0].key | (__u64)place[1].key << 16 | (__u64)place[2].key << 32;
    packet->status = place[0].count;
    return verdict;
}
