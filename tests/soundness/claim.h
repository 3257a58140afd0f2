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

#endif
