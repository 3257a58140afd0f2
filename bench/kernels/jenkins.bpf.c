/* SPDX-License-Identifier: MIT */
/* Jenkins's hash of the addresses and ports of an IPv4 packet. */
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "kernel.h"

static __always_inline __u32 rotate(__u32 word, unsigned bits)
{
    return word << bits | word >> (32 - bits);
}

SEC("table/kernel")
__u32 jenkins(struct kernel *kernel, __u32 key)
{
    const __u8 *ip = kernel->data + 14;
    __u32 a, b, c;

    if (ip + 24 > kernel->data_end)
        return 0;
    a = b = c = 0xdeadbeef + 12 + key;
    a += *(const __u32 *)(ip + 12);
    b += *(const __u32 *)(ip + 16);
    c += *(const __u32 *)(ip + 20);
    c ^= b; c -= rotate(b, 14);
    a ^= c; a -= rotate(c, 11);
    b ^= a; b -= rotate(a, 25);
    c ^= b; c -= rotate(b, 16);
    a ^= c; a -= rotate(c, 4);
    b ^= a; b -= rotate(a, 14);
    c ^= b; c -= rotate(b, 24);
    return c;
}
