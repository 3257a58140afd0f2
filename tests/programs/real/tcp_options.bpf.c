/* SPDX-License-Identifier: MIT */
/*
 * The options of a TCP header, which the packet begins with: the number of options, in status the maximum segment size,
 * in tiny the window scale, in value the sender's timestamp.  0 if an option is
 * malformed, or if there are more than 10.
 *
 * expect: packet=9c4001bb00000001000000005002ffff00000000 -> 0
 * expect: packet=9c4001bb0000000100000000a002ffff00000000+
 *   020405b40402080a010203040000000001030307 -> 5 status=1460 tiny=7 value=16909060
 * expect: packet=9c4001bb00000001000000007002ffff00000000020405b400ffffff -> 1 status=1460
 * expect: packet=9c4001bb00000001000000008010ffff000000000101080a0102030400000000 -> 3 value=16909060
 * expect: packet=9c4001bb0000000100000000f002ffff00000000+01*40 -> 0
 * expect: packet=9c4001bb00000001000000006002ffff0000000002000000 -> 0
 * expect: packet=9c4001bb00000001000000006002ffff0000000001010102 -> 0
 * expect: packet=9c4001bb00000001000000006002ffff00000000020805b4 -> 0
 * expect: packet=9c4001bb00000001000000006002ffff000000000204 -> 1
 * expect: packet=9c4001bb00000001000000007002ffff00000000020405b4 -> 0 status=1460
 * expect: packet=9c4001bb00000001000000005002ffff000000 -> 0
 */
#include <linux/tcp.h>
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "../packet.h"

#define OPTIONS_MAX 10
#define BYTES_MAX 40

enum option { OPTION_END = 0, OPTION_NOTHING = 1, OPTION_SEGMENT = 2, OPTION_SCALE = 3, OPTION_TIMESTAMP = 8 };

/* Big endian, byte for byte: the position may have any alignment. */
static __always_inline __u32 read_be32(const __u8 *at)
{
    return (__u32)at[0] << 24 | at[1] << 16 | at[2] << 8 | at[3];
}

SEC("table/packet")
__u32 tcp_options(struct packet *packet, __u32 key)
{
    const struct tcphdr *tcp = (const void *)packet->data;
    const __u8 *data = packet->data, *end = packet->data_end;
    __u32 at = sizeof(*tcp), header_length, count = 0;

    if ((const __u8 *)(tcp + 1) > end)
        return 0;
    header_length = tcp->doff * 4;
    for (int i = 0; i < OPTIONS_MAX; i++) {
        const __u8 *option = data + at;
        __u32 length = 1;

        if (at >= header_length || at > sizeof(*tcp) + BYTES_MAX || option + 1 > end)
            break;
        if (*option == OPTION_END)
            return count;
        if (*option != OPTION_NOTHING) {
            if (option + 2 > end)
                return 0;
            length = option[1];
            if (length < 2 || at + length > header_length)
                return 0;
            if (*option == OPTION_SEGMENT && length == 4 && option + 4 <= end)
                packet->status = option[2] << 8 | option[3];
            if (*option == OPTION_SCALE && length == 3 && option + 3 <= end)
                packet->tiny = option[2];
            if (*option == OPTION_TIMESTAMP && length == 10 && option + 10 <= end)
                packet->value = read_be32(option + 2);
        }
        count++;
        at += length;
    }
    return at == header_length ? count : 0;
}
