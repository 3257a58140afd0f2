/* SPDX-License-Identifier: MIT */
/* Integer square roots of eight numbers, bit by bit, and the quotients of their neighbours. */
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "kernel.h"

#define COUNT 8

static __noinline __u64 square_root_of(__u64 number)
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
    return root;
}

SEC("table/kernel")
__u32 square_root(struct kernel *kernel, __u32 key)
{
    const __u64 *data = (const void *)kernel->data;
    __u64 before = key + 1, sum = 0;

    if ((const __u8 *)(data + COUNT) > kernel->data_end)
        return 0;
    for (int i = 0; i < COUNT; i++) {
        __u64 root = square_root_of(data[i]);

        sum += root + data[i] / before;
        before = root | 1;
    }
    kernel->result = sum;
    return (__u32)sum;
}
