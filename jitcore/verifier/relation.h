/* SPDX-License-Identifier: MIT */
/*
 * The relations that conditional jumps test, on views: one rule each, for every width.
 */
#ifndef JITCORE_VERIFIER_RELATION_H
#define JITCORE_VERIFIER_RELATION_H

#include <stdbool.h>

#include "../instruction.h"
#include "view.h"

/*
 * Narrow a and b, two views of one width, to the numbers for which the conditional jump "a OPERATION b" is taken, or
 * is not.  False if there are none, with a and b of no meaning; true does not promise that there are.
 */
bool relation_narrow(enum instruction_jump operation, bool taken, struct view *a, struct view *b);

#endif
