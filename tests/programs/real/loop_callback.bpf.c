/* SPDX-License-Identifier: MIT */
/*
 * The helper that loops: Fletcher's checksum of the packet's first 400 bytes, by a callback that gets the index of
 * its turn and ends the loop where the packet ends.  value is the number of turns.
 *
 * expect: packet= -> 0 value=1
 * expect: packet="abcde" -> 51440 value=6
 * expect: packet="abcdef" -> 8279 value=7
 * expect: packet="abcdefgh" -> 1575 value=9
 * expect: packet=ff*399 -> 0 value=400
 * expect: packet=fe*400 -> 32110 value=400
 * expect: packet=01*401 -> 33425 value=400
 */
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "../packet.h"

#define BYTES_MAX 400
#define MODULUS 255

struct sum {
    struct packet *packet;
    __u32 low, high;
};

static long add(__u32 i, struct sum *sum)
{
    const __u8 *data = sum->packet->data, *end = sum->packet->data_end;

    if (i >= BYTES_MAX || data + i + 1 > end)
        return 1;
    sum->low = (sum->low + data[i]) % MODULUS;
    sum->high = (sum->high + sum->low) % MODULUS;
    return 0;
}

SEC("table/packet")
__u32 loop_callback(struct packet *packet, __u32 key)
{
    struct sum sum = { .packet = packet };

    packet->value = bpf_loop(BYTES_MAX, add, &sum, 0);
    return sum.high << 8 | sum.low;
}
