/* SPDX-License-Identifier: MIT */
/*
 * Arithmetic of eBPF (RFC 9669 section 4) in x86-64, as far as it has no form of three operands: operation.c has the
 * others.  Results of 32-bit operations are zero-extended by the processor itself.
 */

#include "../liveness.h"
#include "translation.h"

/* One instruction, decoded once. */
struct operands {
    struct emitter *emitter;
    enum x86_width width;
    enum x86_register to;
    bool has_from;              /* else `number` */
    enum x86_register from;
    int32_t number;
    uint16_t live;              /* registers of eBPF that are read behind it */
};

static void simple(const struct operands *o, enum x86_operation op)
{
    bool narrow = op == OP_AND && o->number >= 0;       /* the upper half becomes zero in either width */

    if (o->has_from)
        x86_op(o->emitter, o->width, op, o->to, o->from);
    else
        x86_op_number(o->emitter, narrow ? WIDTH_32 : o->width, op, o->to, o->number);
}

/* The value of the immediate at the operation's width, as a register would hold it. */
static uint64_t number_value(const struct operands *o)
{
    return o->width == WIDTH_64 ? (uint64_t)(int64_t)o->number : (uint32_t)o->number;
}

/*
 * The four divisions: dividend in RAX, divisor in R11, result to R11; RDX is free.  Where x86
 * traps, the RFC has results (section 4.1): dividing by zero gives 0 and leaves the dividend as the
 * remainder; the smallest number divided by -1 gives itself, remainder 0.
 */
static void divide_unsigned(const struct operands *o)
{
    size_t done;

    x86_test(o->emitter, o->width, R11, R11);
    done = x86_skip(o->emitter, CONDITION_E);           /* R11 is 0, and that is the result */
    x86_mov_number(o->emitter, RDX, 0);
    x86_unary(o->emitter, o->width, UNARY_DIV, R11);
    x86_mov(o->emitter, o->width, R11, RAX);
    x86_land(o->emitter, done);
}

static void modulo_unsigned(const struct operands *o)
{
    size_t done;

    x86_mov(o->emitter, o->width, RDX, RAX);
    x86_test(o->emitter, o->width, R11, R11);
    done = x86_skip(o->emitter, CONDITION_E);
    x86_mov_number(o->emitter, RDX, 0);
    x86_unary(o->emitter, o->width, UNARY_DIV, R11);
    x86_land(o->emitter, done);
    x86_mov(o->emitter, o->width, R11, RDX);
}

/* By a number that is neither 0 nor -1: nothing can trap. */
static void divide_signed_by_number(const struct operands *o)
{
    x86_sign_extend_rax(o->emitter, o->width);
    x86_unary(o->emitter, o->width, UNARY_IDIV, R11);
    x86_mov(o->emitter, o->width, R11, RAX);
}

static void modulo_signed_by_number(const struct operands *o)
{
    x86_sign_extend_rax(o->emitter, o->width);
    x86_unary(o->emitter, o->width, UNARY_IDIV, R11);
    x86_mov(o->emitter, o->width, R11, RDX);
}

static void divide_signed(const struct operands *o)
{
    size_t done, trap, quotient;

    x86_test(o->emitter, o->width, R11, R11);
    done = x86_skip(o->emitter, CONDITION_E);
    x86_op_number(o->emitter, o->width, OP_CMP, R11, -1);
    trap = x86_skip(o->emitter, CONDITION_NE);
    x86_unary(o->emitter, o->width, UNARY_NEG, RAX);
    quotient = x86_skip(o->emitter, CONDITION_ALWAYS);
    x86_land(o->emitter, trap);
    x86_sign_extend_rax(o->emitter, o->width);
    x86_unary(o->emitter, o->width, UNARY_IDIV, R11);
    x86_land(o->emitter, quotient);
    x86_mov(o->emitter, o->width, R11, RAX);
    x86_land(o->emitter, done);
}

static void modulo_signed(const struct operands *o)
{
    size_t zero, trap;

    x86_mov(o->emitter, o->width, RDX, RAX);
    x86_test(o->emitter, o->width, R11, R11);
    zero = x86_skip(o->emitter, CONDITION_E);
    x86_mov_number(o->emitter, RDX, 0);
    x86_op_number(o->emitter, o->width, OP_CMP, R11, -1);
    trap = x86_skip(o->emitter, CONDITION_E);
    x86_sign_extend_rax(o->emitter, o->width);
    x86_unary(o->emitter, o->width, UNARY_IDIV, R11);
    x86_land(o->emitter, zero);
    x86_land(o->emitter, trap);
    x86_mov(o->emitter, o->width, R11, RDX);
}

/*
 * Around a division: operands to where x86 wants them, and RAX and RDX (R0 and R3) kept unless they are the destination
 * or nobody reads them.
 */
static void division(const struct operands *o, void (*divide)(const struct operands *o))
{
    bool keep_rax = o->to != RAX && o->live & register_bit(0), keep_rdx = o->to != RDX && o->live & register_bit(3);

    if (o->has_from)
        x86_mov(o->emitter, o->width, R11, o->from);
    else
        x86_mov_number(o->emitter, R11, number_value(o));
    if (keep_rax)
        x86_mov(o->emitter, WIDTH_64, R10, RAX);
    if (keep_rdx)
        x86_mov(o->emitter, WIDTH_64, R9, RDX);
    if (o->to != RAX)
        x86_mov(o->emitter, o->width, RAX, o->to);
    divide(o);
    if (keep_rdx)
        x86_mov(o->emitter, WIDTH_64, RDX, R9);
    if (keep_rax)
        x86_mov(o->emitter, WIDTH_64, RAX, R10);
    x86_mov(o->emitter, o->width, o->to, R11);
}

/* The bytes of the value's low bits in reverse, zero-extended (RFC 9669 section 4.2). */
static void swap(const struct operands *o)
{
    if (o->number == 16) {
        x86_swap_16(o->emitter, o->to);
        x86_zero_extend(o->emitter, 16, o->to, o->to);
    } else {
        x86_swap(o->emitter, o->number == 64 ? WIDTH_64 : WIDTH_32, o->to);
    }
}

void x86_64_emit_arithmetic(struct emitter *emitter, struct instruction i, uint16_t live)
{
    const struct operands o = {
        .emitter = emitter,
        .width = instruction_class(i) == CLASS_ALU64 ? WIDTH_64 : WIDTH_32,
        .to = x86_64_register(instruction_destination(i)),
        .has_from = instruction_uses_source(i),
        .from = x86_64_register(instruction_source(i)),
        .number = i.immediate,
        .live = live,
    };

    switch (instruction_operation(i)) {
    case ALU_SUB:
        return simple(&o, OP_SUB);
    case ALU_OR:
        return simple(&o, OP_OR);
    case ALU_AND:
        return simple(&o, OP_AND);
    case ALU_XOR:
        return simple(&o, OP_XOR);
    case ALU_MUL:
        return x86_imul(emitter, o.width, o.to, o.from);
    case ALU_DIV:
        return division(&o, !i.offset ? divide_unsigned : o.has_from ? divide_signed : divide_signed_by_number);
    case ALU_MOD:
        return division(&o, !i.offset ? modulo_unsigned : o.has_from ? modulo_signed : modulo_signed_by_number);
    case ALU_NEG:
        return x86_unary(emitter, o.width, UNARY_NEG, o.to);
    case ALU_MOV:
        return x86_mov_number(emitter, o.to, number_value(&o));
    case ALU_END:
        return swap(&o);
    }
}
