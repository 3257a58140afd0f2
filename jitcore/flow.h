/* SPDX-License-Identifier: MIT */
/*
 * Where pointers point: a forward data-flow analysis of a program's registers and stack slots, to a
 * fixed point over all paths at once.  It decides for each load and store what it accesses.
 * checker.h says what is refused.
 */
#ifndef JITCORE_FLOW_H
#define JITCORE_FLOW_H

#include "checker.h"

/*
 * Fill `program`'s marks, stack sizes and `packet`.  All of the object's instructions are well
 * formed, all jumps stay in their functions, and no function calls itself.  0; -EINVAL with `error`
 * (rules of checker.h); -ENOMEM.
 */
int flow_run(struct checked_program *program, const struct context *context,
             struct jit_error *error);

#endif
