/* SPDX-License-Identifier: MIT */
/* Refused: a function that is not in the object, and not declared as one of the workers'. */
#include "packet.h"

extern __u32 elsewhere(__u32 key);

PROGRAM(outside)(struct packet *packet, __u32 key)
{
    return elsewhere(key);
}
