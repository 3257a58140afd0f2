/* SPDX-License-Identifier: MIT */
/* What can be said without states. */

#include "control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../helper.h"
#include "../liveness.h"
#include "verifier.h"

/* ---- the program fits the context ---- */

static const struct types_field *find_field(const struct bytecode *bytecode, const char *name)
{
    for (uint32_t i = 0; i < bytecode->fields; i++)
        if (strcmp(bytecode->field[i].name, name) == 0)
            return &bytecode->field[i];
    return NULL;
}

/* What the hook declares and the object's struct has must be the same in both: an old header shows here. */
int control_check_context(const struct bytecode *bytecode, const struct context *context, struct jit_error *error)
{
    if (context->bytes)
        return 0;
    if (context_is_arguments(context) && strcmp(bytecode->context, context->name) == 0)
        return 0;
    if (strcmp(bytecode->context, context->name) != 0)
        return jit_error_set(error, -EINVAL, "context",
                             "the program is for context \"%s\" (its section is \"table/%s\"), the hook has context "
                             "\"%s\"",
                             bytecode->context, bytecode->context, context->name);
    for (uint32_t i = 0; i < context->fields; i++) {
        const struct context_field *declared = &context->field[i];
        const struct types_field *field = find_field(bytecode, declared->name);

        if (!field || (field->offset == declared->offset && field->size == declared->size))
            continue;
        return jit_error_set(error, -EINVAL, "context",
                             "the program was compiled with another layout of \"%s\": field \"%s\" is %u bytes at "
                             "offset %u there, and %u bytes at offset %u in the hook; compile it again with the "
                             "worker's header",
                             context->name, field->name, field->size, field->offset, declared->size,
                             declared->offset);
    }
    return 0;
}

/* ---- calls ---- */

/* The function that an instruction calls or names; -1 if it is none of both. */
static int64_t callee_of(struct instruction i)
{
    if (i.opcode == OPCODE_CALL && instruction_source(i) == CALL_LOCAL)
        return (uint32_t)i.immediate;
    if (i.opcode == OPCODE_LOAD_64 && instruction_source(i) == WIDE_FUNCTION)
        return (uint32_t)i.immediate;
    return -1;
}

struct call_graph {
    const struct bytecode *bytecode;
    const uint32_t *stack;                      /* by function; NULL: only depth counts */
    struct jit_error *error;
    bool active[BYTECODE_FUNCTIONS_MAX];        /* on the path from the program to here */
    uint32_t depth[BYTECODE_FUNCTIONS_MAX];     /* active from here on; 0: unknown */
    uint32_t bytes[BYTECODE_FUNCTIONS_MAX];     /* of stack from here on */
};

/* Depth first: a function calls itself if the way down meets it again.  The limit on depth bounds our own recursion. */
static int visit(struct call_graph *graph, uint32_t index, uint32_t depth)
{
    const struct bytecode_function *function = &graph->bytecode->function[index];
    const struct instruction *instruction = &graph->bytecode->instruction[function->first];
    uint32_t below = 0, bytes = 0;

    graph->active[index] = true;
    for (uint32_t i = 0; i < function->count; i += instruction_length(instruction[i])) {
        int64_t callee = callee_of(instruction[i]);

        if (callee < 0)
            continue;
        if (graph->active[callee])
            return jit_error_set_at(graph->error, -EINVAL, "recursion", function->name, i,
                                    "call of %s, which leads back to itself: recursion is not allowed",
                                    graph->bytecode->function[callee].name);
        if (depth + (graph->depth[callee] ? graph->depth[callee] : 1) > VERIFIER_DEPTH_MAX)
            return jit_error_set_at(graph->error, -EINVAL, "call-depth", function->name, i,
                                    "call of %s: more than %d functions would be active at once",
                                    graph->bytecode->function[callee].name, VERIFIER_DEPTH_MAX);
        if (!graph->depth[callee]) {
            int r = visit(graph, (uint32_t)callee, depth + 1);

            if (r < 0)
                return r;
        }
        if (graph->depth[callee] > below)
            below = graph->depth[callee];
        if (graph->bytes[callee] > bytes)
            bytes = graph->bytes[callee];
    }
    graph->active[index] = false;
    graph->depth[index] = 1 + below;
    graph->bytes[index] = bytes + (graph->stack ? graph->stack[index] : 0);
    return 0;
}

static int visit_all(struct call_graph *graph)
{
    int r = 0;

    for (uint32_t i = 0; r == 0 && i < graph->bytecode->functions; i++)
        if (!graph->depth[i])
            r = visit(graph, i, 1);
    return r;
}

int control_check_calls(const struct bytecode *bytecode, struct jit_error *error)
{
    struct call_graph graph = { .bytecode = bytecode, .error = error };

    return visit_all(&graph);
}

int control_check_stacks(const struct bytecode *bytecode, const uint32_t *stack, struct jit_error *error)
{
    struct call_graph graph = { .bytecode = bytecode, .stack = stack, .error = error };
    int r = visit_all(&graph);

    if (r == 0 && graph.bytes[0] > INSTRUCTION_STACK_SIZE)
        return jit_error_set_at(error, -EINVAL, "stack-size", bytecode->function[0].name, -1,
                                "it and the functions that it calls need %u bytes of stack at once; there are %d",
                                graph.bytes[0], INSTRUCTION_STACK_SIZE);
    return r;
}

/* ---- where paths meet; live registers ---- */

bool control_calls_back(struct instruction i)
{
    const struct helper *helper;

    if (i.opcode != OPCODE_CALL || instruction_source(i) != CALL_HELPER)
        return false;
    helper = helper_find(i.immediate);
    return helper && helper->callback != CALLBACK_NONE;
}

static void find_meetings(struct control *control, const struct bytecode *bytecode)
{
    const struct instruction *instruction = bytecode->instruction;

    for (uint32_t i = 0; i < bytecode->instructions; i += instruction_length(instruction[i])) {
        if (instruction_is_jump(instruction[i]))
            control->meets[i + 1 + (uint32_t)instruction_jump_distance(instruction[i])] = true;
        if (control_calls_back(instruction[i]))
            control->meets[i] = true;
    }
}

int control_init(struct control *control, const struct bytecode *bytecode)
{
    int r = -ENOMEM;

    *control = (struct control){
        .meets = calloc(bytecode->instructions, sizeof(*control->meets)),
        .live = calloc(bytecode->instructions, sizeof(*control->live)),
        .live_behind = calloc(bytecode->instructions, sizeof(*control->live_behind)),
    };
    if (control->meets && control->live && control->live_behind)
        r = liveness_of_program(bytecode, control->live, control->live_behind);
    if (r < 0)
        control_clear(control);
    else
        find_meetings(control, bytecode);
    return r;
}

void control_clear(struct control *control)
{
    free(control->meets);
    free(control->live);
    free(control->live_behind);
    *control = (struct control){ 0 };
}
