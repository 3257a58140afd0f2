/* SPDX-License-Identifier: MIT */
/* Several programs in one object, for two contexts, with functions of their own and shared ones. */
#include "packet.h"
#include <bpf/bpf_helpers.h>

struct other {
    __u32 first, second;
};

static const volatile __u32 limit = 10;
static __u64 count;

__noinline __u32 shared(__u32 key)
{
    return key * 3 + limit;
}

static __noinline __u32 only_first(__u32 key)
{
    return shared(key ^ 0x55) + 1;
}

static __noinline __u32 only_third(struct other *other)
{
    return other->second * 7 + (__u32)__sync_add_and_fetch(&count, 1);
}

PROGRAM(first)(struct packet *packet, __u32 key)
{
    return only_first(key) + only_first(packet->size);
}

__noinline PROGRAM(second)(struct packet *packet, __u32 key)
{
    return packet ? shared(key) + packet->status : key;
}

SEC("table/other") __u32 third(struct other *other, __u32 key)
{
    return only_third(other) + key;
}

/* It calls into another program's section. */
SEC("table/other") __u32 fourth(struct other *other, __u32 key)
{
    return second((struct packet *)0, other->first) + 1;
}

/* Both come from the same line. */
static __noinline __u32 low(__u32 key) { return key * 5 ^ 3; } static __noinline __u32 high(__u32 key) { return ~key; }

SEC("table/other") __u32 fifth(struct other *other, __u32 key)
{
    return low(key) * high(other->first);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
