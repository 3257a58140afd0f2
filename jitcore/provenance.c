/* SPDX-License-Identifier: MIT */
/* What registers hold, followed through a block. */

#include "provenance.h"

#include <string.h>

#include "liveness.h"

static const struct value_bytes unknown = { .kind = { BYTE_UNKNOWN } };

static struct value opaque(struct values *values)
{
    return (struct value){ .number = values->next++, .bytes = unknown };
}

static struct value constant(int64_t number)
{
    struct value value = { .number = VALUE_ZERO, .offset = number, .bytes = unknown };

    for (unsigned i = 0; i < 8; i++)
        if (!((uint64_t)number >> 8 * i & 0xff))
            value.bytes.kind[i] = BYTE_ZERO;
    return value;
}

void values_begin(struct values *values)
{
    values->next = VALUE_ZERO + 1;
    values->memory = 0;
    values->expressions = 0;
    for (unsigned i = 0; i < INSTRUCTION_REGISTERS; i++)
        values->reg[i] = opaque(values);
}

bool value_upper_zero(const struct value *value)
{
    for (unsigned i = 4; i < 8; i++)
        if (value->bytes.kind[i] != BYTE_ZERO)
            return false;
    return true;
}

/* ---- numbers ---- */

static bool expression_equal(const struct value_expression *a, const struct value_expression *b)
{
    return memcmp(&a->instruction, &b->instruction, sizeof(a->instruction)) == 0 && a->number[0] == b->number[0] &&
           a->number[1] == b->number[1] && a->offset[0] == b->offset[0] && a->offset[1] == b->offset[1];
}

/* The same instruction with the same operands gives the same value. */
static struct value expression(struct values *values, struct instruction i, const struct value *a,
                               const struct value *b)
{
    struct value_expression wanted = { .instruction = i, .number = { a->number, b->number },
                                       .offset = { a->offset, b->offset } };
    uint32_t count = values->expressions < VALUE_EXPRESSIONS ? values->expressions : VALUE_EXPRESSIONS;

    wanted.instruction.registers = 0;
    for (uint32_t n = 0; n < count; n++)
        if (expression_equal(&values->expression[n], &wanted))
            return (struct value){ .number = values->expression[n].result, .bytes = unknown };
    wanted.result = values->next++;
    values->expression[values->expressions++ % VALUE_EXPRESSIONS] = wanted;
    return (struct value){ .number = wanted.result, .bytes = unknown };
}

static const struct instruction sum_of_numbers = { .opcode = ALU_ADD << 4 | CLASS_ALU64 };

static struct value add(struct values *values, const struct value *a, const struct value *b)
{
    struct value x = { .number = a->number }, y = { .number = b->number }, sum;
    int64_t offset = (int64_t)((uint64_t)a->offset + (uint64_t)b->offset);

    if (a->number == VALUE_ZERO || b->number == VALUE_ZERO)
        sum = (struct value){ .number = a->number == VALUE_ZERO ? b->number : a->number, .bytes = unknown };
    else if (a->number < b->number)
        sum = expression(values, sum_of_numbers, &x, &y);
    else
        sum = expression(values, sum_of_numbers, &y, &x);
    sum.offset = offset;
    return sum;
}

/* ---- bytes ---- */

static void bytes_clear(struct value_bytes *bytes, unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++)
        bytes->kind[i] = BYTE_ZERO;
}

/* Up by `by` bytes, down if it is negative. */
static struct value_bytes bytes_shift(const struct value_bytes *from, int by)
{
    struct value_bytes result = *from;

    for (int i = 0; i < 8; i++) {
        bool inside = i - by >= 0 && i - by < 8;

        result.kind[i] = inside ? from->kind[i - by] : BYTE_ZERO;
        result.offset[i] = inside ? from->offset[i - by] : 0;
    }
    return result;
}

static bool has_loaded(const struct value_bytes *bytes)
{
    for (unsigned i = 0; i < 8; i++)
        if (bytes->kind[i] == BYTE_LOADED)
            return true;
    return false;
}

/* Bitwise or, xor, or a sum: the same where of each two bytes one is zero. */
static struct value_bytes bytes_join(const struct value_bytes *a, const struct value_bytes *b)
{
    struct value_bytes result = *a;
    bool both = has_loaded(a) && has_loaded(b);

    if (both && (a->base != b->base || a->memory != b->memory))
        return unknown;
    if (!has_loaded(a)) {
        result.base = b->base;
        result.memory = b->memory;
        result.first = b->first;
        result.last = b->last;
    } else if (both) {
        result.first = a->first < b->first ? a->first : b->first;
        result.last = a->last > b->last ? a->last : b->last;
    }
    for (unsigned i = 0; i < 8; i++) {
        if (a->kind[i] != BYTE_ZERO && b->kind[i] != BYTE_ZERO)
            return unknown;
        if (a->kind[i] == BYTE_ZERO) {
            result.kind[i] = b->kind[i];
            result.offset[i] = b->offset[i];
        }
    }
    return result;
}

static struct value_bytes bytes_mask(const struct value_bytes *from, uint64_t mask)
{
    struct value_bytes result = *from;

    for (unsigned i = 0; i < 8; i++) {
        uint8_t byte = (uint8_t)(mask >> 8 * i);

        if (byte == 0)
            result.kind[i] = BYTE_ZERO;
        else if (byte != 0xff && result.kind[i] != BYTE_ZERO)
            result.kind[i] = BYTE_UNKNOWN;
    }
    return result;
}

static struct value_bytes bytes_swap(const struct value_bytes *from, unsigned size)
{
    struct value_bytes result = *from;

    for (unsigned i = 0; i < size; i++) {
        result.kind[i] = from->kind[size - 1 - i];
        result.offset[i] = from->offset[size - 1 - i];
    }
    return result;
}

/* ---- instructions ---- */

static struct value_bytes arithmetic_bytes(struct instruction i, const struct value *a, const struct value *b)
{
    bool immediate = !instruction_uses_source(i);
    int count = i.immediate & (instruction_class(i) == CLASS_ALU64 ? 63 : 31);

    switch (instruction_operation(i)) {
    case ALU_ADD:
    case ALU_OR:
    case ALU_XOR:
        return bytes_join(&a->bytes, &b->bytes);
    case ALU_AND:
        return immediate ? bytes_mask(&a->bytes, (uint64_t)(int64_t)i.immediate) : unknown;
    case ALU_LSH:
        return immediate && count % 8 == 0 ? bytes_shift(&a->bytes, count / 8) : unknown;
    case ALU_RSH:
        if (!immediate || count % 8)
            return unknown;
        if (instruction_class(i) == CLASS_ALU) {        /* what is shifted is the lower half */
            struct value_bytes half = bytes_mask(&a->bytes, UINT32_MAX);

            return bytes_shift(&half, -(count / 8));
        }
        return bytes_shift(&a->bytes, -(count / 8));
    case ALU_END:
        if (instruction_uses_source(i) || instruction_class(i) == CLASS_ALU64)
            return bytes_swap(&a->bytes, (unsigned)i.immediate / 8);
        return a->bytes;
    }
    return unknown;
}

/* How many of the result's bytes are not zero for certain: 32-bit operations zero the upper half. */
static unsigned result_size(struct instruction i)
{
    if (instruction_operation(i) == ALU_END)
        return (unsigned)i.immediate / 8;
    return instruction_class(i) == CLASS_ALU64 ? 8 : 4;
}

static struct value move(struct values *values, struct instruction i, uint8_t mark, const struct value *from)
{
    bool plain = i.offset == 0 && (instruction_class(i) == CLASS_ALU64 || mark & VERIFIED_SOURCE_32 ||
                                   value_upper_zero(from));
    struct value result = *from;

    if (!plain)
        result = expression(values, i, from, &(struct value){ .number = VALUE_ZERO });
    if (i.offset == 0)
        result.bytes = from->bytes;
    return result;
}

static struct value arithmetic(struct values *values, struct instruction i, uint8_t mark)
{
    const struct value *a = &values->reg[instruction_destination(i)];
    bool uses_source = instruction_uses_source(i) && instruction_operation(i) != ALU_END;
    struct value number = constant(i.immediate), result;
    const struct value *b = uses_source ? &values->reg[instruction_source(i)] : &number;
    bool wide = instruction_class(i) == CLASS_ALU64 || mark & VERIFIED_NO_WRAP;

    if (instruction_operation(i) == ALU_MOV && !uses_source) {
        result = constant(wide ? i.immediate : (int64_t)(uint32_t)i.immediate);
    } else if (instruction_operation(i) == ALU_MOV) {
        result = move(values, i, mark, b);
    } else {
        if (instruction_operation(i) == ALU_ADD && wide)
            result = add(values, a, b);
        else
            result = expression(values, i, a, b);
        result.bytes = arithmetic_bytes(i, a, b);
    }
    bytes_clear(&result.bytes, result_size(i), 8);
    return result;
}

static struct value load(struct values *values, struct instruction i, uint32_t at)
{
    const struct value *address = &values->reg[instruction_source(i)];
    int64_t offset = (int64_t)((uint64_t)address->offset + (uint64_t)(int64_t)i.offset);
    unsigned size = instruction_access_size(i);
    struct value result = opaque(values);

    if (instruction_access_signed(i))
        return result;
    bytes_clear(&result.bytes, size, 8);
    if (offset < INT32_MIN / 2 || offset > INT32_MAX / 2)
        return result;
    result.bytes.base = address->number;
    result.bytes.memory = values->memory;
    result.bytes.first = result.bytes.last = at;
    for (unsigned n = 0; n < size; n++) {
        result.bytes.kind[n] = BYTE_LOADED;
        result.bytes.offset[n] = (int32_t)offset + (int32_t)n;
    }
    return result;
}

void values_step(struct values *values, const struct verified *verified, uint32_t at)
{
    struct instruction i = verified->bytecode->instruction[at];
    uint32_t written = liveness_writes(i);

    if (instruction_is_arithmetic(i)) {
        values->reg[instruction_destination(i)] = arithmetic(values, i, verified->mark[at]);
        return;
    }
    if (instruction_class(i) == CLASS_LDX) {
        values->reg[instruction_destination(i)] = load(values, i, at);
        return;
    }
    if (i.opcode == OPCODE_LOAD_64 && instruction_source(i) == WIDE_NUMBER) {
        uint64_t high = (uint32_t)verified->bytecode->instruction[at + 1].immediate;

        values->reg[instruction_destination(i)] = constant((int64_t)(high << 32 | (uint32_t)i.immediate));
        return;
    }
    if (instruction_class(i) == CLASS_ST || instruction_class(i) == CLASS_STX || i.opcode == OPCODE_CALL)
        values->memory++;
    for (unsigned reg = 0; reg < INSTRUCTION_REGISTERS; reg++)
        if (written & 1u << reg)
            values->reg[reg] = opaque(values);
}
