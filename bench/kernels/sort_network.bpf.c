/* SPDX-License-Identifier: MIT */
/* Eight numbers through a sorting network. */
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "kernel.h"

#define COUNT 8

#define SORT(i, j)                  \
    do {                            \
        if (slot[i] > slot[j]) {    \
            __u64 other = slot[i];  \
                                    \
            slot[i] = slot[j];      \
            slot[j] = other;        \
        }                           \
    } while (0)

SEC("table/kernel")
__u32 sort_network(struct kernel *kernel, __u32 key)
{
    const __u64 *data = (const void *)kernel->data;
    __u64 slot[COUNT];

    if ((const __u8 *)(data + COUNT) > kernel->data_end)
        return 0;
    for (int i = 0; i < COUNT; i++)
        slot[i] = data[i];
    SORT(0, 2); SORT(1, 3); SORT(4, 6); SORT(5, 7);
    SORT(0, 4); SORT(1, 5); SORT(2, 6); SORT(3, 7);
    SORT(0, 1); SORT(2, 3); SORT(4, 5); SORT(6, 7);
    SORT(2, 4); SORT(3, 5);
    SORT(1, 4); SORT(3, 6);
    SORT(1, 2); SORT(3, 4); SORT(5, 6);
    kernel->result = slot[3] ^ slot[0] << 1 ^ slot[7] >> 1;
    return (__u32)slot[4];
}
