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
 * The registers that are live behind each instruction of `function` (an index): ret_after has an element for each
 * instruction of the whole program, of which those of the function are written.  R0 is live where it returns, and what
 * the convention preserves (R6 to R9) is not: the caller's values are the prologue's business.
 */
void liveness_of_function(const struct bytecode *bytecode, uint32_t function, uint16_t *ret_after);

#endif
