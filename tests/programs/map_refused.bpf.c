/* SPDX-License-Identifier: MIT */
/* Refused: definitions of maps, each by a program that uses it. */
#include "packet.h"

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

struct bpf_map_def {
    __u32 type, key_size, value_size, max_entries, map_flags;
};

struct lock {
    __u64 number;
    struct bpf_spin_lock lock;
};

struct timers {
    struct bpf_timer timer[2];
};

struct inner {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u32);
};

struct nested {
    __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
    __uint(max_entries, 1);
    __type(key, __u32);
    __array(values, struct inner);
};

/* A map with these members, and the program that uses it. */
#define REFUSED(name, ...) \
    struct { __VA_ARGS__ } name##_map SEC(".maps"); \
    PROGRAM(name)(struct packet *packet, __u32 key) \
    { \
        return bpf_map_lookup_elem(&name##_map, &key) != 0; \
    }
#define HASH(...) __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 4); __type(key, __u32); __VA_ARGS__

REFUSED(no_kind, __uint(max_entries, 4); __type(key, __u32); __type(value, __u32);)
REFUSED(other_kind, __uint(type, BPF_MAP_TYPE_SOCKMAP); __uint(max_entries, 4); __type(key, __u32);
        __type(value, __u32);)
REFUSED(no_value, HASH())
REFUSED(sizes, HASH(__uint(value_size, 8); __type(value, __u32);))
REFUSED(no_number, HASH(__type(map_flags, __u32); __type(value, __u32);))
REFUSED(no_type, HASH(__uint(value, 4);))
REFUSED(unknown, HASH(__type(value, __u32); __uint(colour, 4);))
REFUSED(node, HASH(__type(value, __u32); __uint(numa_node, 1);))
REFUSED(preallocation, HASH(__type(value, __u32); __uint(map_flags, BPF_F_NO_PREALLOC);))
REFUSED(spin_lock, HASH(__type(value, struct lock);))
REFUSED(timer, HASH(__type(value, struct timers);))
REFUSED(no_map_of_maps, HASH(__type(value, __u32); __array(values, struct inner);))
REFUSED(no_inner, __uint(type, BPF_MAP_TYPE_HASH_OF_MAPS); __uint(max_entries, 4); __type(key, __u32);)
REFUSED(inner_value, __uint(type, BPF_MAP_TYPE_HASH_OF_MAPS); __uint(max_entries, 4); __type(key, __u32);
        __uint(value_size, 16); __array(values, struct inner);)
REFUSED(inner_type, __uint(type, BPF_MAP_TYPE_HASH_OF_MAPS); __uint(max_entries, 4); __type(key, __u32);
        __array(values, __u32);)
REFUSED(two_levels, __uint(type, BPF_MAP_TYPE_HASH_OF_MAPS); __uint(max_entries, 4); __type(key, __u32);
        __array(values, struct nested);)

struct inner used SEC(".maps");
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
    __uint(max_entries, 1);
    __type(key, __u32);
    __array(values, struct inner);
} contents_map SEC(".maps") = { .values = { &used } };

PROGRAM(contents)(struct packet *packet, __u32 key)
{
    return bpf_map_lookup_elem(&contents_map, &key) != 0;
}

struct bpf_map_def SEC("maps") old_map = { BPF_MAP_TYPE_ARRAY, 4, 4, 1, 0 };

PROGRAM(old)(struct packet *packet, __u32 key)
{
    return bpf_map_lookup_elem(&old_map, &key) != 0;
}

int array_map SEC(".maps");

PROGRAM(no_struct)(struct packet *packet, __u32 key)
{
    return bpf_map_lookup_elem(&array_map, &key) != 0;
}
