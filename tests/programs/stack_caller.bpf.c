/* SPDX-License-Identifier: MIT */
/* A pointer to the caller's stack. */
#include "packet.h"

static NOINLINE void fill(__u64 *value)
{
    *(volatile __u64 *)value = 1;
}

PROGRAM(pointer)(struct packet *packet, __u32 key)
{
    __u64 value = 0;

    fill(&value);
    return (__u32)value;
}
