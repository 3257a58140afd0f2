/* SPDX-License-Identifier: MIT */
/*
 * What holds for every program in canonical form.  Who works from one relies on it and checks it no more.
 */
#ifndef JITCORE_BYTECODE_CHECK_H
#define JITCORE_BYTECODE_CHECK_H

#include "bytecode.h"

#define BYTECODE_RULE "bytecode"

/*
 * What a maker of one must see to: counts, offsets, kinds, names, order; instructions by instruction_check(); what they
 * refer to exists; jumps stay in their function and lead to no second half of an lddw; a function ends with an exit or
 * a jump; maps can be laid out.  -ENOMEM; -EINVAL, -EOPNOTSUPP, -E2BIG with `error` (rule "bytecode", and those of
 * instruction.h and map.h).
 */
int bytecode_check(const struct bytecode *bytecode, struct jit_error *error);

/* Of this only the counts, before memory is taken for so many.  -EINVAL with `error`. */
int bytecode_check_counts(const struct bytecode *bytecode, struct jit_error *error);

#endif
