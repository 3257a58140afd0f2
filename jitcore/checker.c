/* SPDX-License-Identifier: MIT */
/*
 * What is proven of a program before it is translated: form, control, calls; flow.c does the memory
 * accesses.
 */

#include "checker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "flow.h"

struct checker {
    const struct object *object;
    const struct context *context;
    uint8_t *second_half;       /* per instruction: it is the second half of lddw */
    struct jit_error *error;
};

/* ---- the object fits the context ---- */

static const struct types_field *find_field(const struct object *object, const char *name)
{
    for (uint32_t i = 0; i < object->fields; i++)
        if (strcmp(object->field[i].name, name) == 0)
            return &object->field[i];
    return NULL;
}

/*
 * What the hook declares and the object's struct has must be the same in both: an old header shows
 * here.
 */
static int check_context(const struct checker *checker)
{
    const struct object *object = checker->object;
    const struct context *context = checker->context;

    if (strcmp(object->context, context->name) != 0)
        return jit_error_set(checker->error, -EINVAL, "context",
                             "the program is for context \"%s\" (its section is \"table/%s\"), "
                             "the hook has context \"%s\"",
                             object->context, object->context, context->name);
    for (uint32_t i = 0; i < context->fields; i++) {
        const struct context_field *declared = &context->field[i];
        const struct types_field *field = find_field(object, declared->name);

        if (!field || (field->offset == declared->offset && field->size == declared->size))
            continue;
        return jit_error_set(checker->error, -EINVAL, "context",
                             "the program was compiled with another layout of \"%s\": field "
                             "\"%s\" is %u bytes at offset %u there, and %u bytes at offset %u "
                             "in the hook; compile it again with the worker's header",
                             context->name, field->name, field->size, field->offset, declared->size,
                             declared->offset);
    }
    return 0;
}

/* ---- form ---- */

static int check_form(struct checker *checker, const struct object_function *function)
{
    const struct instruction *instruction = &checker->object->instruction[function->first];

    for (uint32_t i = 0; i < function->count; i += instruction_length(instruction[i])) {
        const struct instruction *next = i + 1 < function->count ? &instruction[i + 1] : NULL;
        int r = instruction_check(instruction[i], next, function->name, i, checker->error);

        if (r < 0)
            return r;
        if (instruction_length(instruction[i]) == 2)
            checker->second_half[function->first + i + 1] = true;
    }
    return 0;
}

static int check_jumps(const struct checker *checker, const struct object_function *function)
{
    const struct instruction *instruction = &checker->object->instruction[function->first];

    for (uint32_t i = 0; i < function->count; i += instruction_length(instruction[i])) {
        int64_t to = (int64_t)i + 1 + instruction_jump_distance(instruction[i]);

        if (!instruction_is_jump(instruction[i]))
            continue;
        if (to < 0 || to >= function->count)
            return jit_error_set_at(checker->error, -EINVAL, "jump", function->name, i,
                                    "%s: jumps to instruction %lld, outside the function",
                                    instruction_name(instruction[i]), (long long)to);
        if (checker->second_half[function->first + to])
            return jit_error_set_at(checker->error, -EINVAL, "jump", function->name, i,
                                    "%s: jumps into the second half of lddw at instruction %lld",
                                    instruction_name(instruction[i]), (long long)to - 1);
    }
    return 0;
}

/* ---- calls ---- */

struct call_graph {
    const struct checker *checker;
    uint8_t active[OBJECT_FUNCTIONS_MAX];       /* on the path from the program to here */
    uint8_t height[OBJECT_FUNCTIONS_MAX];       /* active from here on; 0: unknown */
};

/*
 * Depth first: a function calls itself if the way down meets it again.  The limit on depth bounds
 * our own recursion.
 */
static int visit(struct call_graph *graph, uint32_t index, unsigned depth)
{
    const struct checker *checker = graph->checker;
    const struct object_function *function = &checker->object->function[index];
    const struct instruction *instruction = &checker->object->instruction[function->first];
    unsigned below = 0;

    graph->active[index] = true;
    for (uint32_t i = 0; i < function->count; i += instruction_length(instruction[i])) {
        uint32_t callee = (uint32_t)instruction[i].immediate;

        if (instruction[i].opcode != OPCODE_CALL)
            continue;
        if (graph->active[callee])
            return jit_error_set_at(
                checker->error, -EINVAL, "recursion", function->name, i,
                "call of %s, which leads back to itself: recursion is not allowed",
                checker->object->function[callee].name);
        if (depth + (graph->height[callee] ? graph->height[callee] : 1) > CHECKER_DEPTH_MAX)
            return jit_error_set_at(checker->error, -EINVAL, "call-depth", function->name, i,
                                    "call of %s: more than %d functions would be active at once",
                                    checker->object->function[callee].name, CHECKER_DEPTH_MAX);
        if (!graph->height[callee]) {
            int r = visit(graph, callee, depth + 1);

            if (r < 0)
                return r;
        }
        if (graph->height[callee] > below)
            below = graph->height[callee];
    }
    graph->active[index] = false;
    graph->height[index] = (uint8_t)(1 + below);
    return 0;
}

static int check_calls(const struct checker *checker)
{
    struct call_graph graph = { .checker = checker };

    return visit(&graph, 0, 1);
}

/* ---- all of it ---- */

static int check(struct checker *checker)
{
    const struct object *object = checker->object;
    int r = check_context(checker);

    for (uint32_t i = 0; r == 0 && i < object->functions; i++)
        r = check_form(checker, &object->function[i]);
    for (uint32_t i = 0; r == 0 && i < object->functions; i++)
        r = check_jumps(checker, &object->function[i]);
    return r == 0 ? check_calls(checker) : r;
}

int checker_run(const struct object *object, const struct context *context,
                struct checked_program *ret, struct jit_error *error)
{
    struct checker checker = { .object = object, .context = context, .error = error };
    struct checked_program program = { .object = object };
    int r = -ENOMEM;

    checker.second_half = calloc(object->instructions, sizeof(*checker.second_half));
    program.mark = calloc(object->instructions, sizeof(*program.mark));
    program.stack = calloc(object->functions, sizeof(*program.stack));
    if (checker.second_half && program.mark && program.stack)
        r = check(&checker);
    if (r == 0)
        r = flow_run(&program, context, error);
    free(checker.second_half);
    if (r < 0) {
        checked_program_clear(&program);
        return r;
    }
    if (program.packet) {
        program.data = context->field[context->data].offset;
        program.data_end = context->field[context->data_end].offset;
    }
    *ret = program;
    return 0;
}

void checked_program_clear(struct checked_program *program)
{
    free(program->mark);
    free(program->stack);
    *program = (struct checked_program){ 0 };
}
