/* SPDX-License-Identifier: MIT */
/* The smallest program: no frame, one instruction. */
#include "packet.h"

PROGRAM(verdict)(struct packet *packet, __u32 key)
{
    return 7;
}
