/* SPDX-License-Identifier: MIT */
/* Instructions that compute. */

#include "arithmetic.h"

#include <errno.h>

#define IMMEDIATE (-1)
#define STACK_ALIGNMENT 8       /* of R10, bytes: x86_64/program.c, and the interpreter */

/* The second operand: its register, or the immediate, sign-extended (RFC 9669 section 4.1). */
struct operand {
    struct value value;
    int reg;                    /* IMMEDIATE if none */
};

static bool is_64(struct instruction i)
{
    return instruction_class(i) == CLASS_ALU64;
}

static int finish(struct analysis *analysis, unsigned destination, struct value value)
{
    *analysis_register(analysis, destination) = value;
    analysis->at++;
    return ANALYSIS_GOES_ON;
}

static int read_operand(struct analysis *analysis, struct instruction i, struct operand *ret)
{
    int r;

    if (!instruction_uses_source(i)) {
        *ret = (struct operand){ value_number(scalar_constant((uint64_t)(int64_t)i.immediate)), IMMEDIATE };
        return 0;
    }
    r = analysis_read(analysis, instruction_source(i));
    if (r == 0)
        *ret = (struct operand){ *analysis_register(analysis, instruction_source(i)), (int)instruction_source(i) };
    return r;
}

static void demand_operand(struct analysis *analysis, const struct operand *operand)
{
    if (operand->reg != IMMEDIATE)
        analysis_demand(analysis, DEMAND_ACCESS, (unsigned)operand->reg);
}

/* ---- moves ---- */

static int move(struct analysis *analysis, struct instruction i, const struct operand *operand)
{
    struct value value = operand->value;
    bool copied = operand->reg != IMMEDIATE && i.offset == 0 && (is_64(i) || scalar_is_32(&value.number));

    if (value_is_pointer(&value)) {
        if (!is_64(i) || i.offset != 0)
            return message_refuse(analysis, "pointer-arithmetic", "copy all 64 bits",
                                  "copies a part of R%d, %s", operand->reg, value_type_name(value.type));
        return finish(analysis, instruction_destination(i), value);
    }
    if (copied) {
        analysis_link(analysis, analysis_register(analysis, (unsigned)operand->reg));
        return finish(analysis, instruction_destination(i), *analysis_register(analysis, (unsigned)operand->reg));
    }
    if (i.offset != 0)
        value.number = scalar_sign_extend(&value.number, (unsigned)i.offset / 8);
    if (!is_64(i))
        value.number = scalar_zero_extend(&value.number, 4);
    return finish(analysis, instruction_destination(i), value_number(value.number));
}

/* ---- numbers ---- */

/* le and be of a little-endian processor, and bswap, which is both's opposite (RFC 9669 section 4.2). */
static struct scalar swap(struct instruction i, const struct scalar *number)
{
    unsigned bytes = (unsigned)i.immediate / 8;
    bool reverse = is_64(i) || instruction_uses_source(i);

    return reverse ? scalar_byte_swap(number, bytes) : scalar_zero_extend(number, bytes);
}

/* A number plus a constant is still known by the one it was. */
static bool add_constant(struct instruction i, const struct value *number, const struct value *addend,
                         struct value *ret)
{
    int64_t delta;

    if (!is_64(i) || !number->id || !scalar_is_constant(&addend->number))
        return false;
    delta = (int64_t)addend->number.tnum.value;
    if (instruction_operation(i) == ALU_SUB && delta != INT64_MIN)
        delta = -delta;
    else if (instruction_operation(i) != ALU_ADD)
        return false;
    if (delta < -VALUE_OFFSET_MAX || delta > VALUE_OFFSET_MAX)
        return false;
    delta += number->delta;
    if (delta < -VALUE_OFFSET_MAX || delta > VALUE_OFFSET_MAX)
        return false;
    ret->id = number->id;
    ret->delta = (int32_t)delta;
    return true;
}

static int compute(struct analysis *analysis, struct instruction i, const struct operand *operand)
{
    const struct value *number = analysis_register(analysis, instruction_destination(i));
    unsigned operation = instruction_operation(i);
    struct value result;

    if (operation == ALU_END) {
        result = value_number(swap(i, &number->number));
    } else {
        result = value_number(scalar_arithmetic(operation, is_64(i), i.offset == 1, &number->number,
                                                &operand->value.number));
        add_constant(i, number, &operand->value, &result);
        if (!is_64(i))
            facts_note_wrap(analysis, &number->number, &operand->value.number);
    }
    return finish(analysis, instruction_destination(i), result);
}

/* ---- pointers ---- */

static bool has_offset(const struct value *pointer)
{
    switch (pointer->type) {
    case VALUE_CTX:
    case VALUE_STACK:
    case VALUE_MAP_VALUE:
    case VALUE_MEMORY:
    case VALUE_PACKET:
        return true;
    default:
        return false;
    }
}

static int refuse_pointer(struct analysis *analysis, unsigned reg, const struct value *pointer)
{
    return message_refuse(analysis, "pointer-arithmetic",
                          value_is_or_null(pointer) ? "check the pointer for NULL first" : NULL,
                          "%s on R%u, %s: only a number can be added to or subtracted from a pointer to memory, in "
                          "64 bits",
                          instruction_name(analysis_instruction(analysis)), reg, value_type_name(pointer->type));
}

static int refuse_offset(struct analysis *analysis, const struct operand *operand)
{
    char number[SCALAR_FORMAT_SIZE];

    return message_refuse(analysis, "pointer-offset", MESSAGE_COMPARE,
                          "the pointer's offset could leave -%d..%d: %s is added or subtracted", VALUE_OFFSET_MAX,
                          VALUE_OFFSET_MAX, scalar_format(&operand->value.number, number));
}

static bool number_small(const struct scalar *number)
{
    return number->full.smin >= -VALUE_OFFSET_MAX && number->full.smax <= VALUE_OFFSET_MAX;
}

/* pointer + number or pointer - number */
static int add_offset(struct analysis *analysis, struct instruction i, struct value pointer,
                      const struct operand *operand)
{
    const struct scalar *number = &operand->value.number;
    bool subtract = instruction_operation(i) == ALU_SUB;

    if (!has_offset(&pointer))
        return refuse_pointer(analysis, operand->reg == (int)instruction_destination(i) ?
                              instruction_source(i) : instruction_destination(i), &pointer);
    if (!number_small(number))
        return refuse_offset(analysis, operand);
    demand_operand(analysis, operand);
    if (scalar_is_constant(number)) {
        int64_t constant = (int64_t)number->tnum.value;
        int64_t offset = pointer.offset + (subtract ? -constant : constant);

        if (offset < -VALUE_OFFSET_MAX || offset > VALUE_OFFSET_MAX)
            return refuse_offset(analysis, operand);
        pointer.offset = (int32_t)offset;
        return finish(analysis, instruction_destination(i), pointer);
    }
    pointer.number = scalar_arithmetic(subtract ? ALU_SUB : ALU_ADD, true, false, &pointer.number, number);
    if (!number_small(&pointer.number))
        return refuse_offset(analysis, operand);
    if (pointer.type == VALUE_PACKET) {
        pointer.id = ++analysis->ids;
        pointer.range = 0;
    }
    return finish(analysis, instruction_destination(i), pointer);
}

/* Are both in one object, so that their distance says nothing of addresses? */
static bool same_object(const struct value *a, const struct value *b)
{
    bool a_packet = a->type == VALUE_PACKET || a->type == VALUE_PACKET_END;
    bool b_packet = b->type == VALUE_PACKET || b->type == VALUE_PACKET_END;

    return (a_packet && b_packet) || (a->type == VALUE_STACK && b->type == VALUE_STACK && a->frame == b->frame);
}

static int subtract_pointers(struct analysis *analysis, struct instruction i, const struct value *a,
                             const struct value *b)
{
    struct scalar distance = scalar_unknown();

    if (!same_object(a, b))
        return message_refuse(analysis, "pointer-arithmetic", NULL,
                              "subtracts %s from %s: the result would tell an address", value_type_name(b->type),
                              value_type_name(a->type));
    if (a->type == b->type && scalar_is_constant(&a->number) && scalar_is_constant(&b->number))
        distance = scalar_constant((uint64_t)((int64_t)a->offset + (int64_t)a->number.tnum.value - b->offset -
                                              (int64_t)b->number.tnum.value));
    if (!is_64(i)) {            /* the low half of the distance is that of the halves */
        struct scalar address = scalar_unknown();

        distance = scalar_zero_extend(&distance, 4);
        facts_note_wrap(analysis, &address, &address);
    }
    return finish(analysis, instruction_destination(i), value_number(distance));
}

/*
 * Each R10 is a multiple of 8.  So compilers add to a pointer to the stack, where it is one, what is below 8 by "or".
 */
static bool or_is_sum(const struct value *pointer, const struct value *number)
{
    struct tnum address = tnum_add(pointer->number.tnum, tnum_constant((uint64_t)(int64_t)pointer->offset));
    uint64_t bits = number->number.tnum.value | number->number.tnum.mask;

    return pointer->type == VALUE_STACK && value_is_number(number) && bits < STACK_ALIGNMENT &&
           ((address.value | address.mask) & bits) == 0;
}

static int compute_pointer(struct analysis *analysis, struct instruction i, const struct operand *operand)
{
    unsigned destination = instruction_destination(i);
    struct value first = *analysis_register(analysis, destination);
    bool is_or = instruction_operation(i) == ALU_OR;
    bool is_sum = instruction_operation(i) == ALU_ADD ||
                  (is_or && (or_is_sum(&first, &operand->value) || or_is_sum(&operand->value, &first)));
    bool is_difference = instruction_operation(i) == ALU_SUB;

    if (is_64(i) && (is_sum || is_difference) && value_is_number(&operand->value))
        return add_offset(analysis, i, first, operand);
    if (is_64(i) && is_sum && value_is_number(&first)) {
        struct operand number = { first, (int)destination };

        return add_offset(analysis, i, operand->value, &number);
    }
    if (is_difference && value_is_pointer(&first) && value_is_pointer(&operand->value))
        return subtract_pointers(analysis, i, &first, &operand->value);
    if (value_is_pointer(&first))
        return refuse_pointer(analysis, destination, &first);
    return refuse_pointer(analysis, (unsigned)operand->reg, &operand->value);
}

/* ---- all of it ---- */

int arithmetic_process(struct analysis *analysis)
{
    struct instruction i = analysis_instruction(analysis);
    unsigned operation = instruction_operation(i);
    struct operand operand = { value_number(scalar_constant(0)), IMMEDIATE };
    int r = 0;

    if (operation != ALU_NEG && operation != ALU_END)
        r = read_operand(analysis, i, &operand);
    if (r == 0 && operation == ALU_MOV)
        return move(analysis, i, &operand);
    if (r == 0)
        r = analysis_read(analysis, instruction_destination(i));
    if (r < 0)
        return r;
    if (value_is_number(analysis_register(analysis, instruction_destination(i))) && value_is_number(&operand.value))
        return compute(analysis, i, &operand);
    return compute_pointer(analysis, i, &operand);
}

int arithmetic_process_load_64(struct analysis *analysis)
{
    struct instruction i = analysis_instruction(analysis);
    const struct instruction *next = &analysis->bytecode->instruction[analysis->at + 1];
    struct value value;

    switch (instruction_source(i)) {
    case WIDE_MAP:
        value = value_pointer(VALUE_MAP);
        break;
    case WIDE_MAP_VALUE:
        value = value_pointer(VALUE_MAP_VALUE);
        value.size = analysis->bytecode->region[i.immediate].size;
        value.offset = next->immediate;
        break;
    case WIDE_FUNCTION:
        value = value_pointer(VALUE_FUNCTION);
        break;
    default:
        value = value_number(scalar_constant((uint64_t)(uint32_t)next->immediate << 32 | (uint32_t)i.immediate));
    }
    if (value_is_pointer(&value))
        value.region = (uint32_t)i.immediate;
    analysis->at++;
    return finish(analysis, instruction_destination(i), value);
}
