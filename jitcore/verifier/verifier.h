/* SPDX-License-Identifier: MIT */
/*
 * The verifier: path-sensitive abstract interpretation.  A program that it accepts reads and writes only what its
 * context, its stack, its packet and its regions allow, reads nothing that was not written, leaks no pointer, and ends.
 *
 * Rules (jit_error.rule), besides those of bytecode.h and instruction.h:
 *      "context"               for another context, or another layout of it; not inside a field, or without the right
 *      "context-variable"      at an offset of the context that is no constant
 *      "recursion"             a function that can call itself
 *      "call-depth"            more than VERIFIER_DEPTH_MAX functions at once
 *      "stack-size"            more than 512 bytes of stack, all functions that are active at once together
 *      "register-read"         a register that nothing was written to
 *      "stack-read"            a byte of the stack that nothing was written to
 *      "stack-bounds"          outside the function's stack
 *      "stack-caller"          a pointer to a stack, or to a callback's key, that ends before the pointer does
 *      "bounds"                outside a variable, a map's value, memory
 *      "packet-bounds"         outside of what comparisons with data_end have shown to be there
 *      "packet-store"          the packet is read-only
 *      "read-only", "write-only"   a constant, or a map with these flags, to helpers too
 *      "null"                  through a pointer that may be NULL
 *      "pointer"               through what points to no memory
 *      "pointer-arithmetic"    other than pointer + number, pointer - number, and distances in packet and stack
 *      "pointer-offset"        an offset that is not bounded, or far too big
 *      "pointer-comparison"    other than with NULL, with data_end, and within one object
 *      "pointer-leak"          an address would be seen: stored outside the stack, returned, taken for a number
 *      "atomic", "alignment"   atomics: on the stack, variables and maps only; at multiples of their size
 *      "helper", "argument"    a helper that does not exist; an argument that is not what it, or a function of the
 *                              workers', takes, or not that map
 *      "reference"             memory from a helper that is not given back, or twice
 *      "infinite-loop"         the program comes to the same place in the same state
 *      "limit"                 too much to analyse
 */
#ifndef JITCORE_VERIFIER_VERIFIER_H
#define JITCORE_VERIFIER_VERIFIER_H

#include <stdbool.h>
#include <stdint.h>

#include "../bytecode.h"
#include "../context.h"
#include "../error.h"
#include "../verified.h"

#define VERIFIER_INSTRUCTIONS_MAX 1000000       /* processed, over all paths */
#define VERIFIER_DEPTH_MAX 8                    /* functions on the stack at once */

struct verifier_state;          /* state.h: registers and stack of all frames */

struct verifier_options {
    uint32_t instructions_max;  /* 0: VERIFIER_INSTRUCTIONS_MAX */
    bool exact;                 /* compare all numbers when paths are ended, also those that no proof rests on: slower;
                                   then each state that can occur is in one that `observe` sees */
    /* The log, a line at a time, without a newline; NULL: none. */
    void (*log)(void *userdata, const char *line);
    /* Each state, before its instruction is processed; for the soundness tests.  NULL: none. */
    void (*observe)(void *userdata, uint32_t instruction, const struct verifier_state *state);
    void *userdata;
};

struct verifier_statistics {
    uint64_t processed;         /* instructions, over all paths and attempts (verifier.c) */
    uint64_t states;            /* kept for pruning, at most */
    uint64_t pruned;            /* paths ended because a state that includes theirs was seen */
};

/*
 * Verify `bytecode` for hooks with this context.  `options` and `statistics` may be NULL.  The result refers to
 * `bytecode`; undo with verified_clear().
 * -EINVAL with `error`: what is refused; its text holds the rule's sentence, the registers on that path and what would
 * make it pass where that is known.  -E2BIG with rule "limit": too much to analyse.  -ENOMEM.
 */
int verifier_run(const struct bytecode *bytecode, const struct context *context,
                 const struct verifier_options *options, struct verified *ret,
                 struct verifier_statistics *statistics, struct jit_error *error);

#endif
