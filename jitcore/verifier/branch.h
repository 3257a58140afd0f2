/* SPDX-License-Identifier: MIT */
/*
 * Jumps, and what a conditional one tells of its operands: ranges of numbers and of what is linked to them, NULL or
 * not, how much of the packet is there.
 */
#ifndef JITCORE_VERIFIER_BRANCH_H
#define JITCORE_VERIFIER_BRANCH_H

#include "analysis.h"

int branch_process(struct analysis *analysis);

#endif
