/* SPDX-License-Identifier: MIT */
/* Refused: a store to a field that is declared for reading. */
#include "packet.h"

PROGRAM(resizes)(struct packet *packet, __u32 key)
{
    packet->size = 1;
    return 0;
}
