/* SPDX-License-Identifier: MIT */
/* From a program to machine code: verify, then translate twice, first to count. */

#include "compiler.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "helper.h"

/* ---- helpers ---- */

/* Of which map memory is that a helper takes back, or which function it is for a map: that must be known. */
static bool needs_map(const struct helper *helper)
{
    return helper->argument[0] == ARGUMENT_MAP || helper->argument[0] == ARGUMENT_ALLOCATED;
}

static int refuse_helper(const struct verified *verified, uint32_t at, struct jit_error *error)
{
    const struct bytecode *bytecode = verified->bytecode;
    const struct bytecode_function *function = &bytecode->function[bytecode_function_at(bytecode, at)];
    int32_t number = bytecode->instruction[at].immediate;
    const struct helper *helper = helper_find(number);
    const char *name = helper_name(number);

    if (helper && needs_map(helper))
        return jit_error_set_at(error, -EOPNOTSUPP, "helper", function->name, at - function->first,
                                "call of helper %" PRId32 " (%s): its map must be one that the program names, and the "
                                "same on all paths", number, name);
    return jit_error_set_at(error, -EOPNOTSUPP, "helper", function->name, at - function->first,
                            "call of helper %" PRId32 " (%s), which is not supported", number,
                            name ? name : "no helper that this build knows");
}

static bool is_helper_call(struct instruction i)
{
    return i.opcode == OPCODE_CALL && instruction_source(i) == CALL_HELPER;
}

static int check_helpers(const struct verified *verified, const struct architecture *architecture,
                         struct jit_error *error)
{
    const struct bytecode *bytecode = verified->bytecode;

    for (uint32_t i = 0; i < bytecode->instructions; i += instruction_length(bytecode->instruction[i]))
        if (verified->mark[i] & VERIFIED_REACHED && is_helper_call(bytecode->instruction[i]) &&
            !architecture->has_helper(verified, i))
            return refuse_helper(verified, i, error);
    return 0;
}

/* ---- translation ---- */

/* One more than needed, as there may be none and calloc() may give NULL then. */
static int allocate(const struct emitter *count, struct code *code)
{
    *code = (struct code){
        .bytes = calloc(count->size + 1, 1),
        .size = count->size,
        .relocation = calloc(count->relocations + 1, sizeof(*code->relocation)),
        .relocations = count->relocations,
    };
    return code->bytes && code->relocation ? 0 : -ENOMEM;
}

static int translate(const struct verified *verified, const struct architecture *architecture, struct code *code)
{
    struct emitter count, emitter;
    int r;

    emitter_init(&count, NULL, 0, 0);
    architecture->emit_program(&count, verified);
    if (count.error)
        return count.error;
    r = allocate(&count, code);
    if (r < 0)
        return r;
    emitter_init(&emitter, code->bytes, code->size, 0);
    emitter.relocation = code->relocation;
    emitter.relocations_max = code->relocations;
    architecture->emit_program(&emitter, verified);
    return emitter.error;
}

int compile_verified(const struct verified *verified, const struct architecture *architecture, struct code *ret,
                     struct jit_error *error)
{
    struct code code = { 0 };
    int r = check_helpers(verified, architecture, error);

    if (r < 0)
        return r;
    r = translate(verified, architecture, &code);
    if (r < 0) {
        code_clear(&code);
        if (r == -ERANGE)
            return jit_error_set(error, -E2BIG, "limit", "the program's code is larger than a branch reaches");
        return jit_error_set(error, r, "compiler", "the program cannot be translated: %s", strerror(-r));
    }
    *ret = code;
    return 0;
}

int compile(const struct bytecode *bytecode, const struct context *context, const struct architecture *architecture,
            const struct verifier_options *options, struct code *ret, struct jit_error *error)
{
    struct verified verified;
    int r = verifier_run(bytecode, context, options, &verified, NULL, error);

    if (r < 0)
        return r;
    r = compile_verified(&verified, architecture, ret, error);
    verified_clear(&verified);
    return r;
}

/* ---- placing ---- */

static uint64_t target_of(const struct code_relocation *relocation, const struct code_positions *positions)
{
    uint32_t index = relocation->index;

    switch ((enum relocation_kind)relocation->kind) {
    case RELOCATION_REGION:
        return positions->region[index];
    case RELOCATION_MAP:
        return positions->map[index];
    case RELOCATION_RUNTIME:
        return positions->runtime + index;
    case RELOCATION_LINKAGE:
        return positions->linkage + index;
    case RELOCATION_NATIVE:
        return positions->native[index];
    case RELOCATION_KINDS:
        break;
    }
    assert(false);              /* who reads relocations from elsewhere checks them */
    return 0;
}

static int64_t distance_of(const struct code_relocation *relocation, uint64_t final,
                           const struct code_positions *positions)
{
    return (int64_t)(target_of(relocation, positions) + (uint64_t)(int64_t)relocation->addend -
                     (final + relocation->at + sizeof(int32_t)));
}

int code_relocate(const struct code *code, uint8_t *write, uint64_t final, const struct code_positions *positions)
{
    for (size_t i = 0; i < code->relocations; i++) {
        int64_t distance = distance_of(&code->relocation[i], final, positions);

        if (distance != (int32_t)distance)
            return -ERANGE;
    }
    for (size_t i = 0; i < code->relocations; i++) {
        int32_t distance = (int32_t)distance_of(&code->relocation[i], final, positions);

        memcpy(write + code->relocation[i].at, &distance, sizeof(distance));
    }
    return 0;
}

void code_clear(struct code *code)
{
    free(code->bytes);
    free(code->relocation);
    *code = (struct code){ 0 };
}
