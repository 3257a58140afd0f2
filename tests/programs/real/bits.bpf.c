/* SPDX-License-Identifier: MIT */
/*
 * What is done with bits, to the number in value; the key says which: 0 how many are set, 1 how many zeros are above
 * them, 2 below them, 3 the order of all reversed (value has the result), 4 the next power of two (value), 5 spread
 * out to the even places (value, of the lower half), 6 parity, 7 the lowest one set (value), 8 rotated left by size
 * (value).
 *
 * expect: key=0 value=0 -> 0
 * expect: key=1 value=0 -> 64
 * expect: key=2 value=0 -> 64
 * expect: key=0 value=1 -> 1
 * expect: key=1 value=1 -> 63
 * expect: key=2 value=1 -> 0
 * expect: key=0 value=0x8000000000000000 -> 1
 * expect: key=1 value=0x8000000000000000 -> 0
 * expect: key=2 value=0x8000000000000000 -> 63
 * expect: key=0 value=0xffffffffffffffff -> 64
 * expect: key=1 value=0xffffffffffffffff -> 0
 * expect: key=2 value=0xffffffffffffffff -> 0
 * expect: key=0 value=0xf0000000000100 -> 5
 * expect: key=1 value=0xf0000000000100 -> 8
 * expect: key=2 value=0xf0000000000100 -> 8
 * expect: key=0 value=0x123456789abcdef0 -> 32
 * expect: key=1 value=0x123456789abcdef0 -> 3
 * expect: key=2 value=0x123456789abcdef0 -> 4
 * expect: key=3 value=0 -> 3 value=0
 * expect: key=6 value=0 -> 0
 * expect: key=7 value=0 -> 7 value=0
 * expect: key=3 value=1 -> 3 value=0x8000000000000000
 * expect: key=6 value=1 -> 1
 * expect: key=7 value=1 -> 7 value=1
 * expect: key=3 value=0xf0000000000100 -> 3 value=0x80000000000f00
 * expect: key=6 value=0xf0000000000100 -> 1
 * expect: key=7 value=0xf0000000000100 -> 7 value=256
 * expect: key=3 value=0x123456789abcdef0 -> 3 value=0xf7b3d591e6a2c48
 * expect: key=6 value=0x123456789abcdef0 -> 0
 * expect: key=7 value=0x123456789abcdef0 -> 7 value=16
 * expect: key=4 value=1 -> 4 value=1
 * expect: key=4 value=2 -> 4 value=2
 * expect: key=4 value=3 -> 4 value=4
 * expect: key=4 value=1000 -> 4 value=1024
 * expect: key=4 value=0x8000000000000000 -> 4 value=0x8000000000000000
 * expect: key=4 value=0x100000001 -> 4 value=0x200000000
 * expect: key=5 value=0xffffffff -> 5 value=0x5555555555555555
 * expect: key=5 value=0xdeadbeef12345678 -> 5 value=0x104051011141540
 * expect: key=8 value=0x123456789abcdef0 size=0 -> 8 value=0x123456789abcdef0
 * expect: key=8 value=0x123456789abcdef0 size=1 -> 8 value=0x2468acf13579bde0
 * expect: key=8 value=0x123456789abcdef0 size=63 -> 8 value=0x91a2b3c4d5e6f78
 * expect: key=8 value=0x123456789abcdef0 size=64 -> 8 value=0x123456789abcdef0
 * expect: key=8 value=0x123456789abcdef0 size=20 -> 8 value=0x6789abcdef012345
 * expect: key=9 value=3 -> 0xffffffff
 */
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "../packet.h"

enum what { COUNT, ABOVE, BELOW, REVERSE, POWER, SPREAD, PARITY, LOWEST, ROTATE };

static __always_inline __u32 count(__u64 x)
{
    x -= x >> 1 & 0x5555555555555555;
    x = (x & 0x3333333333333333) + (x >> 2 & 0x3333333333333333);
    x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0f;
    return x * 0x0101010101010101 >> 56;
}

/* All bits below the highest one set, and itself. */
static __always_inline __u64 fill(__u64 x)
{
    for (int shift = 1; shift < 64; shift *= 2)
        x |= x >> shift;
    return x;
}

static __always_inline __u64 reverse(__u64 x)
{
    x = (x >> 1 & 0x5555555555555555) | (x & 0x5555555555555555) << 1;
    x = (x >> 2 & 0x3333333333333333) | (x & 0x3333333333333333) << 2;
    x = (x >> 4 & 0x0f0f0f0f0f0f0f0f) | (x & 0x0f0f0f0f0f0f0f0f) << 4;
    return __builtin_bswap64(x);
}

static __always_inline __u64 spread(__u64 x)
{
    x &= 0xffffffff;
    x = (x | x << 16) & 0x0000ffff0000ffff;
    x = (x | x << 8) & 0x00ff00ff00ff00ff;
    x = (x | x << 4) & 0x0f0f0f0f0f0f0f0f;
    x = (x | x << 2) & 0x3333333333333333;
    return (x | x << 1) & 0x5555555555555555;
}

SEC("table/packet")
__u32 bits(struct packet *packet, __u32 key)
{
    __u64 x = packet->value;
    __u32 shift = packet->size & 63;

    switch ((enum what)key) {
    case COUNT:
        return count(x);
    case ABOVE:
        return 64 - count(fill(x));
    case BELOW:
        return count(~x & (x - 1));
    case PARITY:
        return count(x) & 1;
    case REVERSE:
        packet->value = reverse(x);
        break;
    case POWER:
        packet->value = fill(x - 1) + 1;
        break;
    case SPREAD:
        packet->value = spread(x);
        break;
    case LOWEST:
        packet->value = x & -x;
        break;
    case ROTATE:
        packet->value = x << shift | x >> (-shift & 63);
        break;
    default:
        return ~0u;
    }
    return key;
}
