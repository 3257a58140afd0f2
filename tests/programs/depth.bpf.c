/* SPDX-License-Identifier: MIT */
/* DEPTH functions on the stack at once (8 are allowed), each with its own frame. */
#include "packet.h"

#ifndef DEPTH
#define DEPTH 8
#endif

#define FRAME_SLOTS 63

#define LEVEL(this, next)                                                       \
    static NOINLINE __attribute__((unused)) __u64 this(__u64 value)             \
    {                                                                           \
        volatile __u64 slot[FRAME_SLOTS];                                       \
        __u64 result;                                                           \
                                                                                \
        slot[0] = value;                                                        \
        slot[FRAME_SLOTS - 1] = value + 1;                                      \
        result = next;                                                          \
        return result + slot[0] + slot[FRAME_SLOTS - 1];                        \
    }

LEVEL(level8, value)
#if DEPTH > 8
LEVEL(level7, level8(value * 2))
#else
LEVEL(level7, value)
#endif
LEVEL(level6, level7(value + 7))
LEVEL(level5, level6(value + 6))
LEVEL(level4, level5(value + 5))
LEVEL(level3, level4(value + 4))
LEVEL(level2, level3(value + 3))
LEVEL(level1, level2(value + 2))

PROGRAM(depth)(struct packet *packet, __u32 key)
{
    packet->value = level1(packet->value);
    return key;
}
