/* SPDX-License-Identifier: MIT */
/*
 * The integer square root of value, bit by bit; in value the remainder.  The standard deviation of the packet's
 * first 32 bytes, as 24.8 bits, is status.
 *
 * expect: value=0 -> 0 value=0
 * expect: value=1 -> 1 value=0
 * expect: value=2 -> 1 value=1
 * expect: value=99 -> 9 value=18
 * expect: value=100 -> 10 value=0
 * expect: value=0xffffffff -> 65535 value=131070
 * expect: value=0x100000000 -> 65536 value=0
 * expect: value=0xfffffffe00000001 -> 0xffffffff value=0
 * expect: value=0xfffffffe00000000 -> 0xfffffffe value=0x1fffffffc
 * expect: value=0xffffffffffffffff -> 0xffffffff value=0x1fffffffe
 * expect: packet=07 -> 0 status=0
 * expect: packet=00ff -> 0 status=32640
 * expect: packet=000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f -> 0 status=2363
 * expect: packet=00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff -> 0 status=32640
 */
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "../packet.h"

#define SAMPLES_MAX 32

static __noinline __u64 square_root_of(__u64 number, __u64 *ret_remainder)
{
    __u64 root = 0;

    for (__u64 bit = 1ull << 62; bit > 0; bit >>= 2) {
        if (number >= root + bit) {
            number -= root + bit;
            root = (root >> 1) + bit;
        } else {
            root >>= 1;
        }
    }
    *ret_remainder = number;
    return root;
}

SEC("table/packet")
__u32 square_root(struct packet *packet, __u32 key)
{
    const __u8 *data = packet->data, *end = packet->data_end;
    __u64 sum = 0, squares = 0, remainder;
    __u32 count;

    for (count = 0; count < SAMPLES_MAX && data + count + 1 <= end; count++) {
        sum += data[count];
        squares += data[count] * data[count];
    }
    if (count > 0)
        packet->status = square_root_of(((squares * count - sum * sum) << 16) / (count * count), &remainder);
    sum = square_root_of(packet->value, &remainder);
    packet->value = remainder;
    return sum;
}
