/* SPDX-License-Identifier: MIT */
/*
 * Events for whoever reads the ring buffer: key 0 writes one in place, but thinks better of it where size is 0; key 1
 * hands over one that is made on the stack.  The verdict is 1 if there was room; value is how many bytes wait to be
 * read then, a header of 8 bytes with each event.
 *
 * expect: key=0 size=1 offset=5 -> 1 value=24
 * expect: key=1 size=2 offset=5 -> 1 value=48
 * expect: key=0 size=0 -> 1 value=72
 * expect: key=1 size=3 -> 1 value=96
 * expect: key=2 -> 0 value=96
 * expect: key=3 -> 0 value=4096
 */
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "../packet.h"

struct event {
    __u64 offset;
    __u32 size, key;
};

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 4096);
    __type(value, struct event);
} ring SEC(".maps");

static __u32 write_event(const struct packet *packet, __u32 key)
{
    struct event *event = bpf_ringbuf_reserve(&ring, sizeof(*event), 0);

    if (!event)
        return 0;
    *event = (struct event){ packet->offset, packet->size, key };
    if (packet->size == 0)
        bpf_ringbuf_discard(event, 0);
    else
        bpf_ringbuf_submit(event, 0);
    return 1;
}

static __u32 output_event(const struct packet *packet, __u32 key)
{
    struct event event = { packet->offset, packet->size, key };

    return bpf_ringbuf_output(&ring, &event, sizeof(event), BPF_RB_NO_WAKEUP) == 0;
}

SEC("table/packet")
__u32 events(struct packet *packet, __u32 key)
{
    __u32 verdict = 0;

    if (key == 0)
        verdict = write_event(packet, key);
    else if (key == 1)
        verdict = output_event(packet, key);
    packet->value = bpf_ringbuf_query(&ring, key == 3 ? BPF_RB_RING_SIZE : BPF_RB_AVAIL_DATA);
    return verdict;
}
