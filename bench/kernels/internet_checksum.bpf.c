/* SPDX-License-Identifier: MIT */
/* The checksum of IPv4, TCP and UDP over up to 512 bytes. */
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "kernel.h"

#define WORDS_MAX 256

SEC("table/kernel")
__u32 internet_checksum(struct kernel *kernel, __u32 key)
{
    const __u16 *at = (const void *)kernel->data;
    const void *end = kernel->data_end;
    __u64 sum = key;

    for (int i = 0; i < WORDS_MAX && (const void *)(at + 1) <= end; i++, at++)
        sum += *at;
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return ~sum & 0xffff;
}
