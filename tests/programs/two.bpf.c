/* SPDX-License-Identifier: MIT */
/* Refused: two programs in one object. */
#include "packet.h"

PROGRAM(one)(struct packet *packet, __u32 key)
{
    return 1;
}

PROGRAM(another)(struct packet *packet, __u32 key)
{
    return 2;
}
