/* SPDX-License-Identifier: MIT */
/*
 * Unsigned division by a known number: multiplication by its reciprocal (Granlund and Montgomery, Division by Invariant
 * Integers using Multiplication, 1994; rounded down: Robison, N-Bit Unsigned Division Via N-Bit Multiply-Add, 2005).
 */

#include <stddef.h>

#include "../liveness.h"
#include "operation.h"

__extension__ typedef unsigned __int128 wide;

/* n / divisor = (n + increment) * multiplier >> bits + shift, for every n of `bits` bits. */
struct reciprocal {
    uint64_t multiplier;
    unsigned shift;
    bool increment;
};

/*
 * Let 2^shift < divisor < 2^(shift + 1), and K = 2^(bits + shift).
 *
 * Rounded up, multiplier * divisor = K + error, and n * multiplier / K is n / divisor and n * error / (K * divisor) too
 * much.  The quotient is right if that is less than 1 / divisor: if error <= 2^shift.
 *
 * Else it is rounded down, multiplier * divisor = K - (divisor - error), where divisor - error < 2^shift: of
 * (n + 1) / divisor less than 1 / divisor is missing.
 */
static struct reciprocal reciprocal_of(uint64_t divisor, unsigned bits)
{
    unsigned shift = 63 - (unsigned)__builtin_clzll(divisor);
    wide one = (wide)1 << (bits + shift);
    uint64_t down = (uint64_t)(one / divisor), error = divisor - (uint64_t)(one % divisor);
    bool increment = error > UINT64_C(1) << shift;

    return (struct reciprocal){ increment ? down : down + 1, shift, increment };
}

/* ---- 32 bits: the product fits in 64 ---- */

static void emit_quotient_32(struct translation *t, const struct operation *o, enum x86_register to)
{
    struct reciprocal reciprocal = reciprocal_of((uint32_t)o->number, 32);
    enum x86_register a = x86_64_register(o->a);

    if (to != a || !o->upper_zero)
        x86_mov(t->emitter, WIDTH_32, to, a);
    if (reciprocal.increment)
        x86_op_number(t->emitter, WIDTH_64, OP_ADD, to, 1);
    x86_mov_number(t->emitter, R10, reciprocal.multiplier);
    x86_imul(t->emitter, WIDTH_64, to, R10);
    x86_shift(t->emitter, WIDTH_64, SHIFT_SHR, to, (uint8_t)(32 + reciprocal.shift));
}

static void emit_remainder_32(struct translation *t, const struct operation *o)
{
    enum x86_register to = x86_64_register(o->to);

    emit_quotient_32(t, o, R11);
    x86_imul_number(t->emitter, WIDTH_32, R11, R11, o->number);
    if (o->to != o->a)
        x86_mov(t->emitter, WIDTH_32, to, x86_64_register(o->a));
    x86_op(t->emitter, WIDTH_32, OP_SUB, to, R11);
}

/* ---- 64 bits: the product is in RDX:RAX ---- */

/* The quotient to RDX; RAX and R11 are lost. */
static void emit_quotient_64(struct translation *t, const struct operation *o)
{
    struct reciprocal reciprocal = reciprocal_of((uint64_t)(int64_t)o->number, 64);

    if (x86_64_register(o->a) != RAX)
        x86_mov(t->emitter, WIDTH_64, RAX, x86_64_register(o->a));
    x86_mov_number(t->emitter, R11, reciprocal.multiplier);
    x86_unary(t->emitter, WIDTH_64, UNARY_MUL, R11);
    if (reciprocal.increment) {
        x86_op(t->emitter, WIDTH_64, OP_ADD, RAX, R11);
        x86_op_number(t->emitter, WIDTH_64, OP_ADC, RDX, 0);
    }
    x86_shift(t->emitter, WIDTH_64, SHIFT_SHR, RDX, (uint8_t)reciprocal.shift);
}

static bool is_live_behind(const struct operation *o, unsigned reg)
{
    return reg != o->to && o->live & register_bit(reg);
}

static void emit_division_64(struct translation *t, const struct operation *o)
{
    static const struct kept {
        uint8_t reg;            /* eBPF's */
        uint8_t in;             /* enum x86_register */
    } kept[] = { { 0, R10 }, { 3, R9 } };       /* RAX and RDX */
    bool is_remainder = o->kind == OPERATION_REMAINDER;
    enum x86_register to = x86_64_register(o->to), result = RDX, dividend = x86_64_register(o->a);

    for (size_t i = 0; i < 2; i++)
        if (is_live_behind(o, kept[i].reg) || (is_remainder && o->a == kept[i].reg))
            x86_mov(t->emitter, WIDTH_64, kept[i].in, x86_64_register(kept[i].reg));
    emit_quotient_64(t, o);
    if (is_remainder) {
        for (size_t i = 0; i < 2; i++)
            if (o->a == kept[i].reg)
                dividend = kept[i].in;
        x86_imul_number(t->emitter, WIDTH_64, RDX, RDX, o->number);
        x86_mov(t->emitter, WIDTH_64, RAX, dividend);
        x86_op(t->emitter, WIDTH_64, OP_SUB, RAX, RDX);
        result = RAX;
    }
    if (to != result)
        x86_mov(t->emitter, WIDTH_64, to, result);
    for (size_t i = 0; i < 2; i++)
        if (is_live_behind(o, kept[i].reg))
            x86_mov(t->emitter, WIDTH_64, x86_64_register(kept[i].reg), kept[i].in);
}

void x86_64_emit_division(struct translation *t, const struct operation *o)
{
    if (o->width == WIDTH_64)
        emit_division_64(t, o);
    else if (o->kind == OPERATION_REMAINDER)
        emit_remainder_32(t, o);
    else
        emit_quotient_32(t, o, x86_64_register(o->to));
}
