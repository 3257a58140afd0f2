/* SPDX-License-Identifier: MIT */
/* Refused: addresses in data. */
#include "packet.h"

static const char first[] = "first", second[] = "second";
static const char *volatile names[2] = { first, second };

PROGRAM(names_one)(struct packet *packet, __u32 key)
{
    return (__u32)names[key & 1][0];
}
