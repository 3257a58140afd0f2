/* SPDX-License-Identifier: MIT */
/* libbpf's headers, unchanged. */
#include "packet.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

static __always_inline __u64 swap(__u64 value)
{
    return bpf_cpu_to_be64(value);
}

PROGRAM(swaps)(struct packet *packet, __u32 key)
{
    packet->value = swap(packet->value);
    packet->small = bpf_htons(packet->small);
    if (packet->size == bpf_ntohl(0x01020304))
        return 1;
    return bpf_htonl(key);
}
