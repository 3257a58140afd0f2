/* SPDX-License-Identifier: MIT */
/*
 * Which registers are live: their value may still be read.  Sets of registers are masks, bit r for Rr.  No processor is
 * assumed, and no proof: of all ways through a function, as its jumps lead.
 */
#ifndef JITCORE_LIVENESS_H
#define JITCORE_LIVENESS_H

#include <stdint.h>

#include "bytecode.h"

static inline uint16_t register_bit(unsigned reg)
{
    return (uint16_t)(1u << reg);
}

/* What one instruction reads, and what it writes.  A call reads R1 to R5, whatever it calls, and writes R0 to R5. */
uint16_t liveness_reads(struct instruction i);
uint16_t liveness_writes(struct instruction i);

/*
 * The registers that are live before and behind each instruction of the program: arrays of as many elements.  R0 is
 * live where a function returns, and what the convention preserves (R6 to R9) is not: the caller's values are the
 * prologue's business.  An instruction is looked at again only if a register became live behind it: in total no more
 * often than jumps and instructions, times registers.  -ENOMEM.
 */
int liveness_of_program(const struct bytecode *bytecode, uint16_t *ret_before, uint16_t *ret_behind);

#endif
