/* SPDX-License-Identifier: MIT */
/* Refused: a member of the struct that the hook does not declare. */
#include "packet.h"

PROGRAM(peeks)(struct packet *packet, __u32 key)
{
    return packet->undeclared;
}
