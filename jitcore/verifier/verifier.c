/* SPDX-License-Identifier: MIT */
/* The verifier: one run. */

#include "verifier.h"

#include <errno.h>
#include <stdlib.h>

#include "analysis.h"
#include "arithmetic.h"
#include "branch.h"
#include "bytecode_check.h"
#include "call.h"
#include "memory.h"

/* Did this function call anything on the path at hand, before the instruction at hand? */
static bool has_called(const struct analysis *analysis)
{
    const struct step *step = analysis->history.step;
    uint32_t depth = analysis_frame(analysis);

    for (uint32_t i = analysis->history.steps - 1; i > 0 && step[i - 1].depth >= depth; i--)
        if (step[i - 1].depth == depth && analysis->bytecode->instruction[step[i - 1].instruction].opcode == OPCODE_CALL)
            return true;
    return false;
}

/* What is in R1 to R5 after a call was not written since, else it could be read. */
int analysis_read(struct analysis *analysis, unsigned reg)
{
    if (analysis_register(analysis, reg)->type != VALUE_NOT_INIT)
        return 0;
    return message_refuse(analysis, "register-read",
                          reg >= 1 && reg <= 5 && has_called(analysis) ?
                              "a call leaves nothing in R1 to R5; keep it in R6 to R9 or on the stack" :
                              "set the variable on every path that leads here",
                          "reads R%u, to which nothing was written", reg);
}

void analysis_link(struct analysis *analysis, struct value *value)
{
    if (!value_is_number(value) || scalar_is_constant(&value->number) || value->id)
        return;
    value->id = ++analysis->ids;
    value->delta = 0;
}

void analysis_demand(struct analysis *analysis, enum demand_use use, unsigned reg)
{
    struct demand demand = { 0 };

    if (analysis->milestones.count == 0)
        return;
    demand_register(&demand, use, analysis_frame(analysis), reg);
    demand_carry(analysis->bytecode, &analysis->history, &analysis->milestones, analysis->history.steps - 1, &demand);
}

void analysis_demand_slots(struct analysis *analysis, uint32_t frame, uint64_t slots)
{
    const struct milestones *milestones = &analysis->milestones;
    struct demand demand = { 0 };

    if (milestones->count == 0)
        return;
    /* One slot, written since a state was kept: nobody need be told. */
    if ((slots & (slots - 1)) == 0 && analysis->state.frame[frame]->slot[__builtin_ctzll(slots)].since >
                                          milestones->milestone[milestones->count - 1].position)
        return;
    demand_reads(&demand, frame, slots);
    demand_carry(analysis->bytecode, &analysis->history, milestones, analysis->history.steps - 1, &demand);
}

int analysis_process(struct analysis *analysis)
{
    struct instruction i = analysis_instruction(analysis);

    switch (instruction_class(i)) {
    case CLASS_LD:
        return arithmetic_process_load_64(analysis);
    case CLASS_LDX:
        return memory_process_load(analysis);
    case CLASS_ST:
        return memory_process_store(analysis);
    case CLASS_STX:
        return instruction_is_atomic(i) ? memory_process_atomic(analysis) : memory_process_store(analysis);
    case CLASS_ALU:
    case CLASS_ALU64:
        return arithmetic_process(analysis);
    case CLASS_JMP:
    case CLASS_JMP32:
        break;
    }
    if (i.opcode == OPCODE_CALL)
        return call_process(analysis);
    if (i.opcode == OPCODE_EXIT)
        return call_process_exit(analysis);
    return branch_process(analysis);
}

/*
 * Of a static call: R1 to R5 are its arguments, as many as there are;
 * what is above an argument's size may be anything.
 */
static void start_arguments(const struct context *context, struct frame *frame)
{
    for (uint32_t i = 0; i < context->fields; i++)
        frame->reg[1 + i] = value_number(scalar_unknown());
}

/* Of a table: R1 is the context, R2 the key, 32 bits. */
static void start(struct analysis *analysis)
{
    const struct context *context = analysis->context;
    struct frame *frame;

    state_push(&analysis->state, 0, 0, false);
    frame = state_top(&analysis->state);
    if (context_is_arguments(context)) {
        start_arguments(context, frame);
        return;
    }
    frame->reg[1] = value_pointer(context->bytes ? VALUE_MEMORY : VALUE_CTX);
    frame->reg[1].size = context->bytes ? context->size : 0;
    frame->reg[2] = value_number(scalar_loaded(4));
}

static int analysis_init(struct analysis *analysis)
{
    int r = control_init(&analysis->control, analysis->bytecode);

    if (r == 0)
        r = facts_init(&analysis->facts, analysis->bytecode);
    if (r == 0)
        r = verified_new(analysis->bytecode, &analysis->verified);
    if (r == 0)
        r = kept_table_init(&analysis->exploration.kept, &analysis->control, analysis->bytecode->instructions);
    if (r == 0)
        r = state_init(&analysis->state);
    return r;
}

static void analysis_free(struct analysis *analysis)
{
    exploration_clear(analysis);
    facts_clear(&analysis->facts);
    control_clear(&analysis->control);
    state_clear(&analysis->state);
    verified_clear(&analysis->verified);
    free(analysis->history.step);
    free(analysis->milestones.milestone);
    free(analysis);
}

static int verify(struct analysis *analysis)
{
    int r = analysis_init(analysis);

    if (r < 0)
        return r;
    start(analysis);
    r = exploration_run(analysis);
    if (r == 0)
        r = control_check_stacks(analysis->bytecode, analysis->verified.stack, analysis->error);
    return r < 0 ? r : facts_complete(analysis);
}

/* How often, and how, a program is tried. */
static const struct attempt {
    bool generalises;
    uint32_t share;             /* of the instructions that may be processed in all: ends after one in so many */
} attempts[] = {
    { false, 8 },               /* most programs need far less */
    { true, 1 },                /* for those with too many states to look at all of them */
    { false, 1 },               /* what generalisation refused, perhaps without need */
};

/* Is the next attempt worth while? */
static bool may_differ(const struct analysis *analysis, int result)
{
    return result == -E2BIG ? !analysis->exploration.generalises :
                              result == -EINVAL && analysis->exploration.generalised;
}

/* One attempt.  *ret_again: the next one may end otherwise. */
static int attempt(struct analysis *analysis, struct verified *ret, bool *ret_again)
{
    int r = verify(analysis);

    *ret_again = may_differ(analysis, r);
    if (r == 0) {
        *ret = analysis->verified;
        analysis->verified = (struct verified){ 0 };
    }
    return r;
}

static int attempt_all(const struct analysis *common, struct verified *ret, struct verifier_statistics *ret_statistics)
{
    uint32_t max = common->options ? common->options->instructions_max : 0;
    bool again = true;
    int r = 0;

    *ret_statistics = (struct verifier_statistics){ 0 };
    for (size_t i = 0; again && i < sizeof(attempts) / sizeof(attempts[0]); i++) {
        struct analysis *analysis = malloc(sizeof(*analysis));

        if (!analysis)
            return -ENOMEM;
        *analysis = *common;
        analysis->statistics = *ret_statistics;         /* the limit is for all attempts together */
        analysis->exploration.generalises = attempts[i].generalises;
        analysis->exploration.instructions_max = (max ? max : VERIFIER_INSTRUCTIONS_MAX) / attempts[i].share;
        r = attempt(analysis, ret, &again);
        *ret_statistics = analysis->statistics;
        analysis_free(analysis);
    }
    return r;
}

int verifier_run(const struct bytecode *bytecode, const struct context *context,
                 const struct verifier_options *options, struct verified *ret,
                 struct verifier_statistics *statistics, struct jit_error *error)
{
    const struct analysis common = { .bytecode = bytecode, .context = context, .options = options, .error = error };
    struct verifier_statistics ignored;
    int r = bytecode_check(bytecode, error);

    if (statistics)
        *statistics = (struct verifier_statistics){ 0 };
    if (r == 0)
        r = control_check_context(bytecode, context, error);
    if (r == 0)
        r = control_check_calls(bytecode, error);
    return r < 0 ? r : attempt_all(&common, ret, statistics ? statistics : &ignored);
}
