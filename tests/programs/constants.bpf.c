/* SPDX-License-Identifier: MIT */
/* Refused: constants in memory. */
#include "packet.h"

static const volatile __u32 verdicts[4] = { 3, 1, 4, 1 };

PROGRAM(look_up)(struct packet *packet, __u32 key)
{
    return verdicts[key & 3];
}
