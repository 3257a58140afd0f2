/* SPDX-License-Identifier: MIT */
/* Insertion sort of 16 bytes on the stack. */
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "kernel.h"

#define COUNT 16

SEC("table/kernel")
__u32 sort_insertion(struct kernel *kernel, __u32 key)
{
    const __u8 *data = kernel->data;
    __u8 sorted[COUNT];

    if (data + COUNT > kernel->data_end)
        return 0;
    for (int i = 0; i < COUNT; i++) {
        int place = i;

        for (; place > 0 && sorted[place - 1] > data[i]; place--)
            sorted[place] = sorted[place - 1];
        sorted[place] = data[i];
    }
    return sorted[COUNT / 2] | sorted[0] << 8 | sorted[COUNT - 1] << 16;
}
