/* SPDX-License-Identifier: MIT */
/* Without the struct's type nothing can be compared: accepted. */
#include "packet.h"

PROGRAM(untyped)(void *packet, __u32 key)
{
    return *(__u32 *)(packet + 28);
}
