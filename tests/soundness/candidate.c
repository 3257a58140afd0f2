/* SPDX-License-Identifier: MIT */
/* Random programs that the verifier accepts. */

#include "candidate.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>

#include "bytecode_check.h"
#include "fit.h"
#include "generate/program.h"
#include "generate/random.h"
#include "helper.h"
#include "liveness.h"
#include "verifier/state.h"
#include "verifier/verifier.h"

#define AMENDMENTS_MAX 40       /* then a program is given up */
#define CHANGES_MAX 4
#define STACK_POINTER 10

static const struct instruction nothing = { .opcode = OPCODE_JUMP_16 };

struct attempt {
    struct random random;
    struct bytecode *bytecode;
    const struct context *context;
    struct fit fit;             /* of the verifier's last run */
    struct verified verified;   /* likewise, if it accepted */
    struct jit_error error;     /* likewise, if not */
};

/* ---- the verifier ---- */

/* Negative errno: refused, with `error`. */
static int verify(struct attempt *attempt)
{
    const struct verifier_options options = { .instructions_max = CANDIDATE_INSTRUCTIONS_MAX,
                                              .observe = fit_observe, .userdata = &attempt->fit };

    verified_clear(&attempt->verified);
    attempt->verified = (struct verified){ 0 };
    fit_reset(&attempt->fit);
    return verifier_run(attempt->bytecode, attempt->context, &options, &attempt->verified, NULL, &attempt->error);
}

/* ---- changes at random ---- */

static bool is_second_half(const struct bytecode *bytecode, uint32_t at)
{
    return at > 0 && bytecode->instruction[at - 1].opcode == OPCODE_LOAD_64;
}

static void change_register(struct random *random, struct instruction *i)
{
    unsigned other = random_below(random, INSTRUCTION_REGISTERS);

    if (random_percent(random, 50))
        i->registers = (uint8_t)((i->registers & 0xf0) | other);
    else
        i->registers = (uint8_t)((i->registers & 0x0f) | other << 4);
}

static void change_offset(struct random *random, struct instruction *i)
{
    i->offset = (int16_t)(i->offset + random_between(random, -9, 9));
}

static void change_immediate(struct random *random, struct instruction *i)
{
    if (random_percent(random, 50))
        i->immediate = (int32_t)random_edge(random);
    else
        i->immediate += random_between(random, -2, 2);
}

/* Width, operation, operand, size of an access. */
static void change_opcode(struct random *random, struct instruction *i)
{
    static const uint8_t bits[] = { CLASS_ALU ^ CLASS_ALU64, CLASS_JMP ^ CLASS_JMP32, 0x08, 0x10, 0x18, 0x80, 0xe0 };

    if (random_percent(random, 60))
        i->opcode ^= bits[random_below(random, sizeof(bits))];
    else
        i->opcode = (uint8_t)((i->opcode & 0x0f) | random_below(random, 16) << 4);
}

static void change_to_nothing(struct random *random, struct instruction *i)
{
    (void)random;
    *i = nothing;
}

static void change(struct attempt *attempt)
{
    static void (*const changes[])(struct random *, struct instruction *) = {
        change_register, change_register, change_offset, change_immediate, change_immediate, change_opcode,
        change_opcode, change_to_nothing,
    };
    struct bytecode *bytecode = attempt->bytecode;
    uint32_t at = random_below(&attempt->random, bytecode->instructions);
    struct instruction *i = &bytecode->instruction[at], before = *i;

    if (is_second_half(bytecode, at) || i->opcode == OPCODE_LOAD_64 || i->opcode == OPCODE_EXIT ||
        i->opcode == OPCODE_CALL)
        return;
    changes[random_below(&attempt->random, sizeof(changes) / sizeof(changes[0]))](&attempt->random, i);
    if (bytecode_check(bytecode, NULL) < 0)
        *i = before;
}

/* ---- amendments ---- */

static void put(struct bytecode *bytecode, uint32_t at, struct instruction i)
{
    if (bytecode->instruction[at].opcode == OPCODE_LOAD_64)
        bytecode->instruction[at + 1] = nothing;
    bytecode->instruction[at] = i;
}

static struct instruction number_in(unsigned reg, int32_t number)
{
    return (struct instruction){ .opcode = 0xb7, .registers = (uint8_t)reg, .immediate = number };
}

/* Returns false if there is nothing to be done about it. */
static bool amend_exit(struct bytecode *bytecode, uint32_t at)
{
    if (at == 0 || bytecode_function_at(bytecode, at - 1) != bytecode_function_at(bytecode, at))
        return false;
    if (is_second_half(bytecode, at - 1))
        put(bytecode, at - 2, nothing);
    bytecode->instruction[at - 1] = number_in(0, 1);
    return true;
}

/* Another offset if there is one that fits; else the instruction goes, and what it would write becomes a number. */
static bool amend(struct attempt *attempt, uint32_t at)
{
    struct instruction i = attempt->bytecode->instruction[at];
    int16_t offset;

    if (i.opcode == OPCODE_EXIT)
        return amend_exit(attempt->bytecode, at);
    if (random_percent(&attempt->random, 80) && fit_offset(&attempt->fit, at, &attempt->random, &offset) &&
        offset != i.offset)
        attempt->bytecode->instruction[at].offset = offset;
    else if (instruction_class(i) == CLASS_LDX || i.opcode == OPCODE_LOAD_64 || instruction_is_arithmetic(i))
        put(attempt->bytecode, at, number_in(instruction_destination(i), (int32_t)random_below(&attempt->random, 64)));
    else if (i.opcode == OPCODE_CALL)
        put(attempt->bytecode, at, number_in(0, 0));
    else
        put(attempt->bytecode, at, nothing);
    return true;
}

/* What the verifier complains of.  Returns false if that is no instruction, or cannot be helped. */
static bool amend_refused(struct attempt *attempt)
{
    const struct bytecode *bytecode = attempt->bytecode;
    uint32_t function = 0;

    while (function < bytecode->functions && strcmp(bytecode->function[function].name, attempt->error.function) != 0)
        function++;
    return function < bytecode->functions && attempt->error.instruction >= 0 &&
           amend(attempt, bytecode->function[function].first + (uint32_t)attempt->error.instruction);
}

/* What takes too long to verify is given up: no one instruction is to blame, and each attempt takes as long again. */
static bool repair(struct attempt *attempt)
{
    for (unsigned i = 0; i < AMENDMENTS_MAX; i++) {
        int r = verify(attempt);

        if (r == 0)
            return true;
        if (r == -E2BIG || !amend_refused(attempt))
            return false;
    }
    return false;
}

/* ---- to the edges ---- */

/* To the first bytes or the last ones, which most often is fine; rarely one byte beyond, which should not be. */
static bool pick_offset(struct attempt *attempt, uint32_t at, int16_t *ret)
{
    struct random *random = &attempt->random;
    uint32_t way = random_below(random, 100);
    bool variable = fit_is_variable(&attempt->fit, at);

    if (way < (variable ? 60 : 5))
        return fit_edge(&attempt->fit, at, random, 0, ret);
    if (way < (variable ? 75 : 10))
        return fit_edge(&attempt->fit, at, random, 1, ret);
    return way < (variable ? 80 : 15) && fit_offset(&attempt->fit, at, random, ret);
}

static void move_accesses(struct attempt *attempt)
{
    struct bytecode *bytecode = attempt->bytecode;
    int16_t offset;

    for (uint32_t at = 0; at < bytecode->instructions; at++)
        if (pick_offset(attempt, at, &offset))
            bytecode->instruction[at].offset = offset;
}

/* ---- features ---- */

static bool is_spill(struct instruction i)
{
    return i.opcode == 0x7b && instruction_destination(i) == STACK_POINTER;
}

/* The stack slot is loaded again, or a part of it. */
static bool is_filled(const struct attempt *attempt, struct instruction spill)
{
    for (uint32_t at = 0; at < attempt->bytecode->instructions; at++) {
        struct instruction i = attempt->bytecode->instruction[at];

        if (attempt->verified.mark[at] & VERIFIED_REACHED && instruction_class(i) == CLASS_LDX &&
            instruction_source(i) == STACK_POINTER && i.offset >= spill.offset && i.offset < spill.offset + 8)
            return true;
    }
    return false;
}

static void note_call(const struct attempt *attempt, uint32_t at, struct candidate_features *features)
{
    struct instruction i = attempt->bytecode->instruction[at];
    uint32_t region = attempt->verified.region[at];

    features->call |= instruction_source(i) == CALL_LOCAL;
    features->native |= instruction_source(i) == CALL_NATIVE;
    if (instruction_source(i) != CALL_HELPER)
        return;
    features->lookup |= i.immediate == HELPER_MAP_LOOKUP;
    features->elements |= i.immediate == HELPER_FOR_EACH;
    features->record |= i.immediate == BPF_FUNC_ringbuf_reserve;
    features->callback |= i.immediate == HELPER_LOOP || i.immediate == HELPER_FOR_EACH;
    features->loop |= i.immediate == HELPER_LOOP;
    features->inner |= region != VERIFIED_NO_REGION && attempt->bytecode->region[region].kind == REGION_INNER;
}

static void note_features(const struct attempt *attempt, uint32_t at, struct candidate_features *features)
{
    struct instruction i = attempt->bytecode->instruction[at];

    features->variable_offset |= fit_is_variable(&attempt->fit, at);
    features->packet |= fit_is_packet(&attempt->fit, at);
    features->atomic |= instruction_is_atomic(i);
    features->spill |= is_spill(i) && is_filled(attempt, i);
    if (i.opcode == OPCODE_CALL)
        note_call(attempt, at, features);
    if (instruction_is_jump(i) && instruction_jump_distance(i) < 0)
        features->loop = true;
    if (instruction_is_jump(i) && instruction_operation(i) != JUMP_ALWAYS &&
        !(attempt->verified.mark[at] & (VERIFIED_ALWAYS | VERIFIED_NEVER)))
        features->branch = true;
}

static struct candidate_features find_features(const struct attempt *attempt)
{
    struct candidate_features features = { 0 };

    for (uint32_t at = 0; at < attempt->bytecode->instructions; at++)
        if (attempt->verified.mark[at] & VERIFIED_REACHED)
            note_features(attempt, at, &features);
    return features;
}

/* ---- all of it ---- */

static struct context *make_context(bool packet)
{
    struct context *context = NULL;

    if (packet)
        context = generate_packet_context();
    else
        context_new_bytes(GENERATE_CONTEXT_SIZE, &context, NULL);
    if (!context)
        abort();
    return context;
}

enum candidate_result candidate_new(uint64_t seed, struct candidate *ret)
{
    struct attempt attempt = { .random = { seed ^ 0x736f756e64 } };
    uint32_t maps = random_below(&attempt.random, 100);
    const struct generate_options options = {
        .packet = random_percent(&attempt.random, 40),
        .lookups = true,
        .hash = maps < 40,
        .maps = maps < 30,
        .taste = true,
        .statements = 5 + random_below(&attempt.random, 13),
        .bold = random_below(&attempt.random, 70),
    };
    struct candidate candidate = {
        .bytecode = generate_program(seed, &options, NULL),
        .context = make_context(options.packet),
    };
    bool accepted;

    attempt.bytecode = candidate.bytecode;
    attempt.context = candidate.context;
    if (!attempt.bytecode || !fit_init(&attempt.fit, attempt.bytecode))
        abort();
    if (options.packet)
        strcpy(attempt.bytecode->context, attempt.context->name);
    for (uint32_t i = random_below(&attempt.random, CHANGES_MAX + 1); i > 0; i--)
        change(&attempt);
    accepted = repair(&attempt);
    if (accepted) {
        move_accesses(&attempt);
        accepted = repair(&attempt);
    }
    candidate.verified = attempt.verified;
    if (accepted) {
        candidate.features = find_features(&attempt);
        *ret = candidate;
    } else {
        candidate_clear(&candidate);
    }
    fit_clear(&attempt.fit);
    return accepted ? CANDIDATE_ACCEPTED : CANDIDATE_REFUSED;
}

void candidate_clear(struct candidate *candidate)
{
    verified_clear(&candidate->verified);
    bytecode_free(candidate->bytecode);
    context_free(candidate->context);
    *candidate = (struct candidate){ 0 };
}
