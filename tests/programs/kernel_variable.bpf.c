/* SPDX-License-Identifier: MIT */
/* Refused: configuration of a kernel. */
#include "packet.h"
#include <bpf/bpf_helpers.h>

extern int LINUX_KERNEL_VERSION __kconfig;

PROGRAM(asks)(struct packet *packet, __u32 key)
{
    return (__u32)LINUX_KERNEL_VERSION;
}
