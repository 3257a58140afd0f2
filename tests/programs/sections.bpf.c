/* SPDX-License-Identifier: MIT */
/* Refused: programs for two contexts in one object. */
#include "packet.h"

PROGRAM(one)(struct packet *packet, __u32 key)
{
    return 1;
}

__attribute__((section("table/other"), used)) __u32 another(struct packet *packet, __u32 key)
{
    return 2;
}
