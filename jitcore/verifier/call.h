/* SPDX-License-Identifier: MIT */
/*
 * Calls of functions and helpers, callbacks, exits.
 */
#ifndef JITCORE_VERIFIER_CALL_H
#define JITCORE_VERIFIER_CALL_H

#include "analysis.h"

int call_process(struct analysis *analysis);
int call_process_exit(struct analysis *analysis);

#endif
