/* SPDX-License-Identifier: MIT */
/* Refused: no program. */
#include "packet.h"

__u32 not_a_program(struct packet *packet)
{
    return packet->size;
}
