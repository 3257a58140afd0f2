/* SPDX-License-Identifier: MIT */
/* An accepted program is run. */

#include "trial.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "candidate.h"
#include "claim.h"
#include "generate/program.h"
#include "generate/random.h"
#include "helper.h"
#include "inspection.h"
#include "interpreter.h"
#include "recording.h"

#define INPUTS 4
#define STEPS_MAX 50000
#define EXACT_INSTRUCTIONS_MAX (8 * CANDIDATE_INSTRUCTIONS_MAX)         /* the first attempt, without generalisation: 1/8 */
#define HOSTILE_RUNS 4          /* of each input */
#define HOSTILE_STEPS_MAX 2000
#define INSPECTED 64            /* instructions between two looks at all maps */
#define WATCHED (TRIAL_STATES | TRIAL_HOSTILE)
#define OWN_METHODS (TRIAL_STATES | TRIAL_GUARDS)       /* on memory that nobody else has */
#define ROOM_CONTEXT (ENCLOSURE_ROOMS - 1)
#define ROOM_PACKET (ENCLOSURE_ROOMS - 2)

/* What a program runs on; the contents of its regions are in the bytecode. */
struct input {
    uint8_t context[GENERATE_CONTEXT_SIZE], packet[GENERATE_PACKET_SIZE_MAX];
    uint32_t packet_size;
    uint32_t key;
};

struct run {
    const struct trial *trial;
    const struct bytecode *bytecode;
    const struct verified *verified;
    struct recording recording;
    struct recording_places places;
    struct interpreter *interpreter;
    struct input input;         /* and what the interpreter made of it */
    bool escaped;
    bool hostile;               /* others write to what is not constant */
    struct trial_outcome *outcome;
};

__attribute__((format(printf, 2, 3)))
static enum trial_result escape(struct run *run, const char *format, ...)
{
    va_list arguments;

    if (run->escaped)
        return TRIAL_ESCAPED;
    run->escaped = true;
    va_start(arguments, format);
    vsnprintf(run->outcome->text, sizeof(run->outcome->text), format, arguments);
    va_end(arguments);
    return TRIAL_ESCAPED;
}

/* ---- inputs ---- */

static void fill(struct random *random, uint8_t *bytes, uint32_t size)
{
    for (uint32_t i = 0; i < size; i += 8) {
        uint64_t word = random_edge(random);

        memcpy(bytes + i, &word, size - i < 8 ? size - i : 8);
    }
}

/* Packets of 0 bytes, of 1, and of any size. */
static void make_input(struct run *run, uint32_t index)
{
    struct random random = { run->trial->seed * INPUTS + index };
    struct input *input = &run->input;

    fill(&random, input->context, sizeof(input->context));
    fill(&random, input->packet, sizeof(input->packet));
    input->packet_size = index < 2 ? index : random_below(&random, sizeof(input->packet) + 1);
    input->key = (uint32_t)random_edge(&random);
    for (uint32_t i = 0; i < run->bytecode->regions; i++)
        if (run->bytecode->region[i].kind != REGION_CONSTANT && run->bytecode->region[i].contents)
            fill(&random, run->bytecode->region[i].contents, run->bytecode->region[i].size);
    run->outcome->input = index;
}

static bool has_packet(const struct run *run)
{
    return run->trial->context->data >= 0;
}

static void set_packet(const struct run *run, uint8_t *context, uint64_t packet)
{
    const struct context *description = run->trial->context;
    uint64_t end = packet + run->input.packet_size;

    memcpy(context + description->field[description->data].offset, &packet, sizeof(packet));
    memcpy(context + description->field[description->data_end].offset, &end, sizeof(end));
}

/* ---- the interpreter ---- */

static void look_as_daemon(struct run *run, const struct interpreter *interpreter)
{
    struct instruction i = run->bytecode->instruction[interpreter->frame[interpreter->depth - 1].at];
    char reason[128];

    run->outcome->calls += i.opcode == OPCODE_CALL && instruction_source(i) == CALL_HELPER;
    if (interpreter->steps % INSPECTED == 1 && !inspection_run(interpreter, reason, sizeof(reason)))
        escape(run, "%s", reason);
}

static void look(void *userdata, const struct interpreter *interpreter)
{
    struct run *run = userdata;
    uint32_t at = interpreter->frame[interpreter->depth - 1].at;
    char reason[512];

    if (run->escaped || !(run->trial->methods & WATCHED))
        return;
    if (run->hostile)
        look_as_daemon(run, interpreter);
    if (!claim_holds(run->verified, interpreter, reason, sizeof(reason)))
        escape(run, "instruction %u: %s", at, reason);
    else if (run->outcome->compared &&
             !recording_describes(&run->recording, interpreter, &run->places, reason, sizeof(reason)))
        escape(run, "instruction %u: %s", at, reason);
}

/* A helper that calls back may take long; without it, programs are known to end after few instructions. */
static bool may_take_long(const struct run *run)
{
    for (uint32_t i = 0; i < run->bytecode->instructions; i++) {
        struct instruction call = run->bytecode->instruction[i];

        if (call.opcode == OPCODE_CALL && instruction_source(call) == CALL_HELPER && run->verified->mark[i] &&
            (call.immediate == HELPER_LOOP || call.immediate == HELPER_FOR_EACH))
            return true;
    }
    return false;
}

/* Where the program did not come to its end, *finished is false. */
static enum trial_result interpret(struct run *run, uint64_t *r0, bool *finished)
{
    struct interpreter *interpreter = run->interpreter;
    struct jit_error error = { .rule = "" };
    uint64_t context = interpreter_add(interpreter, "the context", run->input.context, GENERATE_CONTEXT_SIZE, true);
    int r;

    run->places = (struct recording_places){ interpreter->memories - 1, UINT32_MAX };
    if (has_packet(run)) {
        run->places.packet = interpreter->memories;
        set_packet(run, run->input.context, interpreter_add(interpreter, "the packet", run->input.packet,
                                                            run->input.packet_size, false));
    }
    interpreter->observe = look;
    interpreter->userdata = run;
    r = interpreter_run(interpreter, context, run->input.key, r0, &error);
    run->outcome->steps += interpreter->steps;
    *finished = r == 0;
    if (run->escaped)
        return TRIAL_ESCAPED;
    if (r < 0 && strcmp(error.rule, "steps") == 0 && (run->hostile || may_take_long(run)))
        run->outcome->unfinished++;
    else if (r < 0 && run->trial->methods & WATCHED)
        return escape(run, "%s, instruction %lld: %s: %s", error.function, (long long)error.instruction, error.rule,
                      error.text);
    return TRIAL_PASSED;
}

/* ---- machine code ---- */

static void fill_rooms(const struct run *run, bool at_start)
{
    const struct enclosure *enclosure = run->trial->enclosure;

    for (uint32_t i = 0; i < run->bytecode->regions; i++) {
        const struct bytecode_region *region = &run->bytecode->region[i];

        if (region->kind != REGION_CONSTANT && region->contents)
            memcpy(enclosure_room(enclosure, i, region->size, at_start), region->contents, region->size);
    }
}

/* The packet's addresses, which differ, do not count. */
static bool same_context(struct run *run, uint8_t *context)
{
    uint8_t *interpreted = run->input.context;

    if (has_packet(run)) {
        set_packet(run, context, 0);
        set_packet(run, interpreted, 0);
    }
    return memcmp(context, interpreted, GENERATE_CONTEXT_SIZE) == 0;
}

static enum trial_result compare(struct run *run, uint8_t *context, bool at_start)
{
    if (!same_context(run, context))
        return escape(run, "the context differs from the interpreter's");
    for (uint32_t i = 0; i < run->bytecode->regions; i++) {
        const struct bytecode_region *region = &run->bytecode->region[i];

        if (region->kind != REGION_CONSTANT &&
            memcmp(enclosure_room(run->trial->enclosure, i, region->size, at_start), run->interpreter->memory[i].bytes,
                   region->size) != 0)
            return escape(run, "region %s differs from the interpreter's", region->name);
    }
    return TRIAL_PASSED;
}

/* `input` is what the interpreter began with; *r0 is its result, NULL if it has none. */
static enum trial_result run_code(struct run *run, const struct code *code, const struct input *input,
                                  const uint64_t *r0)
{
    struct enclosure *enclosure = run->trial->enclosure;
    bool at_start = run->outcome->input % 2;
    uint8_t *context = enclosure_room(enclosure, ROOM_CONTEXT, GENERATE_CONTEXT_SIZE, at_start);
    uint8_t *packet = enclosure_room(enclosure, ROOM_PACKET, input->packet_size, at_start);
    uint64_t result = 0;
    int number;

    if (enclosure_load(enclosure, run->bytecode, code, at_start) < 0)
        abort();
    fill_rooms(run, at_start);
    memcpy(context, input->context, GENERATE_CONTEXT_SIZE);
    memcpy(packet, input->packet, input->packet_size);
    if (has_packet(run))
        set_packet(run, context, (uintptr_t)packet);
    number = enclosure_run(enclosure, context, input->key, &result);
    if (number != 0)
        return escape(run, "signal %d (%s)", number, strsignal(number));
    if (r0 && result != *r0)
        return escape(run, "R0 is 0x%llx, the interpreter's is 0x%llx", (unsigned long long)result,
                      (unsigned long long)*r0);
    return r0 ? compare(run, context, at_start) : TRIAL_PASSED;
}

/* ---- all of it ---- */

static enum trial_result run_input(struct run *run, const struct code *code, uint32_t index)
{
    enum trial_result result;
    struct input input;
    uint64_t r0 = 0;
    bool finished;

    make_input(run, index);
    input = run->input;
    run->interpreter = interpreter_new(run->bytecode, STEPS_MAX);
    if (!run->interpreter)
        abort();
    result = interpret(run, &r0, &finished);
    if (result == TRIAL_PASSED && code && run->interpreter->steps < STEPS_MAX)
        result = run_code(run, code, &input, finished ? &r0 : NULL);
    run->outcome->runs++;
    interpreter_free(run->interpreter);
    return result;
}

/* What a run leaves in memory does not matter to the next: it is written over all the time. */
static enum trial_result run_among_writes(struct run *run, uint32_t index)
{
    uint64_t r0;
    bool finished;

    make_input(run, index);
    run->interpreter->memories = run->bytecode->regions;        /* without those of the run before */
    run->outcome->hostile++;
    run->outcome->runs++;
    return interpret(run, &r0, &finished);
}

static enum trial_result run_hostile(struct run *run)
{
    enum trial_result result = TRIAL_PASSED;

    run->hostile = true;
    run->interpreter = interpreter_new(run->bytecode, HOSTILE_STEPS_MAX);
    if (!run->interpreter || vandal_expose(run->trial->vandal, run->interpreter) < 0)
        abort();
    vandal_wake(run->trial->vandal);
    for (uint32_t i = 0; result == TRIAL_PASSED && i < INPUTS * HOSTILE_RUNS; i++)
        result = run_among_writes(run, i % INPUTS);
    vandal_rest(run->trial->vandal);
    interpreter_free(run->interpreter);
    return result;
}

/* Numbers of callbacks become unknown after some calls, which comes earlier where more is compared: less is known. */
static bool has_callback(const struct bytecode *bytecode)
{
    for (uint32_t at = 0; at < bytecode->instructions; at += instruction_length(bytecode->instruction[at]))
        if (bytecode->instruction[at].opcode == OPCODE_LOAD_64 &&
            instruction_source(bytecode->instruction[at]) == WIDE_FUNCTION)
            return true;
    return false;
}

/*
 * Pruning that compares all numbers: so that each run is in the states that were seen, not only what it rests on; and so
 * that facts are compared with those that rest on all numbers.
 */
static enum trial_result record(struct run *run)
{
    const struct verifier_options options = { .instructions_max = EXACT_INSTRUCTIONS_MAX, .exact = true,
                                              .observe = recording_observe, .userdata = &run->recording };
    enum trial_result result = TRIAL_PASSED;
    struct verifier_statistics statistics;
    struct verified verified;
    char reason[128];

    if (!(run->trial->methods & WATCHED) || !recording_init(&run->recording, run->bytecode))
        return TRIAL_PASSED;
    if (verifier_run(run->bytecode, run->trial->context, &options, &verified, &statistics, NULL) < 0)
        return TRIAL_PASSED;    /* too much to look at in this way */
    if (!has_callback(run->bytecode) && statistics.processed <= EXACT_INSTRUCTIONS_MAX / 8 && !claim_compare(run->verified, &verified, reason, sizeof(reason)))
        result = escape(run, "%s", reason);
    verified_clear(&verified);
    run->outcome->compared = run->recording.complete;
    run->outcome->states = run->recording.states;
    return result;
}

enum trial_result trial_run(const struct trial *trial, const struct verified *verified, struct trial_outcome *ret)
{
    struct run run = { .trial = trial, .bytecode = verified->bytecode, .verified = verified, .outcome = ret };
    enum trial_result result;
    struct code code = { .bytes = NULL };

    *ret = (struct trial_outcome){ .input = 0 };
    result = record(&run);
    if (trial->methods & TRIAL_GUARDS)
        ret->compiled = compile_verified(verified, architecture_native(), &code, NULL) == 0;
    for (uint32_t i = 0; result == TRIAL_PASSED && i < INPUTS && trial->methods & OWN_METHODS; i++)
        result = run_input(&run, ret->compiled ? &code : NULL, i);
    if (result == TRIAL_PASSED && trial->methods & TRIAL_HOSTILE)
        result = run_hostile(&run);
    code_clear(&code);
    if (run.recording.bytecode)
        recording_clear(&run.recording);
    return result;
}
