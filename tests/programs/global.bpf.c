/* SPDX-License-Identifier: MIT */
/* Refused: a global variable. */
#include "packet.h"

__u64 total;

PROGRAM(add)(struct packet *packet, __u32 key)
{
    total += key;
    return 0;
}
