/* SPDX-License-Identifier: MIT */
/* What bench/maps measures, as programs do it: an operation for each of the 64-bit keys in the packet. */
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "kernels/kernel.h"
#include "maps.h"

/* How large the hash table is says the benchmark, which puts another in its place. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1);
    __type(key, __u64);
    __type(value, __u64);
} hash SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, ARRAY_ENTRIES);
    __type(key, __u32);
    __type(value, __u64);
} array SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, ARRAY_ENTRIES);
    __type(key, __u32);
    __type(value, __u64);
} counters SEC(".maps");

SEC("table/kernel")
__u32 hash_lookups(struct kernel *kernel)
{
    const __u64 *at = (const void *)kernel->data;
    const __u8 *end = kernel->data_end;
    __u64 sum = 0;

    for (__u32 i = 0; i < BATCH && (const __u8 *)(at + 1) <= end; i++, at++) {
        __u64 key = *at, *value = bpf_map_lookup_elem(&hash, &key);

        if (value)
            sum += *value;
    }
    kernel->result = sum;
    return 0;
}

/* The verdict is how many were answered with an error. */
SEC("table/kernel")
__u32 hash_updates(struct kernel *kernel)
{
    const __u64 *at = (const void *)kernel->data;
    const __u8 *end = kernel->data_end;
    __u32 refused = 0;

    for (__u32 i = 0; i < BATCH && (const __u8 *)(at + 1) <= end; i++, at++) {
        __u64 key = *at, value = i;

        refused += bpf_map_update_elem(&hash, &key, &value, BPF_ANY) != 0;
    }
    return refused;
}

/* Four at a time, as what shall be measured is little beside the loop. */

static __always_inline __u64 look_up(__u64 number)
{
    __u32 key = ARRAY_INDEX(number);
    __u64 *value = bpf_map_lookup_elem(&array, &key);

    return value ? *value : 0;
}

SEC("table/kernel")
__u32 array_lookups(struct kernel *kernel)
{
    const __u64 *at = (const void *)kernel->data;
    const __u8 *end = kernel->data_end;
    __u64 sum = 0;

    for (__u32 i = 0; i < BATCH / 4 && (const __u8 *)(at + 4) <= end; i++, at += 4) {
        sum += look_up(at[0]);
        sum += look_up(at[1]);
        sum += look_up(at[2]);
        sum += look_up(at[3]);
    }
    kernel->result = sum;
    return 0;
}

static __always_inline void count(__u64 number)
{
    __u32 key = ARRAY_INDEX(number);
    __u64 *value = bpf_map_lookup_elem(&counters, &key);

    if (value)
        *value += 1;
}

SEC("table/kernel")
__u32 counter_adds(struct kernel *kernel)
{
    const __u64 *at = (const void *)kernel->data;
    const __u8 *end = kernel->data_end;

    for (__u32 i = 0; i < BATCH / 4 && (const __u8 *)(at + 4) <= end; i++, at += 4) {
        count(at[0]);
        count(at[1]);
        count(at[2]);
        count(at[3]);
    }
    return 0;
}
