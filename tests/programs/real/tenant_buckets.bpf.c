/* SPDX-License-Identifier: MIT */
/*
 * A token bucket for each tenant, in a table of all that were seen: a tenant is what the key says, `rate` bytes a
 * second flow into its bucket, at most `burst` stay.  value is the time in ns, size the bytes of this packet.  The
 * verdict is 1 (pass), 0 (drop), or 2: there is no room for one more tenant.  status is what is left in the bucket.
 *
 * expect: key=1 value=1000000000 size=1000 -> 1 status=500
 * expect: key=1 value=1000000000 size=600 -> 0 status=500
 * expect: key=2 value=1000000000 size=1500 -> 1 status=0
 * expect: key=1 value=1500000000 size=1000 -> 1 status=0
 * expect: key=2 value=1000000001 size=1 -> 0 status=0
 * expect: key=0xffffffff value=1000000000 size=1 -> 1 status=1499
 * expect: key=4 value=1000000000 size=1501 -> 0 status=1500
 * expect: key=5 value=1000000000 size=1 -> 2
 * expect: key=4 value=1000000000 size=1500 -> 1 status=0
 * with: rate=8 burst=64
 * expect: key=5 value=1000000000 size=64 -> 1 status=0
 * expect: key=5 value=2000000000 size=9 -> 0 status=8
 * expect: key=5 value=4000000000 size=16 -> 1 status=8
 */
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "../packet.h"

#define NS_PER_SECOND 1000000000ull

const volatile __u32 rate = 1000;
const volatile __u32 burst = 1500;

struct bucket {
    __u64 filled;               /* when, ns */
    __u64 bytes;
};

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 4);
    __type(key, __u32);
    __type(value, struct bucket);
} tenants SEC(".maps");

static struct bucket *find(__u32 tenant, __u64 now)
{
    struct bucket *bucket = bpf_map_lookup_elem(&tenants, &tenant);
    struct bucket full = { now, burst };

    if (bucket)
        return bucket;
    bpf_map_update_elem(&tenants, &tenant, &full, BPF_NOEXIST);
    return bpf_map_lookup_elem(&tenants, &tenant);
}

SEC("table/packet")
__u32 tenant_buckets(struct packet *packet, __u32 key)
{
    __u64 now = packet->value, bytes;
    struct bucket *bucket = find(key, now);
    __u32 pass;

    if (!bucket)
        return 2;
    bytes = bucket->bytes;
    if (now > bucket->filled)
        bytes += (now - bucket->filled) * rate / NS_PER_SECOND;
    if (bytes > burst)
        bytes = burst;
    pass = packet->size <= bytes;
    if (pass)
        bytes -= packet->size;
    bucket->filled = now;
    bucket->bytes = bytes;
    packet->status = bytes;
    return pass;
}
