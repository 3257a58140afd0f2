/* SPDX-License-Identifier: MIT */
/* Longest prefixes: 16 addresses, each against a list. */
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "kernel.h"

#define ADDRESSES_MAX 16

static const struct prefix {
    __u32 address, mask, hop;
} prefixes[] = {
    { 0xc0000201, 0xffffffff, 1 }, { 0xc0000280, 0xffffff80, 2 }, { 0xc0000200, 0xffffff00, 3 },
    { 0xc6336400, 0xffffff00, 4 }, { 0xc6120000, 0xfffe0000, 5 }, { 0xac100000, 0xfff00000, 6 },
    { 0x64400000, 0xffc00000, 7 }, { 0x0a000000, 0xff000000, 8 }, { 0xe0000000, 0xf0000000, 9 },
    { 0x80000000, 0x80000000, 10 }, { 0x40000000, 0xc0000000, 11 }, { 0x20000000, 0xe0000000, 12 },
};

#define COUNT (sizeof(prefixes) / sizeof(prefixes[0]))

SEC("table/kernel")
__u32 routes(struct kernel *kernel, __u32 key)
{
    const __u8 *at = kernel->data, *end = kernel->data_end;
    __u32 sum = 0;

    for (int i = 0; i < ADDRESSES_MAX && at + 4 <= end; i++, at += 4) {
        __u32 address = *(const __u32 *)at;

        for (unsigned j = 0; j < COUNT; j++)
            if ((address & prefixes[j].mask) == prefixes[j].address) {
                sum = sum * 16 + prefixes[j].hop;
                break;
            }
    }
    return sum;
}
