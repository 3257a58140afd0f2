/* SPDX-License-Identifier: MIT */
/*
 * What can be said without states: calls, the places where paths meet, registers that are live.
 */
#ifndef JITCORE_VERIFIER_CONTROL_H
#define JITCORE_VERIFIER_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "../bytecode.h"
#include "../context.h"
#include "../error.h"

struct control {
    bool *meets;                /* per instruction: a jump leads here, or a helper calls back from here */
    uint16_t *live;             /* per instruction: registers that may be read from it on */
    uint16_t *live_behind;      /* per instruction: registers that may be read behind it */
};

/* The program is for this context, and was compiled against this layout of it.  -EINVAL, rule "context". */
int control_check_context(const struct bytecode *bytecode, const struct context *context, struct jit_error *error);

/* No recursion, not too deep.  A callback counts as called where it is named.  -EINVAL: "recursion", "call-depth". */
int control_check_calls(const struct bytecode *bytecode, struct jit_error *error);

/* The stacks of all functions that can be active at once fit.  `stack`: bytes, by function.  -EINVAL: "stack-size". */
int control_check_stacks(const struct bytecode *bytecode, const uint32_t *stack, struct jit_error *error);

/* The call of a helper that calls back? */
bool control_calls_back(struct instruction i);

/* -ENOMEM.  Undo with control_clear(). */
int control_init(struct control *control, const struct bytecode *bytecode);
void control_clear(struct control *control);

#endif
