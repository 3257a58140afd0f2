/* SPDX-License-Identifier: MIT */
/* Refused: a stack offset that is not constant. */
#include "packet.h"

PROGRAM(indexed)(struct packet *packet, __u32 key)
{
    volatile __u8 bytes[16];

    for (int i = 0; i < 16; i++)
        bytes[i] = (__u8)i;
    return bytes[packet->offset & 15];
}
