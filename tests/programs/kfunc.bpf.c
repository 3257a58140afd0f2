/* SPDX-License-Identifier: MIT */
/* Refused: a function that is not in the object. */
#include "packet.h"

extern __u32 elsewhere(__u32 key) __attribute__((section(".ksyms")));

PROGRAM(outside)(struct packet *packet, __u32 key)
{
    return elsewhere(key);
}
