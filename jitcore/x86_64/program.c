/* SPDX-License-Identifier: MIT */
/*
 * A checked program in x86-64: uint32_t program(void *context, uint32_t key), System V.
 *
 * The code refers to nothing outside itself, has no indirect branches, never writes below RSP and
 * keeps calls and returns balanced.  A function saves the preserved registers that it uses, and has
 * a stack frame if it names R10:
 *
 *      return address
 *      saved registers         RBX R13 R14 R15 RBP, those that are used
 *      R12                     } in the program's own frame, if some load must be checked:
 *      packet size             } R12 points to `packet start` in all functions
 *      packet start            }
 *      eBPF stack              RBP (R10) points to its upper end
 *
 * A load that fails its check ends the program with verdict 0: the function returns with R12 zero,
 * its caller sees that behind the call and does the same, and the program's own frame returns 0.
 *
 * Branches are as short as they can be.  All begin long; each layout of the code shows which fit in
 * a short form, and as shortening only brings code closer together, what fitted once fits for good.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../checker.h"
#include "arithmetic.h"
#include "encode.h"
#include "x86_64.h"

#define LAYOUTS_MAX 16          /* nearly all is won in three */

/* Offsets in what R12 points to. */
#define PACKET_START 0
#define PACKET_SIZE 8
#define PACKET_BYTES 16

/* The frame of the function that is being translated. */
struct frame {
    uint8_t saved[6];           /* enum x86_register, in the order in which they are pushed */
    unsigned saved_count;
    bool packet;                /* the program's own frame, with the packet's start and size */
    bool stack_pointer;         /* RBP is R10 */
    int32_t stack;              /* bytes below RBP, a multiple of 8 */
};

struct translation {
    struct emitter *emitter;
    const struct checked_program *program;
    const struct object *object;
    uint8_t *wide;              /* per instruction: its branches take the long form */
    uint8_t *misfit;            /* per instruction: in this layout a branch must be long */
    uint64_t *label;            /* image offsets: of each instruction, */
    uint64_t *entry;            /* of each function's entry, */
    uint64_t *failure;          /* and of each function's failure exit */
    uint32_t function;          /* where we are */
    uint32_t index;
    struct frame frame;
};

/* ---- frames ---- */

static uint32_t registers_named(const struct translation *t, uint32_t function)
{
    const struct object_function *f = &t->object->function[function];
    uint32_t named = 0;

    for (uint32_t i = f->first; i < f->first + f->count; i++)
        if (t->program->mark[i] & MARK_REACHED)
            named |= 1u << instruction_destination(t->object->instruction[i]) |
                     1u << instruction_source(t->object->instruction[i]);
    return named;
}

static struct frame make_frame(const struct translation *t)
{
    struct frame frame = { .packet = t->function == 0 && t->program->packet };
    uint32_t named = registers_named(t, t->function);

    for (unsigned bpf = 6; bpf < INSTRUCTION_REGISTERS; bpf++)
        if (named & 1u << bpf)
            frame.saved[frame.saved_count++] = (uint8_t)x86_64_register(bpf);
    if (frame.packet)
        frame.saved[frame.saved_count++] = R12;
    frame.stack_pointer = named & 1u << (INSTRUCTION_REGISTERS - 1);
    if (frame.stack_pointer)
        frame.stack = (int32_t)((t->program->stack[t->function] + 7) & ~7u);
    return frame;
}

/*
 * Push the packet's size (0 if its end is before its start) and start, and let R12 point to them.
 */
static void emit_packet(struct translation *t)
{
    x86_load(t->emitter, 8, R11, RDI, (int32_t)t->program->data);
    x86_load(t->emitter, 8, R10, RDI, (int32_t)t->program->data_end);
    x86_mov_number(t->emitter, R9, 0);
    x86_op(t->emitter, WIDTH_64, OP_SUB, R10, R11);
    x86_cmov(t->emitter, CONDITION_B, R10, R9);
    x86_push(t->emitter, R10);
    x86_push(t->emitter, R11);
    x86_mov(t->emitter, WIDTH_64, R12, RSP);
}

static bool key_is_used(const struct translation *t)
{
    for (uint32_t i = 0; i < t->object->functions; i++)
        if (registers_named(t, i) & 1u << 2)
            return true;
    return false;
}

static void emit_prologue(struct translation *t)
{
    /*
     * System V leaves the upper half of a 32-bit argument undefined; R2 is the key, zero-extended.
     */
    if (t->function == 0 && key_is_used(t))
        x86_mov(t->emitter, WIDTH_32, RSI, RSI);
    for (unsigned i = 0; i < t->frame.saved_count; i++)
        x86_push(t->emitter, t->frame.saved[i]);
    if (t->frame.packet)
        emit_packet(t);
    if (t->frame.stack_pointer)
        x86_mov(t->emitter, WIDTH_64, RBP, RSP);
    if (t->frame.stack)
        x86_op_number(t->emitter, WIDTH_64, OP_SUB, RSP, t->frame.stack);
}

static void emit_epilogue(struct translation *t)
{
    int32_t below = t->frame.stack + (t->frame.packet ? PACKET_BYTES : 0);

    if (below)
        x86_op_number(t->emitter, WIDTH_64, OP_ADD, RSP, below);
    for (unsigned i = t->frame.saved_count; i > 0; i--)
        x86_pop(t->emitter, t->frame.saved[i - 1]);
    x86_ret(t->emitter);
}

/* ---- branches and calls ---- */

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
        x86_test_number(t->emitter, width, a, i.immediate);
    else if (instruction_uses_source(i))
        x86_op(t->emitter, width, OP_CMP, a, b);
    else
        x86_op_number(t->emitter, width, OP_CMP, a, i.immediate);
}

static void emit_jump(struct translation *t, struct instruction i)
{
    if (instruction_operation(i) != JUMP_ALWAYS)
        emit_comparison(t, i);
    emit_branch(t, condition_of(i),
                t->label[t->index + 1 + (uint32_t)instruction_jump_distance(i)]);
}

/* R1 to R5 are where the callee expects them, R0 is where it leaves its result. */
static void emit_call(struct translation *t, struct instruction i)
{
    x86_call(t->emitter, t->entry[i.immediate]);
    if (!t->program->packet)
        return;
    x86_test(t->emitter, WIDTH_64, R12, R12);
    emit_branch(t, CONDITION_E, t->failure[t->function]);
}

/* Where loads and calls that failed go. */
static void emit_failure(struct translation *t)
{
    if (!t->program->packet)
        return;
    t->failure[t->function] = emitter_position(t->emitter);
    x86_mov_number(t->emitter, t->function == 0 ? RAX : R12, 0);
    emit_epilogue(t);
}

/* ---- memory ---- */

/*
 * Is [base + offset, + size) in the packet?  With the distance from the packet's start as an
 * unsigned number, that is one comparison, exact for all addresses: below the start, the distance
 * wraps around to more than any size.
 */
static void emit_bounds_check(struct translation *t, unsigned size, enum x86_register base,
                              int32_t offset)
{
    x86_lea(t->emitter, R11, base, offset);
    x86_op_memory(t->emitter, OP_SUB, R11, R12, PACKET_START);
    x86_load(t->emitter, 8, R10, R12, PACKET_SIZE);
    x86_op_number(t->emitter, WIDTH_64, OP_SUB, R10, (int32_t)size);
    emit_branch(t, CONDITION_B, t->failure[t->function]);       /* shorter than the load */
    x86_op(t->emitter, WIDTH_64, OP_CMP, R11, R10);
    emit_branch(t, CONDITION_A, t->failure[t->function]);
}

static void emit_load(struct translation *t, struct instruction i)
{
    enum x86_register to = x86_64_register(instruction_destination(i)),
                      base = x86_64_register(instruction_source(i));
    unsigned size = instruction_access_size(i);

    if (t->program->mark[t->index] & MARK_PACKET)
        emit_bounds_check(t, size, base, i.offset);
    if (instruction_access_signed(i))
        x86_load_signed(t->emitter, size, to, base, i.offset);
    else
        x86_load(t->emitter, size, to, base, i.offset);
}

static void emit_store(struct translation *t, struct instruction i)
{
    enum x86_register base = x86_64_register(instruction_destination(i));
    unsigned size = instruction_access_size(i);

    if (instruction_class(i) == CLASS_ST)
        x86_store_number(t->emitter, size, base, i.offset, i.immediate);
    else
        x86_store(t->emitter, size, base, i.offset, x86_64_register(instruction_source(i)));
}

static void emit_load_64(struct translation *t, struct instruction low, struct instruction high)
{
    x86_mov_number(t->emitter, x86_64_register(instruction_destination(low)),
                   (uint32_t)low.immediate | (uint64_t)(uint32_t)high.immediate << 32);
}

/* ---- functions and layout ---- */

static void emit_instruction(struct translation *t)
{
    struct instruction i = t->object->instruction[t->index];

    switch (instruction_class(i)) {
    case CLASS_LD:
        return emit_load_64(t, i, t->object->instruction[t->index + 1]);
    case CLASS_LDX:
        return emit_load(t, i);
    case CLASS_ST:
    case CLASS_STX:
        return emit_store(t, i);
    case CLASS_ALU:
    case CLASS_ALU64:
        return x86_64_emit_arithmetic(t->emitter, i);
    case CLASS_JMP:
    case CLASS_JMP32:
        if (i.opcode == OPCODE_CALL)
            return emit_call(t, i);
        if (i.opcode == OPCODE_EXIT)
            return emit_epilogue(t);
        return emit_jump(t, i);
    }
}

static void emit_function(struct translation *t)
{
    const struct object_function *function = &t->object->function[t->function];

    if (!(t->program->mark[function->first] & MARK_REACHED))
        return;                 /* called from dead code only */
    t->frame = make_frame(t);
    t->entry[t->function] = emitter_position(t->emitter);
    emit_prologue(t);
    for (t->index = function->first; t->index < function->first + function->count;
         t->index += instruction_length(t->object->instruction[t->index])) {
        t->label[t->index] = emitter_position(t->emitter);
        if (t->program->mark[t->index] & MARK_REACHED)
            emit_instruction(t);
    }
    emit_failure(t);
}

static void emit_functions(struct translation *t, struct emitter *emitter)
{
    t->emitter = emitter;
    for (t->function = 0; t->function < t->object->functions; t->function++)
        emit_function(t);
}

/*
 * Lay the code out with the present forms of the branches, to learn all labels.  Returns its size.
 */
static size_t lay_out(struct translation *t, uint64_t final)
{
    struct emitter count;

    emitter_init(&count, NULL, 0, final);
    memset(t->misfit, 0, t->object->instructions);
    emit_functions(t, &count);
    return count.size;
}

/* Give the branches that fitted in the last layout their short form; were there any? */
static bool narrow(struct translation *t)
{
    bool narrowed = false;

    for (uint32_t i = 0; i < t->object->instructions; i++) {
        narrowed |= t->wide[i] && !t->misfit[i];
        t->wide[i] = t->wide[i] && t->misfit[i];
    }
    return narrowed;
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

    for (size_t i = 0; i < t->object->instructions + 2 * (size_t)t->object->functions; i++)
        t->label[i] = final;
    memset(t->wide, true, t->object->instructions);
    size = lay_out(t, final);
    for (unsigned layouts = 1; layouts < LAYOUTS_MAX; layouts++) {
        before = size;
        size = lay_out(t, final);
        if (!narrow(t) && size == before)
            break;
    }
    lay_out(t, final);
}

void x86_64_emit_program(struct emitter *emitter, const struct checked_program *program)
{
    size_t instructions = program->object->instructions, functions = program->object->functions;
    struct translation t = { .program = program, .object = program->object };
    uint8_t *flags = calloc(2 * instructions, sizeof(*flags));
    uint64_t *labels = calloc(instructions + 2 * functions, sizeof(*labels));

    if (flags && labels) {
        t.wide = flags;
        t.misfit = flags + instructions;
        t.label = labels;
        t.entry = labels + instructions;
        t.failure = labels + instructions + functions;
        choose_branches(&t, emitter_position(emitter));
        emit_functions(&t, emitter);
    } else if (!emitter->error) {
        emitter->error = -ENOMEM;
    }
    free(flags);
    free(labels);
}
