/* SPDX-License-Identifier: MIT */
/* What the verifier tells the compiler of each instruction (verified.h), against what happens. */
#ifndef TESTS_SOUNDNESS_CLAIM_H
#define TESTS_SOUNDNESS_CLAIM_H

#include <stdbool.h>
#include <stddef.h>

#include "interpreter.h"
#include "verified.h"

/* Before an instruction: is all true that is said of it?  If not, what is wrong is written to `reason`. */
bool claim_holds(const struct verified *verified, const struct interpreter *interpreter, char *reason, size_t size);

/*
 * Is nothing said but what is said, too, when all numbers are compared where paths are ended (`exact`)?  Facts that paths
 * which were not walked would refute may be refuted by rare numbers only: no run need find them.
 */
bool claim_compare(const struct verified *verified, const struct verified *exact, char *reason, size_t size);

#endif
