/* SPDX-License-Identifier: MIT */
/* A program under construction. */

#include "builder.h"

/* ---- instructions ---- */

void build(struct builder *b, uint8_t opcode, int destination, int source, int32_t offset, int32_t immediate)
{
    if (b->count < BUILDER_INSTRUCTIONS_MAX)
        b->code[b->count++] = (struct instruction){ opcode, (uint8_t)(destination | source << 4), (int16_t)offset,
                                                    immediate };
}

void build_move(struct builder *b, int destination, int source)
{
    build(b, 0xbf, destination, source, 0, 0);
}

void build_number(struct builder *b, int destination, uint64_t number)
{
    if ((uint64_t)(int32_t)number == number && random_percent(&b->random, 80)) {
        build(b, 0xb7, destination, 0, 0, (int32_t)number);
    } else {
        build(b, OPCODE_LOAD_64, destination, WIDE_NUMBER, 0, (int32_t)number);
        build(b, 0, 0, 0, 0, (int32_t)(number >> 32));
    }
    builder_set_number(b, destination);
}

void build_wide(struct builder *b, int destination, enum instruction_wide kind, int32_t index, int32_t offset)
{
    build(b, OPCODE_LOAD_64, destination, (int)kind, 0, index);
    build(b, 0, 0, 0, 0, offset);
}

uint32_t build_jump(struct builder *b, uint8_t opcode, int destination, int source, int32_t immediate)
{
    build(b, opcode, destination, source, 0, immediate);
    return b->count - 1;
}

void build_land(struct builder *b, uint32_t jump)
{
    int32_t distance = (int32_t)(b->count - jump - 1);

    if (b->code[jump].opcode == OPCODE_JUMP_32)
        b->code[jump].immediate = distance;
    else
        b->code[jump].offset = (int16_t)distance;
}

/* ---- registers ---- */

/* Loops around allow it: what held a number goes on doing so, what held nothing is nobody's. */
static bool may_hold(const struct builder *b, int number, enum value_kind kind)
{
    if (b->locked & 1u << number)
        return false;
    for (unsigned i = 0; i < b->loops; i++) {
        uint8_t before = b->loop[i]->reg[number].kind;

        if (before == HOLDS_POINTER || (before == HOLDS_NUMBER && kind != HOLDS_NUMBER))
            return false;
    }
    return true;
}

int builder_target(struct builder *b, enum value_kind kind, uint16_t except)
{
    uint32_t first = random_below(&b->random, STACK_POINTER);

    for (uint32_t i = 0; i < STACK_POINTER; i++) {
        int number = (int)((first + i) % STACK_POINTER);

        if (!(except & 1u << number) && may_hold(b, number, kind))
            return number;
    }
    return NO_REGISTER;
}

int builder_number(struct builder *b)
{
    uint32_t first = random_below(&b->random, STACK_POINTER);
    uint16_t pointers = 0;
    int target;

    for (uint32_t i = 0; i < STACK_POINTER; i++) {
        int number = (int)((first + i) % STACK_POINTER);

        if (b->now.reg[number].kind == HOLDS_NUMBER)
            return number;
        if (b->now.reg[number].kind == HOLDS_POINTER)
            pointers |= (uint16_t)(1u << number);       /* perhaps about to be used */
    }
    target = builder_target(b, HOLDS_NUMBER, pointers);
    if (target == NO_REGISTER)
        target = 0;             /* R0 is never locked, and holds no pointer in a loop */
    build_number(b, target, random_edge(&b->random));
    return target;
}

int builder_pointer(struct builder *b, int32_t size, bool writable)
{
    uint32_t first = random_below(&b->random, INSTRUCTION_REGISTERS);

    for (uint32_t i = 0; i < INSTRUCTION_REGISTERS; i++) {
        int number = (int)((first + i) % INSTRUCTION_REGISTERS);
        const struct value *value = &b->now.reg[number];

        if (value->kind == HOLDS_POINTER && value->high - value->low >= size && (value->writable || !writable))
            return number;
    }
    return STACK_POINTER;
}

void builder_set_number(struct builder *b, int number)
{
    b->now.reg[number] = (struct value){ .kind = HOLDS_NUMBER };
}

void builder_set_pointer(struct builder *b, int number, struct value value)
{
    value.kind = HOLDS_POINTER;
    b->now.reg[number] = value;
}

/* Pointers meet if they point to the same kind of memory: what both allow is left. */
static void join_value(struct value *a, const struct value *b)
{
    if (a->kind != b->kind || a->writable != b->writable || a->atomics != b->atomics || a->fields != b->fields)
        *a = (struct value){ .kind = HOLDS_NOTHING };
    a->alignment = a->alignment < b->alignment ? a->alignment : b->alignment;
    a->low = a->low > b->low ? a->low : b->low;
    a->high = a->high < b->high ? a->high : b->high;
    if (a->kind == HOLDS_POINTER && a->high < a->low)
        a->kind = HOLDS_NOTHING;
}

uint32_t builder_choose(struct builder *b, const uint8_t *weight, const uint8_t *taste, uint32_t kinds)
{
    uint32_t total = 0, chosen, kind = 0;

    for (uint32_t i = 0; i < kinds; i++)
        total += (uint32_t)weight[i] * taste[i];
    chosen = total ? random_below(&b->random, total) : 0;
    while (total && chosen >= (uint32_t)weight[kind] * taste[kind]) {
        chosen -= (uint32_t)weight[kind] * taste[kind];
        kind++;
    }
    return kind;
}

void builder_join(struct builder *b, const struct state *other)
{
    for (unsigned i = 0; i < INSTRUCTION_REGISTERS; i++)
        join_value(&b->now.reg[i], &other->reg[i]);
    for (unsigned i = 0; i < BUILDER_SPILLS; i++)
        join_value(&b->now.spill[i], &other->spill[i]);
}
