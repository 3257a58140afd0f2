/* SPDX-License-Identifier: MIT */
/*
 * Jobs in a queue of 4.  By the key, 0: put the one in value in, 1: the same, and the oldest goes if there is no room,
 * 2: take the oldest out, 3: look at it.  The verdict is 1 if that was done; value is the job taken or seen, else as it
 * was.
 *
 * expect: key=2 value=9 -> 0
 * expect: key=0 value=11 -> 1
 * expect: key=0 value=12 -> 1
 * expect: key=3 value=9 -> 1 value=11
 * expect: key=2 -> 1 value=11
 * expect: key=0 value=13 -> 1
 * expect: key=0 value=14 -> 1
 * expect: key=0 value=15 -> 1
 * expect: key=0 value=16 -> 0
 * expect: key=1 value=17 -> 1
 * expect: key=2 -> 1 value=13
 * expect: key=2 -> 1 value=14
 * expect: key=2 -> 1 value=15
 * expect: key=2 -> 1 value=17
 * expect: key=2 value=9 -> 0
 * expect: key=3 value=9 -> 0
 */
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "../packet.h"

struct {
    __uint(type, BPF_MAP_TYPE_QUEUE);
    __uint(max_entries, 4);
    __uint(key_size, 0);
    __uint(value_size, sizeof(__u64));
} jobs SEC(".maps");

SEC("table/packet")
__u32 work_queue(struct packet *packet, __u32 key)
{
    __u64 job = packet->value;
    long r;

    if (key < 2)
        return bpf_map_push_elem(&jobs, &job, key == 0 ? BPF_ANY : BPF_EXIST) == 0;
    r = key == 2 ? bpf_map_pop_elem(&jobs, &job) : bpf_map_peek_elem(&jobs, &job);
    if (r != 0)
        return 0;
    packet->value = job;
    return 1;
}
