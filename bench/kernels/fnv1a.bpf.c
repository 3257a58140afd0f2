/* SPDX-License-Identifier: MIT */
/* FNV-1a of up to 512 bytes: a multiplication for each byte. */
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "kernel.h"

#define BYTES_MAX 512

SEC("table/kernel")
__u32 fnv1a(struct kernel *kernel, __u32 key)
{
    const __u8 *at = kernel->data, *end = kernel->data_end;
    __u64 hash = 0xcbf29ce484222325;

    for (int i = 0; i < BYTES_MAX && at + 1 <= end; i++, at++)
        hash = (hash ^ *at) * 0x100000001b3;
    kernel->result = hash;
    return (__u32)hash;
}
