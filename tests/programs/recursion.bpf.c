/* SPDX-License-Identifier: MIT */
/* Refused: a function that calls itself. */
#include "packet.h"

static NOINLINE __u64 ackermann(__u64 m, __u64 n)
{
    if (m == 0)
        return n + 1;
    return n == 0 ? ackermann(m - 1, 1) : ackermann(m - 1, ackermann(m, n - 1));
}

PROGRAM(recursion)(struct packet *packet, __u32 key)
{
    return (__u32)ackermann(packet->value, key);
}
