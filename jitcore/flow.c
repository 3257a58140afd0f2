/* SPDX-License-Identifier: MIT */
/*
 * Where pointers point.
 *
 * A state says of each register and each 8-byte stack slot where its value points.  States are kept
 * at heads (function entries, jump targets, calls), joined where paths meet, and only ever get less
 * exact, so the work list runs dry.  An error seen on the way holds at the fixed point too: what is
 * refused of a value is refused of all less exact ones.  The same holds for marks, as a load from
 * ELSEWHERE, the only kind that is marked, can otherwise only become an error.
 *
 * Memory safety does not hang on precision: a pointer that is lost track of counts as ELSEWHERE,
 * and loads from there are checked when they run.
 */

#include "flow.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOT_SIZE 8
#define SLOTS (INSTRUCTION_STACK_SIZE / SLOT_SIZE)
#define CALL_ARGUMENTS 5                /* R1 to R5 */

/* Real programs need two to four steps an instruction; many more are an attempt to keep us busy. */
#define STEPS_MIN 10000
#define STEPS_PER_INSTRUCTION 64

/*
 * From exact to inexact: the join of two different values is the greater of the two, made inexact.
 */
enum where {
    ELSEWHERE,                  /* a number, or memory that is neither the context nor a stack */
    CONTEXT_AT,                 /* at `offset` of the context */
    CONTEXT_SOMEWHERE,          /* the context, perhaps, at an unknown offset */
    CALLER_STACK,               /* the stack of a calling function, perhaps */
    STACK_AT,                   /* R10 + `offset` */
    STACK_SOMEWHERE,            /* this function's stack, perhaps, at an unknown offset */
};

struct value {
    uint8_t where;              /* enum where */
    int16_t offset;             /* bytes; 0 unless CONTEXT_AT or STACK_AT */
};

struct state {
    struct value reg[INSTRUCTION_REGISTERS];
    struct value slot[SLOTS];   /* slot[0] is the lowest: R10 - 512 */
};

struct flow {
    struct checked_program *program;
    const struct object *object;
    const struct context *context;
    struct jit_error *error;
    uint8_t *is_head;           /* per instruction */
    struct state **head;        /* per instruction: what holds before it; NULL: not reached */
    uint32_t *queue;            /* heads whose state changed since they were run */
    uint8_t *queued;            /* per instruction: it is in the queue */
    uint32_t queue_length;
    struct value *result;       /* per function: R0 at its exits, seen from the caller */
    uint8_t *returns;           /* per function: it has been seen to return */
    uint64_t steps;
};

/* Where the analysis stands. */
struct cursor {
    struct flow *flow;
    uint32_t function;
    uint32_t index;             /* instruction of the object */
    struct state state;
};

static const struct value elsewhere = { ELSEWHERE, 0 };

static struct instruction instruction_at(const struct cursor *cursor)
{
    return cursor->flow->object->instruction[cursor->index];
}

__attribute__((format(printf, 3, 4)))
static int refuse(const struct cursor *cursor, const char *rule, const char *format, ...);

/* ---- values ---- */

static struct value inexact(struct value value)
{
    if (value.where == CONTEXT_AT)
        return (struct value){ CONTEXT_SOMEWHERE, 0 };
    if (value.where == STACK_AT)
        return (struct value){ STACK_SOMEWHERE, 0 };
    return value;
}

static struct value least_exact(struct value a, struct value b)
{
    a = inexact(a);
    b = inexact(b);
    return a.where > b.where ? a : b;
}

static struct value join(struct value a, struct value b)
{
    if (a.where == b.where && a.offset == b.offset)
        return a;
    return least_exact(a, b);
}

static struct value moved(struct value value, int64_t distance)
{
    int64_t offset = value.offset + distance;

    if (value.where != CONTEXT_AT && value.where != STACK_AT)
        return value;
    if (offset != (int16_t)offset)
        return inexact(value);
    return (struct value){ value.where, (int16_t)offset };
}

/* `into` becomes the join; did it change? */
static bool join_values(struct value *into, const struct value *from, size_t count)
{
    bool changed = false;

    for (size_t i = 0; i < count; i++) {
        struct value joined = join(into[i], from[i]);

        changed |= joined.where != into[i].where || joined.offset != into[i].offset;
        into[i] = joined;
    }
    return changed;
}

/* ---- the work list ---- */

static void enqueue(struct flow *flow, uint32_t index)
{
    if (flow->queued[index])
        return;
    flow->queued[index] = true;
    flow->queue[flow->queue_length++] = index;
}

/* One more path leads to the head at `index`, with this state. */
static int reach(struct flow *flow, uint32_t index, const struct state *state)
{
    struct state *head = flow->head[index];
    bool changed;

    assert(flow->is_head[index]);
    if (!head) {
        head = flow->head[index] = malloc(sizeof(*head));
        if (!head)
            return -ENOMEM;
        *head = *state;
        enqueue(flow, index);
        return 0;
    }
    changed = join_values(head->reg, state->reg, INSTRUCTION_REGISTERS);
    changed |= join_values(head->slot, state->slot, SLOTS);
    if (changed)
        enqueue(flow, index);
    return 0;
}

/* ---- loads and stores ---- */

struct access {
    struct value base;
    int32_t offset;             /* from where the base points, or from the base's inexact value */
    unsigned size;
    bool store;
};

static int access_stack(struct cursor *cursor, const struct access *access)
{
    uint32_t *used = &cursor->flow->program->stack[cursor->function];

    if (access->offset < -INSTRUCTION_STACK_SIZE || access->offset + (int32_t)access->size > 0)
        return refuse(cursor, "stack-bounds",
                      "%u bytes at R10%+d are outside the stack, which is the %d bytes below R10",
                      access->size, access->offset, INSTRUCTION_STACK_SIZE);
    if ((uint32_t)-access->offset > *used)
        *used = (uint32_t)-access->offset;
    return 0;
}

/*
 * The declared fields before and behind an offset, for messages: "a" (bytes 0 to 7) and "b" (bytes
 * 8 to 11).
 */
static int refuse_context(const struct cursor *cursor, const struct access *access)
{
    const struct context *context = cursor->flow->context;
    const struct context_field *before = NULL, *behind = NULL;

    for (uint32_t i = 0; i < context->fields && !behind; i++) {
        if ((int64_t)context->field[i].offset <= access->offset)
            before = &context->field[i];
        else
            behind = &context->field[i];
    }
    if (!before)
        before = behind;
    if (!behind)
        behind = before;
    if (!before)
        return refuse(cursor, "context",
                      "%u bytes at offset %d of context \"%s\": it declares no field", access->size,
                      access->offset, context->name);
    return refuse(cursor, "context",
                  "%u bytes at offset %d of context \"%s\" are not inside a field that the hook "
                  "declares; near it are \"%s\" (%u bytes at %u) and \"%s\" (%u bytes at %u)",
                  access->size, access->offset, context->name, before->name, before->size,
                  before->offset, behind->name, behind->size, behind->offset);
}

static int access_context(const struct cursor *cursor, const struct access *access)
{
    const struct context *context = cursor->flow->context;
    const struct context_field *field = NULL;

    if (access->offset >= 0)
        field = context_find(context, (uint32_t)access->offset, access->size);
    if (!field)
        return refuse_context(cursor, access);
    if (access->store && field->rights != CONTEXT_WRITE)
        return refuse(cursor, "context",
                      "stores to field \"%s\" of context \"%s\", which the hook declares read-only",
                      field->name, context->name);
    if ((field->rights == CONTEXT_DATA || field->rights == CONTEXT_DATA_END) &&
        access->size != field->size)
        return refuse(cursor, "context",
                      "loads %u bytes of field \"%s\" of context \"%s\", a pointer; load all "
                      "its %u bytes at once",
                      access->size, field->name, context->name, field->size);
    return 0;
}

static int access_elsewhere(const struct cursor *cursor, const struct access *access)
{
    struct checked_program *program = cursor->flow->program;

    if (access->store)
        return refuse(
            cursor, "packet-store",
            "stores to memory that is neither the stack nor the context; the packet is read-only");
    if (cursor->flow->context->data < 0)
        return refuse(cursor, "packet",
                      "loads from memory that is neither the stack nor the context, and context "
                      "\"%s\" has no packet",
                      cursor->flow->context->name);
    program->mark[cursor->index] |= MARK_PACKET;
    program->packet = true;
    return 0;
}

static int check_access(struct cursor *cursor, const struct access *access)
{
    switch ((enum where)access->base.where) {
    case ELSEWHERE:
        return access_elsewhere(cursor, access);
    case CONTEXT_AT:
        return access_context(cursor, access);
    case CONTEXT_SOMEWHERE:
        return refuse(cursor, "context-variable",
                      "accesses the context, perhaps, at an offset that is not the same "
                      "constant on all paths; use one field at a time");
    case CALLER_STACK:
        return refuse(cursor, "stack-caller",
                      "accesses the stack of a calling function, perhaps; not supported yet, "
                      "pass values or inline this function");
    case STACK_AT:
        return access_stack(cursor, access);
    case STACK_SOMEWHERE:
        return refuse(cursor, "stack-variable",
                      "accesses the stack, perhaps, at an offset that is not the same constant "
                      "on all paths; not supported yet, unroll the loop or use constant indices");
    }
    return -EINVAL;
}

/* The first slot that a stack access touches. */
static struct value *slot_of(struct cursor *cursor, const struct access *access)
{
    return &cursor->state.slot[(access->offset + INSTRUCTION_STACK_SIZE) / SLOT_SIZE];
}

static bool covers_slot(const struct access *access)
{
    return access->size == SLOT_SIZE && access->offset % SLOT_SIZE == 0;
}

static void store_to_stack(struct cursor *cursor, const struct access *access, struct value value)
{
    struct value *slot = slot_of(cursor, access);
    unsigned within = (unsigned)(access->offset + INSTRUCTION_STACK_SIZE) % SLOT_SIZE;

    *slot = covers_slot(access) ? value : elsewhere;
    if (within + access->size > SLOT_SIZE)
        slot[1] = elsewhere;
}

static struct access make_access(const struct cursor *cursor, unsigned base, bool store)
{
    struct instruction i = instruction_at(cursor);
    struct value value = cursor->state.reg[base];

    return (struct access){
        .base = value,
        .offset = value.offset + i.offset,
        .size = instruction_access_size(i),
        .store = store,
    };
}

static int load(struct cursor *cursor)
{
    struct instruction i = instruction_at(cursor);
    struct access access = make_access(cursor, instruction_source(i), false);
    struct value value = elsewhere;
    int r = check_access(cursor, &access);

    if (r < 0)
        return r;
    if (access.base.where == STACK_AT && covers_slot(&access))
        value = *slot_of(cursor, &access);
    cursor->state.reg[instruction_destination(i)] = value;
    return 0;
}

static int store(struct cursor *cursor)
{
    struct instruction i = instruction_at(cursor);
    struct access access = make_access(cursor, instruction_destination(i), true);
    struct value value =
        instruction_class(i) == CLASS_STX ? cursor->state.reg[instruction_source(i)] : elsewhere;
    int r = check_access(cursor, &access);

    if (r == 0 && access.base.where == STACK_AT)
        store_to_stack(cursor, &access, value);
    return r;
}

/* ---- arithmetic ---- */

static struct value compute(struct instruction i, struct value destination, struct value source)
{
    unsigned operation = instruction_operation(i);

    if (instruction_class(i) == CLASS_ALU)
        return elsewhere;       /* 32 bits are no pointer any more */
    if (operation == ALU_MOV)
        return i.offset == 0 ? source : elsewhere;
    if (operation == ALU_ADD && !instruction_uses_source(i))
        return moved(destination, i.immediate);
    if (operation == ALU_SUB && !instruction_uses_source(i))
        return moved(destination, -(int64_t)i.immediate);
    if (operation == ALU_SUB && destination.where != ELSEWHERE && source.where != ELSEWHERE)
        return elsewhere;       /* a distance between pointers */
    return least_exact(destination, source);
}

static void arithmetic(struct cursor *cursor)
{
    struct instruction i = instruction_at(cursor);
    struct value *destination = &cursor->state.reg[instruction_destination(i)];
    bool binary = instruction_operation(i) != ALU_END && instruction_uses_source(i);
    struct value source = binary ? cursor->state.reg[instruction_source(i)] : elsewhere;

    *destination = compute(i, *destination, source);
}

/* ---- calls ---- */

static struct state entry_state(void)
{
    struct state state;

    memset(&state, 0, sizeof(state));   /* ELSEWHERE */
    state.reg[INSTRUCTION_REGISTERS - 1] = (struct value){ STACK_AT, 0 };
    return state;
}

/* Our stack is the callee's caller's. */
static struct value seen_by_callee(struct value value)
{
    if (value.where == STACK_AT || value.where == STACK_SOMEWHERE)
        return (struct value){ CALLER_STACK, 0 };
    return value;
}

/* The callee's stack is gone; its caller's may be ours. */
static struct value seen_by_caller(struct value value)
{
    if (value.where == STACK_AT || value.where == STACK_SOMEWHERE)
        return elsewhere;
    if (value.where == CALLER_STACK)
        return (struct value){ STACK_SOMEWHERE, 0 };
    return value;
}

/* 1: go on behind the call; 0: the callee has not been seen to return yet; or an error. */
static int call(struct cursor *cursor)
{
    struct flow *flow = cursor->flow;
    uint32_t callee = (uint32_t)instruction_at(cursor).immediate;
    struct state state = entry_state();
    int r;

    for (unsigned i = 1; i <= CALL_ARGUMENTS; i++)
        state.reg[i] = seen_by_callee(cursor->state.reg[i]);
    r = reach(flow, flow->object->function[callee].first, &state);
    if (r < 0 || !flow->returns[callee])
        return r;
    cursor->state.reg[0] = flow->result[callee];
    for (unsigned i = 1; i <= CALL_ARGUMENTS; i++)
        cursor->state.reg[i] = elsewhere;
    return 1;
}

/* The function returns: its callers go on, or go on with a less exact result. */
static void leave(struct cursor *cursor)
{
    struct flow *flow = cursor->flow;
    struct value value = seen_by_caller(cursor->state.reg[0]);
    bool changed = !flow->returns[cursor->function];

    if (changed)
        flow->result[cursor->function] = value;
    changed |= join_values(&flow->result[cursor->function], &value, 1);
    flow->returns[cursor->function] = true;
    if (!changed)
        return;
    for (uint32_t i = 0; i < flow->object->instructions; i++)
        if (flow->is_head[i] && flow->head[i] &&
            flow->object->instruction[i].opcode == OPCODE_CALL &&
            (uint32_t)flow->object->instruction[i].immediate == cursor->function)
            enqueue(flow, i);
}

/* ---- control ---- */

/*
 * Apply one instruction.  1: go on with the next one in memory; 0: this path ends or goes on
 * elsewhere; or an error.
 */
static int step(struct cursor *cursor)
{
    struct instruction i = instruction_at(cursor);
    int r;

    cursor->flow->program->mark[cursor->index] |= MARK_REACHED;
    if (instruction_is_jump(i)) {
        r = reach(cursor->flow, cursor->index + 1 + (uint32_t)instruction_jump_distance(i),
                  &cursor->state);
        return r < 0 ? r : instruction_operation(i) != JUMP_ALWAYS;
    }
    switch (instruction_class(i)) {
    case CLASS_LD:
        cursor->state.reg[instruction_destination(i)] = elsewhere;
        return 1;
    case CLASS_LDX:
        r = load(cursor);
        return r < 0 ? r : 1;
    case CLASS_ST:
    case CLASS_STX:
        r = store(cursor);
        return r < 0 ? r : 1;
    case CLASS_ALU:
    case CLASS_ALU64:
        arithmetic(cursor);
        return 1;
    case CLASS_JMP:
    case CLASS_JMP32:
        if (i.opcode == OPCODE_CALL)
            return call(cursor);
        leave(cursor);
        return 0;
    }
    return -EINVAL;
}

/* From a head to where its path ends or comes to another head. */
static int run_block(struct cursor *cursor)
{
    struct flow *flow = cursor->flow;
    const struct object_function *function = &flow->object->function[cursor->function];

    for (;;) {
        uint32_t next;
        int r;

        if (++flow->steps >
            STEPS_MIN + (uint64_t)STEPS_PER_INSTRUCTION * flow->object->instructions)
            return refuse(cursor, "limit",
                          "the program's paths are too many to analyse; make it simpler");
        r = step(cursor);
        if (r <= 0)
            return r;
        next = cursor->index + instruction_length(instruction_at(cursor));
        if (next == function->first + function->count)
            return refuse(cursor, "fall-through",
                          "a path runs over the function's end; it must end in exit");
        cursor->index = next;
        if (flow->is_head[cursor->index])
            return reach(flow, cursor->index, &cursor->state);
    }
}

static int refuse(const struct cursor *cursor, const char *rule, const char *format, ...)
{
    const struct object_function *function = &cursor->flow->object->function[cursor->function];
    char text[400];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    return jit_error_set_at(cursor->flow->error, -EINVAL, rule, function->name,
                            cursor->index - function->first, "%s: %s",
                            instruction_name(instruction_at(cursor)), text);
}

/* ---- set-up ---- */

static void find_heads(struct flow *flow)
{
    const struct object *object = flow->object;

    for (uint32_t i = 0; i < object->functions; i++)
        flow->is_head[object->function[i].first] = true;
    for (uint32_t i = 0; i < object->instructions;
         i += instruction_length(object->instruction[i])) {
        struct instruction instruction = object->instruction[i];

        if (instruction_is_jump(instruction))
            flow->is_head[i + 1 + (uint32_t)instruction_jump_distance(instruction)] = true;
        if (instruction.opcode == OPCODE_CALL)
            flow->is_head[i] = true;
    }
}

static uint32_t function_of(const struct object *object, uint32_t instruction)
{
    uint32_t i = 0;

    while (instruction >= object->function[i].first + object->function[i].count)
        i++;
    return i;
}

static int run(struct flow *flow)
{
    struct state state = entry_state();
    int r;

    find_heads(flow);
    state.reg[1] = (struct value){ CONTEXT_AT, 0 };
    r = reach(flow, flow->object->function[0].first, &state);
    while (r >= 0 && flow->queue_length > 0) {
        uint32_t index = flow->queue[--flow->queue_length];
        struct cursor cursor = { flow, function_of(flow->object, index), index,
                                 *flow->head[index] };

        flow->queued[index] = false;
        r = run_block(&cursor);
    }
    return r;
}

int flow_run(struct checked_program *program, const struct context *context,
             struct jit_error *error)
{
    const struct object *object = program->object;
    struct flow flow = { .program = program, .object = object, .context = context, .error = error };
    int r = -ENOMEM;

    flow.is_head = calloc(object->instructions, sizeof(*flow.is_head));
    flow.head = calloc(object->instructions, sizeof(*flow.head));
    flow.queue = calloc(object->instructions, sizeof(*flow.queue));
    flow.queued = calloc(object->instructions, sizeof(*flow.queued));
    flow.result = calloc(object->functions, sizeof(*flow.result));
    flow.returns = calloc(object->functions, sizeof(*flow.returns));
    if (flow.is_head && flow.head && flow.queue && flow.queued && flow.result && flow.returns)
        r = run(&flow);
    for (uint32_t i = 0; flow.head && i < object->instructions; i++)
        free(flow.head[i]);
    free(flow.is_head);
    free(flow.head);
    free(flow.queue);
    free(flow.queued);
    free(flow.result);
    free(flow.returns);
    return r;
}
