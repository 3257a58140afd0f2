/* SPDX-License-Identifier: MIT */
/*
 * An accepted program is run, on several inputs, and everything that the verifier has promised is looked at.
 *
 *      states      in the interpreter: it finds no fault, the registers and the stack are, before each instruction, in
 *                  one of the states that the verifier has recorded there, and what it tells the compiler is true
 *      guards      as machine code between pages that fault: no signal, and the interpreter's results
 *      hostile     as in states, while another process writes garbage over maps and variables (vandal.h), and this one
 *                  reads the maps between two instructions, as the daemon does (inspection.h)
 */
#ifndef TESTS_SOUNDNESS_TRIAL_H
#define TESTS_SOUNDNESS_TRIAL_H

#include <stdint.h>

#include "context.h"
#include "enclosure.h"
#include "vandal.h"
#include "verified.h"

enum trial_method {
    TRIAL_STATES = 1 << 0,
    TRIAL_GUARDS = 1 << 1,
    TRIAL_HOSTILE = 1 << 2,
};

enum trial_result { TRIAL_PASSED, TRIAL_ESCAPED };

struct trial {
    const struct context *context;
    uint64_t seed;              /* of the inputs */
    unsigned methods;           /* enum trial_method */
    struct enclosure *enclosure;
    const struct vandal *vandal;
};

struct trial_outcome {
    uint32_t input;             /* the one that the rest is about */
    char text[640];             /* of an escape: what happened */
    uint32_t runs, unfinished;  /* runs; those too long to be told from endless ones */
    uint32_t hostile;           /* runs among hostile writes; they count as runs, too */
    uint32_t calls;             /* of helpers in those */
    uint64_t steps;             /* instructions of all runs */
    uint64_t states;            /* recorded */
    bool compiled, compared;    /* machine code was run; states were compared */
};

enum trial_result trial_run(const struct trial *trial, const struct verified *verified, struct trial_outcome *ret);

#endif
