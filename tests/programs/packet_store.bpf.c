/* SPDX-License-Identifier: MIT */
/* Refused: a store to the packet. */
#include "packet.h"

PROGRAM(writes)(struct packet *packet, __u32 key)
{
    *(unsigned char *)packet->data = 1;
    return 0;
}
