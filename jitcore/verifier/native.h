/* SPDX-License-Identifier: MIT */
/*
 * Calls of functions of the workers': arguments are checked by the prototype (../native.h), of the result nothing is
 * known.
 */
#ifndef JITCORE_VERIFIER_NATIVE_H
#define JITCORE_VERIFIER_NATIVE_H

#include "analysis.h"

/* The call at hand is one of this native of the program. */
int native_process(struct analysis *analysis, uint32_t native);

#endif
