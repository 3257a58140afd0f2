/* SPDX-License-Identifier: MIT */
/* Refused: a section of a kind that does not exist here. */
#include "packet.h"

__attribute__((section("xdp"), used)) __u32 filter(struct packet *packet, __u32 key)
{
    return 2;
}
