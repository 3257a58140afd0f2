/* SPDX-License-Identifier: MIT */
/*
 * One run of the verifier: what its parts share, and the form of their functions.
 *
 *      verifier.c      prepares, runs, hands out the result
 *      control.c       what needs no states: calls, where paths meet, which registers are live
 *      exploration.c   one path after the other; states that are kept, and pruning by them
 *      kept.c          the table of explored states
 *      pool.c          memory for states
 *      generalisation.c  fewer states where many paths meet
 *      demand.c        what the proof of a path rests on
 *      inclusion.c     does one state include another
 *      arithmetic.c    instructions: numbers, pointers with offsets
 *      memory.c        instructions: loads, stores, atomics; what may be accessed
 *      stack.c         the bytes of the stack
 *      branch.c        instructions: conditional jumps, and what they tell
 *      call.c          instructions: calls of functions and helpers, callbacks, exits
 *      native.c        instructions: calls of functions of the workers'
 *      facts.c         what the compiler may rely on
 *      message.c       refusals and the log
 */
#ifndef JITCORE_VERIFIER_ANALYSIS_H
#define JITCORE_VERIFIER_ANALYSIS_H

#include <stdbool.h>
#include <stdint.h>

#include "control.h"
#include "demand.h"
#include "exploration.h"
#include "facts.h"
#include "message.h"
#include "state.h"
#include "verifier.h"

struct analysis {
    const struct bytecode *bytecode;
    const struct context *context;
    const struct verifier_options *options;
    struct jit_error *error;
    struct verifier_statistics statistics;
    struct control control;
    struct exploration exploration;
    struct facts facts;
    struct verified verified;

    /* The path at hand. */
    struct verifier_state state;
    uint32_t at;                /* instruction */
    struct history history;
    struct milestones milestones;
    uint32_t ids;               /* the last one given */
    const struct message_argument *argument;    /* whose memory is looked at; NULL: none */
    const struct bytecode_line *logged;         /* the last one; NULL: none */
};

/*
 * What the functions of an instruction return: negative errno, or one of these.  They leave in analysis->at where to
 * go on.
 */
enum analysis_next { ANALYSIS_GOES_ON, ANALYSIS_ENDS };

static inline struct instruction analysis_instruction(const struct analysis *analysis)
{
    return analysis->bytecode->instruction[analysis->at];
}

static inline struct value *analysis_register(const struct analysis *analysis, unsigned reg)
{
    return &state_top(&analysis->state)->reg[reg];
}

static inline struct step *analysis_step(const struct analysis *analysis)
{
    return &analysis->history.step[analysis->history.steps - 1];
}

static inline uint32_t analysis_frame(const struct analysis *analysis)
{
    return analysis->state.depth - 1;
}

/* Process the instruction at hand. */
int analysis_process(struct analysis *analysis);

/* This value is copied: what is learned of a number later holds for its copy, too (value.h, id). */
void analysis_link(struct analysis *analysis, struct value *value);

/* The instruction that is processed reads this register: -EINVAL if nothing was written to it. */
int analysis_read(struct analysis *analysis, unsigned reg);

/* The proof rests on the range of what is in this register, as it is before the instruction. */
void analysis_demand(struct analysis *analysis, enum demand_use use, unsigned reg);

/* It reads these slots. */
void analysis_demand_slots(struct analysis *analysis, uint32_t frame, uint64_t slots);

#endif
