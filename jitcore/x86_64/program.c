/* SPDX-License-Identifier: MIT */
/*
 * A verified program in x86-64: uint32_t program(void *context, uint32_t key), System V.
 *
 * All accesses are proven, so nothing is checked when it runs.  The code refers to its constants and to memory outside
 * relative to RIP, has no indirect branches, never writes below RSP and keeps calls and returns balanced.  A function
 * saves the preserved registers that it uses, and has a stack frame if it names R10:
 *
 *      return address
 *      saved registers         RBX R13 R14 R15 RBP R12, those that are used
 *      eBPF stack              RBP (R10) points to its upper end, a multiple of 8: the verifier relies on that
 *
 * Branches are as short as they can be.  All begin long; each layout of the code shows which fit in
 * a short form, and as shortening only brings code closer together, what fitted once fits for good.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../context.h"
#include "../helper.h"
#include "../liveness.h"
#include "rules.h"
#include "x86_64.h"

#define LAYOUTS_MAX 16          /* nearly all is won in three */
#define REGION_ALIGNMENT 8      /* of constants, bytes */

/* ---- frames ---- */

/* Code in place that counts in R12. */
static bool is_loop(struct instruction i)
{
    return i.opcode == OPCODE_CALL && instruction_source(i) == CALL_HELPER &&
           (i.immediate == HELPER_LOOP || i.immediate == HELPER_FOR_EACH);
}

/* x86-64 registers that an operation changes or reads, as a mask. */
static uint32_t operation_names(const struct operation *operation)
{
    uint32_t bpf = operation_reads(operation) | operation_writes(operation), named = 0;

    for (unsigned reg = 0; reg < INSTRUCTION_REGISTERS; reg++)
        if (bpf & 1u << reg)
            named |= 1u << x86_64_register(reg);
    return operation->kind == OPERATION_INSTRUCTION && is_loop(operation->instruction) ? named | 1u << R12 : named;
}

/* Those of all its operations. */
static uint32_t registers_named(const struct translation *t, uint32_t function)
{
    const struct bytecode_function *f = &t->bytecode->function[function];
    uint32_t named = 0;

    for (uint32_t at = f->first; at < f->first + f->count; at++)
        named |= operation_names(&t->operation[at]);
    return named;
}

static struct frame make_frame(const struct translation *t)
{
    static const uint8_t preserved[] = { RBX, R13, R14, R15, RBP, R12 };
    struct frame frame = { 0 };
    uint32_t named = registers_named(t, t->function);

    for (size_t i = 0; i < sizeof(preserved); i++)
        if (named & 1u << preserved[i])
            frame.saved[frame.saved_count++] = preserved[i];
    frame.stack_pointer = named & 1u << RBP;
    if (frame.stack_pointer)
        frame.stack = (int32_t)((t->verified->stack[t->function] + 7) & ~7u);
    return frame;
}

/* Is R2 a table's key, and read before something else is put there?  A static call's arguments have 64 bits. */
static bool key_is_used(const struct translation *t)
{
    const struct operation *first = &t->operation[t->bytecode->function[0].first];

    if (t->function != 0 || context_name_is_arguments(t->bytecode->context))
        return false;
    return ((first->live & ~operation_writes(first)) | operation_reads(first)) & register_bit(2);
}

static void emit_prologue(struct translation *t)
{
    /* System V leaves the upper half of a 32-bit argument undefined; R2 is the key, zero-extended. */
    if (key_is_used(t))
        x86_mov(t->emitter, WIDTH_32, RSI, RSI);
    for (unsigned i = 0; i < t->frame.saved_count; i++)
        x86_push(t->emitter, t->frame.saved[i]);
    if (t->frame.stack_pointer)
        x86_mov(t->emitter, WIDTH_64, RBP, RSP);
    if (t->frame.stack)
        x86_op_number(t->emitter, WIDTH_64, OP_SUB, RSP, t->frame.stack);
}

static void emit_epilogue(struct translation *t)
{
    if (t->frame.stack)
        x86_op_number(t->emitter, WIDTH_64, OP_ADD, RSP, t->frame.stack);
    for (unsigned i = t->frame.saved_count; i > 0; i--)
        x86_pop(t->emitter, t->frame.saved[i - 1]);
    x86_ret(t->emitter);
}

/* ---- branches ---- */

static void emit_branch(struct translation *t, enum x86_condition condition, uint64_t to)
{
    bool wide = t->wide[t->index];
    uint64_t position = emitter_position(t->emitter);
    size_t size = wide && to > position ? x86_branch_near_size(condition) : X86_BRANCH_SHORT_SIZE;
    int64_t distance = (int64_t)(to - (position + size));       /* in the short form */

    if (distance != (int8_t)distance)
        t->misfit[t->index] = true;
    if (wide)
        x86_branch_near(t->emitter, condition, to);
    else
        x86_branch_short(t->emitter, condition, to);
}

static enum x86_condition condition_of(struct instruction i)
{
    switch ((enum instruction_jump)instruction_operation(i)) {
    case JUMP_EQ:
        return CONDITION_E;
    case JUMP_NE:
    case JUMP_SET:
        return CONDITION_NE;
    case JUMP_GT:
        return CONDITION_A;
    case JUMP_GE:
        return CONDITION_AE;
    case JUMP_LT:
        return CONDITION_B;
    case JUMP_LE:
        return CONDITION_BE;
    case JUMP_SGT:
        return CONDITION_G;
    case JUMP_SGE:
        return CONDITION_GE;
    case JUMP_SLT:
        return CONDITION_L;
    case JUMP_SLE:
        return CONDITION_LE;
    default:
        return CONDITION_ALWAYS;
    }
}

/* cmp or test, what the condition needs */
static void emit_comparison(struct translation *t, struct instruction i)
{
    enum x86_width width = instruction_class(i) == CLASS_JMP ? WIDTH_64 : WIDTH_32;
    enum x86_register a = x86_64_register(instruction_destination(i)),
                      b = x86_64_register(instruction_source(i));

    if (instruction_operation(i) == JUMP_SET && instruction_uses_source(i))
        x86_test(t->emitter, width, a, b);
    else if (instruction_operation(i) == JUMP_SET)
        x86_test_number(t->emitter, i.immediate < 0 ? width : WIDTH_32, a, i.immediate);
    else if (instruction_uses_source(i))
        x86_op(t->emitter, width, OP_CMP, a, b);
    else if (i.immediate == 0)          /* the same flags, in a shorter form */
        x86_test(t->emitter, width, a, a);
    else
        x86_op_number(t->emitter, width, OP_CMP, a, i.immediate);
}

/* The opposite of one of x86-64's conditions differs in the lowest bit. */
static enum x86_condition opposite(enum x86_condition condition)
{
    return (enum x86_condition)(condition ^ 1);
}

/*
 * What is always taken needs no comparison, and what is never taken is no operation any more.  Where both are proven
 * nobody comes: there were no numbers left to compare.
 */
static void emit_jump(struct translation *t, const struct operation *o)
{
    enum x86_condition condition = condition_of(o->instruction);
    uint8_t mark = t->verified->mark[t->index];

    if (mark & VERIFIED_NEVER)
        return x86_undefined(t->emitter);
    if (mark & VERIFIED_ALWAYS || condition == CONDITION_ALWAYS)
        return emit_branch(t, CONDITION_ALWAYS, t->label[o->target]);
    emit_comparison(t, o->instruction);
    emit_branch(t, o->inverted ? opposite(condition) : condition, t->label[o->target]);
}

/* ---- functions and layout ---- */

static void emit_instruction(struct translation *t)
{
    const struct operation *operation = &t->operation[t->index];
    struct instruction i = operation->instruction;

    if (operation->kind != OPERATION_INSTRUCTION)
        return operation_emit(t, operation);

    switch (instruction_class(i)) {
    case CLASS_LD:
        return x86_64_emit_load_64(t, i, t->bytecode->instruction[t->index + 1]);
    case CLASS_STX:
        return x86_64_emit_atomic(t, i);
    case CLASS_ALU:
    case CLASS_ALU64:
        return x86_64_emit_arithmetic(t->emitter, i, operation->live);
    case CLASS_JMP:
    case CLASS_JMP32:
        if (i.opcode == OPCODE_CALL)
            return x86_64_emit_call(t, i);
        if (i.opcode == OPCODE_EXIT)
            return emit_epilogue(t);
        return emit_jump(t, operation);
    case CLASS_LDX:             /* operations of their own */
    case CLASS_ST:
        break;
    }
}

static bool function_is_reached(const struct translation *t, uint32_t function)
{
    return t->verified->mark[t->bytecode->function[function].first] & VERIFIED_REACHED;
}

static void emit_function(struct translation *t)
{
    const struct bytecode_function *function = &t->bytecode->function[t->function];

    if (!function_is_reached(t, t->function))
        return;                 /* called from dead code only */
    t->frame = make_frame(t);
    t->entry[t->function] = emitter_position(t->emitter);
    emit_prologue(t);
    for (t->index = function->first; t->index < function->first + function->count;
         t->index += instruction_length(t->bytecode->instruction[t->index])) {
        t->label[t->index] = emitter_position(t->emitter);
        emit_instruction(t);
    }
}

/* The constant regions, behind the code. */
static void emit_region(struct translation *t, uint32_t index)
{
    static const uint8_t zeros[REGION_ALIGNMENT];
    const struct bytecode_region *region = &t->bytecode->region[index];

    if (region->kind != REGION_CONSTANT)
        return;
    emit_bytes(t->emitter, zeros, -t->emitter->size % REGION_ALIGNMENT);
    t->region[index] = emitter_position(t->emitter);
    if (region->contents)
        emit_bytes(t->emitter, region->contents, region->size);
    else
        for (uint32_t i = 0; i < region->size; i++)
            emit_8(t->emitter, 0);
}

static void emit_all(struct translation *t, struct emitter *emitter)
{
    t->emitter = emitter;
    for (t->function = 0; t->function < t->bytecode->functions; t->function++)
        emit_function(t);
    t->callback = emitter_position(emitter);
    x86_64_emit_callbacks(t);
    for (uint32_t i = 0; i < t->bytecode->regions; i++)
        emit_region(t, i);
}

/*
 * Lay the code out with the present forms of the branches, to learn all labels.  Returns its size.
 */
static size_t lay_out(struct translation *t, uint64_t final)
{
    struct emitter count;

    emitter_init(&count, NULL, 0, final);
    memset(t->misfit, 0, t->bytecode->instructions);
    emit_all(t, &count);
    return count.size;
}

/* Give the branches that fitted in the last layout their short form; were there any? */
static bool narrow(struct translation *t)
{
    bool narrowed = false;

    for (uint32_t i = 0; i < t->bytecode->instructions; i++) {
        narrowed |= t->wide[i] && !t->misfit[i];
        t->wide[i] = t->wide[i] && t->misfit[i];
    }
    return narrowed;
}

static size_t label_count(const struct bytecode *bytecode)
{
    return (size_t)bytecode->instructions + bytecode->functions + bytecode->regions;
}

/*
 * The first layout only finds labels.  In the later ones a label behind the branch is exact, and
 * one ahead of it is at worst where it was before code in between shrank: too far, never too near.
 * When a layout neither narrows a branch nor is smaller than the one before, all labels are exact;
 * the last one is for when we stop earlier.
 */
static void choose_branches(struct translation *t, uint64_t final)
{
    size_t size, before;

    for (size_t i = 0; i < label_count(t->bytecode); i++)
        t->label[i] = final;
    memset(t->wide, true, t->bytecode->instructions);
    size = lay_out(t, final);
    for (unsigned layouts = 1; layouts < LAYOUTS_MAX; layouts++) {
        before = size;
        size = lay_out(t, final);
        if (!narrow(t) && size == before)
            break;
    }
    lay_out(t, final);
}

static void find_callbacks(struct translation *t)
{
    const struct bytecode *bytecode = t->bytecode;

    for (uint32_t at = 0; at < bytecode->instructions; at += instruction_length(bytecode->instruction[at])) {
        struct instruction i = bytecode->instruction[at];

        if (i.opcode == OPCODE_LOAD_64 && instruction_source(i) == WIDE_FUNCTION)
            t->is_callback[i.immediate] = function_is_reached(t, (uint32_t)i.immediate);
    }
}

static void emit_program(struct emitter *emitter, const struct verified *verified, bool has_bmi2)
{
    const struct bytecode *bytecode = verified->bytecode;
    struct translation t = { .verified = verified, .bytecode = bytecode, .has_bmi2 = has_bmi2 };
    uint8_t *flags = calloc(2 * (size_t)bytecode->instructions, sizeof(*flags));
    bool *callbacks = calloc(bytecode->functions, sizeof(*callbacks));
    uint64_t *labels = calloc(label_count(bytecode), sizeof(*labels));

    if (flags && callbacks && labels && rules_apply(verified, &t.operation) == 0 &&
        x86_64_straighten(verified, t.operation) == 0) {
        t.wide = flags;
        t.misfit = flags + bytecode->instructions;
        t.is_callback = callbacks;
        t.label = labels;
        t.entry = labels + bytecode->instructions;
        t.region = t.entry + bytecode->functions;
        find_callbacks(&t);
        choose_branches(&t, emitter_position(emitter));
        emit_all(&t, emitter);
    } else if (!emitter->error) {
        emitter->error = -ENOMEM;
    }
    free(flags);
    free(callbacks);
    free(labels);
    free(t.operation);
}

void x86_64_emit_program(struct emitter *emitter, const struct verified *verified)
{
    emit_program(emitter, verified, false);
}

void x86_64_v3_emit_program(struct emitter *emitter, const struct verified *verified)
{
    emit_program(emitter, verified, true);
}
