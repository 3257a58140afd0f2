/* SPDX-License-Identifier: MIT */
/* A place on the stack that the context decides. */
#include "packet.h"

PROGRAM(indexed)(struct packet *packet, __u32 key)
{
    volatile __u8 bytes[16];

    for (int i = 0; i < 16; i++)
        bytes[i] = (__u8)i;
    return bytes[packet->offset & 15];
}
