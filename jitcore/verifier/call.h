/* SPDX-License-Identifier: MIT */
/*
 * Calls of functions and helpers, callbacks, exits.
 */
#ifndef JITCORE_VERIFIER_CALL_H
#define JITCORE_VERIFIER_CALL_H

#include "analysis.h"

#define CALL_MEMORY_MAX (1u << 29)      /* bytes of one argument */

int call_process(struct analysis *analysis);
int call_process_exit(struct analysis *analysis);

/* What a call leaves of R0 to R5: nothing. */
void call_clear_arguments(struct frame *frame);

#endif
