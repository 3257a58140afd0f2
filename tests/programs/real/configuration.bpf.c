/* SPDX-License-Identifier: MIT */
/*
 * Constants that are set when the program is loaded, and variables of all kinds.  With `sampling` n, every n-th
 * packet of at least `minimum` bytes has the verdict `chosen`; what is counted shows in value (as 16 bits each:
 * seen, short, chosen) and status (the sizes of the last 4 packets, modulo 256).
 *
 * expect: packet=00000000 -> 7 value=0x100000001 status=0xffffff04
 * expect: packet=000000 -> 1 value=0x200010001 status=0xffff0403
 * expect: packet= -> 1 value=0x300020001 status=0xff040300
 * expect: packet=00*64 -> 1 value=0x400020001 status=67305536
 * expect: packet=00*64 -> 1 value=0x500020001 status=50348096
 * expect: packet=00*64 -> 7 value=0x600020002 status=4210752
 * expect: packet=00*300 -> 1 value=0x700020002 status=0x4040402c
 * with: sampling=1 minimum=0
 * expect: packet= -> 7 value=0x100000001 status=0xffffff00
 * expect: packet=00 -> 7 value=0x200000002 status=0xffff0001
 * expect: packet=0000 -> 7 value=0x300000003 status=0xff000102
 * with: minimum=0xffff
 * expect: packet=00*9 -> 1 value=0x100010000 status=0xffffff09
 */
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "../packet.h"

const volatile __u32 sampling = 3;
const volatile __u16 minimum = 4;
const volatile struct {
    __u8 chosen, other;
} verdicts = { 7, 1 };

static __u16 seen, too_short, chosen;   /* .bss */
static __u32 countdown = 1;             /* .data */
static __u8 sizes[4] = { 0xff, 0xff, 0xff, 0xff };

static __noinline void remember(__u8 size)
{
    sizes[3] = sizes[2];
    sizes[2] = sizes[1];
    sizes[1] = sizes[0];
    sizes[0] = size;
}

SEC("table/packet")
__u32 configuration(struct packet *packet, __u32 key)
{
    __u64 size = packet->data_end - packet->data;
    __u32 verdict = verdicts.other;

    seen++;
    remember(size);
    if (size < minimum) {
        too_short++;
    } else if (--countdown == 0) {
        countdown = sampling;
        chosen++;
        verdict = verdicts.chosen;
    }
    packet->value = (__u64)seen << 32 | (__u32)too_short << 16 | chosen;
    packet->status = (__u32)sizes[3] << 24 | sizes[2] << 16 | sizes[1] << 8 | sizes[0];
    return verdict;
}
