/* SPDX-License-Identifier: MIT */
/* Refused: a variable in a section that is none of data. */
#include "packet.h"

__attribute__((section("counters"), used)) volatile __u32 counter;

PROGRAM(counts)(struct packet *packet, __u32 key)
{
    return ++counter;
}
