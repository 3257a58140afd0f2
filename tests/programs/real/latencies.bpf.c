/* SPDX-License-Identifier: MIT */
/*
 * A histogram of times, by powers of two, of which each thread has its own copy.  Key 0: enter the time in value; the
 * verdict is its bucket.  Key 1: the verdict is how many of this thread's times are below value, to the power of two.
 * Key 2: all threads' sum of the times, from an array that they share, in value.
 *
 * expect: key=0 value=0 -> 0
 * expect: key=0 value=1 -> 0
 * expect: key=0 value=2 -> 1
 * expect: key=0 value=3 -> 1
 * expect: key=0 value=1000 -> 9
 * expect: key=0 value=0xffffffffffffffff -> 31
 * expect: key=1 value=1 -> 0
 * expect: key=1 value=2 -> 2
 * expect: key=1 value=4 -> 4
 * expect: key=1 value=1024 -> 5
 * expect: key=2 -> 6 value=1005
 */
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "../packet.h"

#define BUCKETS 32

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, BUCKETS);
    __type(key, __u32);
    __type(value, __u64);
} histogram SEC(".maps");

struct total {
    __u64 times, sum;
};

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct total);
} totals SEC(".maps");

static __u32 bucket_of(__u64 time)
{
    __u32 bucket = 0;

    for (__u32 step = 32; step; step /= 2)
        if (time >> step) {
            bucket += step;
            time >>= step;
        }
    return bucket < BUCKETS ? bucket : BUCKETS - 1;
}

static __u32 enter(__u64 time)
{
    __u32 bucket = bucket_of(time), zero = 0;
    __u64 *count = bpf_map_lookup_elem(&histogram, &bucket);
    struct total *total = bpf_map_lookup_elem(&totals, &zero);

    if (count)
        *count += 1;
    if (total) {
        __sync_fetch_and_add(&total->times, 1);
        __sync_fetch_and_add(&total->sum, time);
    }
    return bucket;
}

static __u32 below(__u32 end)
{
    __u32 sum = 0;

    for (__u32 i = 0; i < BUCKETS && i < end; i++) {
        __u32 bucket = i;
        __u64 *count = bpf_map_lookup_elem(&histogram, &bucket);

        sum += count ? *count : 0;
    }
    return sum;
}

SEC("table/packet")
__u32 latencies(struct packet *packet, __u32 key)
{
    __u32 zero = 0;
    struct total *total;

    if (key == 0)
        return enter(packet->value);
    if (key == 1)
        return below(bucket_of(packet->value));
    total = bpf_map_lookup_elem(&totals, &zero);
    if (!total)
        return 0;
    packet->value = total->sum;
    return total->times;
}
