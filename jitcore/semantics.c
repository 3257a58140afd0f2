/* SPDX-License-Identifier: MIT */
/* What instructions compute. */

#include "semantics.h"

uint64_t semantics_sign_extend(uint64_t value, unsigned bits)
{
    uint64_t sign = 1ull << (bits - 1);

    value = bits == 64 ? value : value & ((sign << 1) - 1);
    return (value ^ sign) - sign;
}

static uint64_t low_bits(uint64_t value, unsigned bits)
{
    return bits == 64 ? value : value & ((1ull << bits) - 1);
}

static uint64_t reverse_bytes(uint64_t value, unsigned bits)
{
    uint64_t reversed = 0;

    for (unsigned i = 0; i < bits; i += 8)
        reversed = reversed << 8 | (value >> i & 0xff);
    return reversed;
}

/* Byte swaps: ALU is le and be of a little-endian machine, ALU64 swaps always. */
static uint64_t swap(struct instruction i, uint64_t a)
{
    bool to_little = instruction_class(i) == CLASS_ALU && !instruction_uses_source(i);

    return to_little ? low_bits(a, (unsigned)i.immediate) : reverse_bytes(a, (unsigned)i.immediate);
}

static uint64_t divide(bool is_signed, unsigned bits, uint64_t a, uint64_t b)
{
    if (b == 0)
        return 0;
    if (!is_signed)
        return a / b;
    a = semantics_sign_extend(a, bits);
    b = semantics_sign_extend(b, bits);
    return b == UINT64_MAX ? -a : (uint64_t)((int64_t)a / (int64_t)b);  /* the smallest number stays what it is */
}

static uint64_t remainder_of(bool is_signed, unsigned bits, uint64_t a, uint64_t b)
{
    if (b == 0)
        return a;
    if (!is_signed)
        return a % b;
    a = semantics_sign_extend(a, bits);
    b = semantics_sign_extend(b, bits);
    return b == UINT64_MAX ? 0 : (uint64_t)((int64_t)a % (int64_t)b);
}

/* `a` and `b` are cut to `bits`; what the result has above is cut off by the caller. */
static uint64_t operate(struct instruction i, unsigned bits, uint64_t a, uint64_t b)
{
    unsigned distance = (unsigned)b & (bits - 1);

    switch ((enum instruction_arithmetic)instruction_operation(i)) {
    case ALU_ADD:
        return a + b;
    case ALU_SUB:
        return a - b;
    case ALU_MUL:
        return a * b;
    case ALU_DIV:
        return divide(i.offset == 1, bits, a, b);
    case ALU_MOD:
        return remainder_of(i.offset == 1, bits, a, b);
    case ALU_OR:
        return a | b;
    case ALU_AND:
        return a & b;
    case ALU_XOR:
        return a ^ b;
    case ALU_LSH:
        return a << distance;
    case ALU_RSH:
        return a >> distance;
    case ALU_ARSH:
        return (uint64_t)((int64_t)semantics_sign_extend(a, bits) >> distance);
    case ALU_NEG:
        return -a;
    case ALU_MOV:
        return i.offset ? semantics_sign_extend(b, (unsigned)i.offset) : b;
    case ALU_END:
        return swap(i, a);
    }
    return 0;
}

uint64_t semantics_arithmetic(struct instruction i, uint64_t a, uint64_t b)
{
    unsigned bits = instruction_class(i) == CLASS_ALU64 ? 64 : 32;

    if (instruction_operation(i) == ALU_END)
        return swap(i, a);
    if (!instruction_uses_source(i))
        b = (uint64_t)i.immediate;
    return low_bits(operate(i, bits, low_bits(a, bits), low_bits(b, bits)), bits);
}

bool semantics_condition(struct instruction i, uint64_t a, uint64_t b)
{
    unsigned bits = instruction_class(i) == CLASS_JMP ? 64 : 32;
    int64_t signed_a, signed_b;

    if (!instruction_uses_source(i))
        b = (uint64_t)i.immediate;
    a = low_bits(a, bits);
    b = low_bits(b, bits);
    signed_a = (int64_t)semantics_sign_extend(a, bits);
    signed_b = (int64_t)semantics_sign_extend(b, bits);
    switch ((enum instruction_jump)instruction_operation(i)) {
    case JUMP_EQ:
        return a == b;
    case JUMP_NE:
        return a != b;
    case JUMP_SET:
        return a & b;
    case JUMP_GT:
        return a > b;
    case JUMP_GE:
        return a >= b;
    case JUMP_LT:
        return a < b;
    case JUMP_LE:
        return a <= b;
    case JUMP_SGT:
        return signed_a > signed_b;
    case JUMP_SGE:
        return signed_a >= signed_b;
    case JUMP_SLT:
        return signed_a < signed_b;
    case JUMP_SLE:
        return signed_a <= signed_b;
    default:
        return true;            /* an unconditional one */
    }
}

uint64_t semantics_atomic(struct instruction i, uint64_t memory, uint64_t source, uint64_t r0)
{
    unsigned bits = instruction_access_size(i) * 8;

    switch (i.immediate & ~ATOMIC_FETCH) {
    case ATOMIC_ADD:
        return low_bits(memory + source, bits);
    case ATOMIC_OR:
        return low_bits(memory | source, bits);
    case ATOMIC_AND:
        return low_bits(memory & source, bits);
    case ATOMIC_XOR:
        return low_bits(memory ^ source, bits);
    case ATOMIC_EXCHANGE & ~ATOMIC_FETCH:
        return low_bits(source, bits);
    default:                    /* ATOMIC_COMPARE_EXCHANGE */
        return memory == low_bits(r0, bits) ? low_bits(source, bits) : memory;
    }
}
