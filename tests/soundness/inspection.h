/* SPDX-License-Identifier: MIT */
/* What the daemon does with maps while programs run: goes through them, takes records, settles seats. */
#ifndef TESTS_SOUNDNESS_INSPECTION_H
#define TESTS_SOUNDNESS_INSPECTION_H

#include <stddef.h>

#include "interpreter.h"

/* All of that once.  False, and why in `reason`: what lies in the memory leads out of a map, or has no end. */
bool inspection_run(const struct interpreter *interpreter, char *reason, size_t size);

#endif
