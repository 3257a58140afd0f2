/* SPDX-License-Identifier: MIT */
/*
 * What arithmetic, conditions and atomic operations compute (RFC 9669 sections 4 and 5.3), as functions of numbers; for
 * the interpreter and for tests.
 */
#ifndef JITCORE_SEMANTICS_H
#define JITCORE_SEMANTICS_H

#include <stdbool.h>
#include <stdint.h>

#include "instruction.h"

/*
 * The destination register after `i`, an arithmetic instruction: `a` is the destination register before, `b` the source
 * register (where the instruction uses one).  Shifts by more than the width are masked, by immediates too.
 */
uint64_t semantics_arithmetic(struct instruction i, uint64_t a, uint64_t b);

/* Is the jump `i` taken? */
bool semantics_condition(struct instruction i, uint64_t a, uint64_t b);

/*
 * What an atomic operation leaves in memory: `memory` is what was there, zero-extended, `source` the source register
 * and `r0` R0.
 */
uint64_t semantics_atomic(struct instruction i, uint64_t memory, uint64_t source, uint64_t r0);

/* The low `bits` (8, 16, 32, 64) of a number with their sign. */
uint64_t semantics_sign_extend(uint64_t value, unsigned bits);

#endif
