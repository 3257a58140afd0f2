/* SPDX-License-Identifier: MIT */
/*
 * The arithmetic operators on views: one rule each, for every width.
 */
#ifndef JITCORE_VERIFIER_OPERATOR_H
#define JITCORE_VERIFIER_OPERATOR_H

#include "../instruction.h"
#include "view.h"

/*
 * a OPERATION b, two views of one width: every enum instruction_arithmetic with two operands.  The result holds all
 * results that numbers of a and b can have; all numbers of that width if a or b has none.
 */
struct view operator_apply(enum instruction_arithmetic operation, bool is_signed,
                           const struct view *a, const struct view *b);

#endif
