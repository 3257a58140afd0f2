/* SPDX-License-Identifier: MIT */
/*
 * Are the brackets of the packet's first 64 bytes balanced?  A stack has those that are open.  The verdict is 0, or the
 * place (from 1) of the byte that does not fit, or 255: some are still open.  status is how many.
 *
 * expect: packet= -> 0
 * expect: packet="a(b)[c]{d}" -> 0
 * expect: packet="([{}])" -> 0
 * expect: packet="([)]" -> 3 status=1
 * expect: packet=")" -> 1
 * expect: packet="(((" -> 255 status=3
 * expect: packet="()" -> 0
 * expect: packet="("*8+")"*8 -> 0
 * expect: packet="("*9 -> 9 status=8
 */
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "../packet.h"

#define BYTES_MAX 64
#define DEPTH_MAX 8

struct {
    __uint(type, BPF_MAP_TYPE_STACK);
    __uint(max_entries, DEPTH_MAX);
    __uint(key_size, 0);
    __uint(value_size, sizeof(__u32));
} stack SEC(".maps");

/* The closing bracket of an opening one; 0: it is none. */
static __u32 closing(__u8 character)
{
    return character == '(' ? ')' : character == '[' ? ']' : character == '{' ? '}' : 0;
}

static __u32 empty(void)
{
    __u32 left = 0, bracket;

    for (__u32 i = 0; i < DEPTH_MAX && bpf_map_pop_elem(&stack, &bracket) == 0; i++)
        left++;
    return left;
}

static __u32 find_wrong(const __u8 *data, const __u8 *end)
{
    for (__u32 i = 0; i < BYTES_MAX && data + i + 1 <= end; i++) {
        __u8 character = data[i];
        __u32 bracket = closing(character);

        if (bracket && bpf_map_push_elem(&stack, &bracket, BPF_ANY) != 0)
            return i + 1;
        if ((character == ')' || character == ']' || character == '}') &&
            (bpf_map_pop_elem(&stack, &bracket) != 0 || bracket != character))
            return i + 1;
    }
    return 0;
}

SEC("table/packet")
__u32 brackets(struct packet *packet, __u32 key)
{
    __u32 wrong = find_wrong(packet->data, packet->data_end), left = empty();

    packet->status = left;
    return wrong ? wrong : left ? 255 : 0;
}
