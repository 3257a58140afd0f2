/* SPDX-License-Identifier: MIT */
/* One eBPF instruction, as RFC 9669 section 3.1 lays it out, little endian. */
#ifndef JITCORE_INSTRUCTION_H
#define JITCORE_INSTRUCTION_H

#include <stdint.h>

struct instruction {
    uint8_t opcode;
    uint8_t registers;          /* destination in bits 0-3, source in bits 4-7 */
    int16_t offset;
    int32_t immediate;
};

_Static_assert(sizeof(struct instruction) == 8, "RFC 9669 section 3.1");

static inline unsigned instruction_destination(struct instruction i)
{
    return i.registers & 15;
}

static inline unsigned instruction_source(struct instruction i)
{
    return i.registers >> 4;
}

#endif
