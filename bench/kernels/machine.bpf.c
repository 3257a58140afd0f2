/* SPDX-License-Identifier: MIT */
/* A machine whose instructions are bytes: a switch over 16 of them, with four registers. */
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "kernel.h"

#define STEPS_MAX 256

SEC("table/kernel")
__u32 machine(struct kernel *kernel, __u32 key)
{
    const __u8 *at = kernel->data, *end = kernel->data_end;
    __u32 a = key, b = 1, c = 2, d = 3;

    for (int i = 0; i < STEPS_MAX && at + 1 <= end; i++, at++) {
        switch (*at & 15) {
        case 0: a += b; break;
        case 1: b += c; break;
        case 2: c += d; break;
        case 3: d += a; break;
        case 4: a ^= c; break;
        case 5: b ^= d; break;
        case 6: c = c << 3 | c >> 29; break;
        case 7: d -= b; break;
        case 8: a *= 5; break;
        case 9: b = ~b; break;
        case 10: c &= a | 0xff; break;
        case 11: d |= *at; break;
        case 12: a = b + c; break;
        case 13: b = a > d ? a : d; break;
        case 14: c -= *at; break;
        default: d >>= 1; break;
        }
    }
    kernel->result = (__u64)a << 32 | b;
    return c ^ d;
}
