/* SPDX-License-Identifier: MIT */
/*
 * Policies that an operator exchanges as a whole: a map of maps, from a tenant (size) to its policy, which is a table
 * from users (the key) to verdicts.  By offset, 0: the verdict of the user, 0 if it is not in the policy; 1: enter the
 * user with verdict tiny, the verdict is 1 if that was done.  Tenants without a policy get 100.
 *
 * The tests put empty policies at places 0 and 1.
 *
 * expect: key=1 size=0 -> 0
 * expect: key=1 size=0 offset=1 tiny=5 -> 1
 * expect: key=1 size=0 -> 5
 * expect: key=1 size=1 -> 0
 * expect: key=2 size=1 offset=1 tiny=6 -> 1
 * expect: key=2 size=1 -> 6
 * expect: key=2 size=0 -> 0
 * expect: key=1 size=2 -> 100
 * expect: key=1 size=2 offset=1 tiny=5 -> 100
 * expect: key=1 size=9 -> 100
 */
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "../packet.h"

struct policy {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 256);
    __type(key, __u32);
    __type(value, __u32);
};

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
    __uint(max_entries, 4);
    __type(key, __u32);
    __array(values, struct policy);
} tenants SEC(".maps");

SEC("table/packet")
__u32 policies(struct packet *packet, __u32 key)
{
    __u32 tenant = packet->size, wanted = packet->tiny, *verdict;
    void *policy = bpf_map_lookup_elem(&tenants, &tenant);

    if (!policy)
        return 100;
    if (packet->offset == 1)
        return bpf_map_update_elem(policy, &key, &wanted, BPF_ANY) == 0;
    verdict = bpf_map_lookup_elem(policy, &key);
    return verdict ? *verdict : 0;
}
