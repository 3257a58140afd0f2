/* SPDX-License-Identifier: MIT */
/* Statements without loops and calls. */

#include "builder.h"

#define COUNT(array) ((uint32_t)(sizeof(array) / sizeof((array)[0])))

static uint16_t bit(int number)
{
    return (uint16_t)(1u << number);
}

static bool percent(struct builder *b, uint32_t share)
{
    return random_percent(&b->random, share);
}

static uint32_t below(struct builder *b, uint32_t limit)
{
    return random_below(&b->random, limit);
}

/* ---- arithmetic ---- */

static uint8_t class_of(struct builder *b)
{
    return percent(b, 50) ? CLASS_ALU64 : CLASS_ALU;
}

/* Shift distances within the width, as compilers emit them; elsewhere what may matter. */
static int32_t pick_immediate(struct builder *b, unsigned operation, uint8_t class)
{
    if (operation == ALU_LSH || operation == ALU_RSH || operation == ALU_ARSH)
        return (int32_t)below(b, class == CLASS_ALU64 ? 64 : 32);
    return (int32_t)random_edge(&b->random);
}

static void build_swap(struct builder *b, int destination)
{
    static const uint8_t opcodes[] = { 0xd4, 0xdc, 0xd7 };

    build(b, opcodes[below(b, COUNT(opcodes))], destination, 0, 0, 16 << below(b, 3));
}

static void build_extension(struct builder *b, int destination, int source)
{
    uint8_t class = class_of(b);

    build(b, (uint8_t)(0xb8 | class), destination, source, 8 << below(b, class == CLASS_ALU64 ? 3 : 2), 0);
}

void build_arithmetic(struct builder *b, int destination)
{
    unsigned operation = below(b, ALU_END + 1);
    uint8_t class = class_of(b), opcode = (uint8_t)(operation << 4 | class);
    bool divides = operation == ALU_DIV || operation == ALU_MOD;
    int32_t offset = divides && percent(b, 40) ? 1 : 0;
    int32_t immediate = pick_immediate(b, operation, class);
    int source = builder_number(b);

    if (operation == ALU_END)
        build_swap(b, destination);
    else if (operation == ALU_NEG)
        build(b, opcode, destination, 0, 0, 0);
    else if (operation == ALU_MOV && percent(b, 50))
        build_extension(b, destination, source);
    else if (percent(b, 50))
        build(b, opcode | 8, destination, source, offset, 0);
    else
        build(b, opcode, destination, 0, offset, divides && !immediate ? 3 : immediate);
}

static void statement_arithmetic(struct builder *b)
{
    int source = builder_number(b), target = builder_target(b, HOLDS_NUMBER, 0);

    if (target == NO_REGISTER)
        return;
    if (b->now.reg[target].kind != HOLDS_NUMBER)
        build_move(b, target, source);
    builder_set_number(b, target);
    build_arithmetic(b, target);
}

static void statement_number(struct builder *b)
{
    int target = builder_target(b, HOLDS_NUMBER, 0);

    if (target != NO_REGISTER)
        build_number(b, target, random_edge(&b->random));
}

/* A copy of a number in another register. */
static int copy_number(struct builder *b, uint16_t except)
{
    int source = builder_number(b), target = builder_target(b, HOLDS_NUMBER, except | bit(source));

    if (target == NO_REGISTER)
        return NO_REGISTER;
    build_move(b, target, source);
    builder_set_number(b, target);
    return target;
}

/* x << k | x >> (width - k), and what only looks like it. */
static void statement_rotate(struct builder *b)
{
    int high = copy_number(b, 0), low = high == NO_REGISTER ? high : builder_target(b, HOLDS_NUMBER, bit(high));
    uint8_t class = class_of(b);
    int32_t width = class == CLASS_ALU64 ? 64 : 32, distance = random_between(&b->random, 1, width - 1);
    int32_t other = percent(b, 85) ? width - distance : (int32_t)below(b, (uint32_t)width);
    bool swapped = percent(b, 50);
    static const uint8_t joins[] = { ALU_OR, ALU_OR, ALU_ADD, ALU_XOR };

    if (low == NO_REGISTER)
        return;
    build(b, percent(b, 80) ? 0xbf : 0xbc, low, high, 0, 0);
    builder_set_number(b, low);
    build(b, (uint8_t)((swapped ? ALU_RSH : ALU_LSH) << 4 | class), high, 0, 0, distance);
    if (percent(b, 10))
        build_arithmetic(b, percent(b, 50) ? high : low);
    build(b, (uint8_t)((swapped ? ALU_LSH : ALU_RSH) << 4 | class), low, 0, 0, other);
    build(b, (uint8_t)(joins[below(b, COUNT(joins))] << 4 | 8 | class), high, low, 0, 0);
    if (percent(b, 50))
        build_number(b, low, random_edge(&b->random));
}

/* Zero and sign extension as older compilers write it, and moves that only clear the upper half. */
static void statement_extension(struct builder *b)
{
    int target = copy_number(b, 0);
    int32_t distance = percent(b, 80) ? 32 : (int32_t)below(b, 64);

    if (target == NO_REGISTER)
        return;
    if (percent(b, 25)) {
        build(b, 0xbc, target, percent(b, 50) ? target : builder_number(b), 0, 0);
        return;
    }
    build(b, 0x67, target, 0, 0, distance);
    build(b, percent(b, 50) ? 0x77 : 0xc7, target, 0, 0, percent(b, 90) ? distance : (int32_t)below(b, 64));
}

/*
 * On one way a copy of a number, on the other one something else: then what is learned of the number holds for the copy,
 * and for nothing else.
 */
static void statement_joined(struct builder *b)
{
    int number = builder_number(b), other = builder_number(b);
    int target = builder_target(b, HOLDS_NUMBER, bit(number) | bit(other));
    uint32_t otherwise, end, skip;

    if (target == NO_REGISTER)
        return;
    otherwise = build_condition(b);
    build_move(b, target, number);
    end = build_jump(b, OPCODE_JUMP_16, 0, 0, 0);
    build_land(b, otherwise);
    build_move(b, target, other);
    build_land(b, end);
    builder_set_number(b, target);
    skip = build_jump(b, 0x25, number, 0, (int32_t)below(b, 1000));
    build(b, 0xbc, target, target, 0, 0);
    build_land(b, skip);
}

/* base + (index << k) + constant, and multiplications that can be had as sums. */
static void statement_scale(struct builder *b)
{
    static const int32_t factors[] = { 2, 3, 4, 5, 7, 8, 9, 10, 12, 16, 24, 31, 33, 63, 65, 100, 255, -1, -3, -8 };
    int index = copy_number(b, 0);
    uint8_t class = class_of(b);

    if (index == NO_REGISTER)
        return;
    if (percent(b, 50))
        build(b, (uint8_t)(ALU_LSH << 4 | class), index, 0, 0, (int32_t)below(b, 5));
    else
        build(b, (uint8_t)(ALU_MUL << 4 | class), index, 0, 0, factors[below(b, COUNT(factors))]);
    build(b, (uint8_t)(ALU_ADD << 4 | 8 | class), index, builder_number(b), 0, 0);
    if (percent(b, 50))
        build(b, (uint8_t)(ALU_ADD << 4 | class), index, 0, 0, (int32_t)below(b, 256) - 128);
}

/* ---- memory ---- */

static const uint8_t sizes[] = { 1, 2, 4, 8 };
static const uint8_t size_bits[] = { 0x10, 0x08, 0x00, 0x18 };

/* A size and an offset within what a pointer allows; false if nothing fits. */
static bool pick_place(struct builder *b, int pointer, bool aligned, uint32_t *ret_size, int32_t *ret_offset)
{
    const struct value *value = &b->now.reg[pointer];
    uint32_t size = value->fields ? 3 : below(b, COUNT(sizes));
    int32_t bytes = sizes[size], low = value->low, high = value->high - bytes;

    if (high < low)
        return false;
    *ret_offset = random_between(&b->random, low, high);
    if (aligned || value->fields)
        *ret_offset = (*ret_offset - low) / bytes * bytes + (low + bytes - 1) / bytes * bytes;
    *ret_size = size;
    return *ret_offset >= low && *ret_offset <= high;
}

static void build_load(struct builder *b, int pointer)
{
    int target = builder_target(b, HOLDS_NUMBER, bit(pointer));
    uint32_t size;
    int32_t offset;
    bool extend = percent(b, 25);

    if (target == NO_REGISTER || !pick_place(b, pointer, false, &size, &offset))
        return;
    build(b, (uint8_t)((extend && size < 3 ? 0x81 : 0x61) | size_bits[size]), target, pointer, offset, 0);
    builder_set_number(b, target);
}

static void build_store(struct builder *b, int pointer)
{
    uint32_t size;
    int32_t offset;

    if (!pick_place(b, pointer, false, &size, &offset))
        return;
    if (percent(b, 40))
        build(b, 0x62 | size_bits[size], pointer, 0, offset, (int32_t)random_edge(&b->random));
    else
        build(b, 0x63 | size_bits[size], pointer, builder_number(b), offset, 0);
}

/* Those that fetch change a register: the source, or R0. */
static void build_atomic(struct builder *b, int pointer)
{
    static const uint8_t operations[] = { ATOMIC_ADD, ATOMIC_OR, ATOMIC_AND, ATOMIC_XOR, ATOMIC_ADD | ATOMIC_FETCH,
                                          ATOMIC_OR | ATOMIC_FETCH, ATOMIC_AND | ATOMIC_FETCH,
                                          ATOMIC_XOR | ATOMIC_FETCH, ATOMIC_EXCHANGE, ATOMIC_COMPARE_EXCHANGE };
    int32_t operation = operations[below(b, COUNT(operations))], offset;
    int source = operation & ATOMIC_FETCH ? copy_number(b, bit(pointer)) : builder_number(b);
    uint32_t size;

    if (source == NO_REGISTER || !pick_place(b, pointer, true, &size, &offset) || size < 2)
        return;
    if (operation == ATOMIC_COMPARE_EXCHANGE && b->now.reg[0].kind != HOLDS_NUMBER)
        return;
    build(b, size == 3 ? 0xdb : 0xc3, pointer, source, offset, operation);
    b->features.atomic = true;
}

void build_access(struct builder *b, int pointer)
{
    const struct value *value = &b->now.reg[pointer];
    uint32_t way = below(b, 10);

    if (way < 5 || !value->writable)
        build_load(b, pointer);
    else if (way < 8 || !value->atomics || value->alignment < 8)
        build_store(b, pointer);
    else
        build_atomic(b, pointer);
}

static void statement_access(struct builder *b)
{
    build_access(b, builder_pointer(b, 8, false));
}

static void statement_region(struct builder *b)
{
    int target = builder_target(b, HOLDS_POINTER, 0);
    bool constant = percent(b, 30);
    int32_t size = constant ? CONSTANTS_SIZE : DATA_SIZE, offset = percent(b, 60) ? 0 : (int32_t)below(b, 24);

    if (target == NO_REGISTER)
        return;
    build_wide(b, target, WIDE_MAP_VALUE, constant ? REGION_OF_CONSTANTS : REGION_OF_DATA, offset);
    builder_set_pointer(b, target, (struct value){ .writable = !constant, .atomics = !constant,
                                                   .alignment = offset % 8 ? 1 : 8, .low = -offset,
                                                   .high = size - offset });
}

/* b0 | b1 << 8 | ...: in either byte order, of 2, 4 or 8 bytes, sometimes not quite. */
static void statement_bytes(struct builder *b)
{
    uint32_t bytes = 2u << below(b, 3);
    int pointer = builder_pointer(b, (int32_t)bytes, false);
    int sum = builder_target(b, HOLDS_NUMBER, bit(pointer));
    int next = sum == NO_REGISTER ? sum : builder_target(b, HOLDS_NUMBER, bit(pointer) | bit(sum));
    const struct value *value = &b->now.reg[pointer];
    int32_t at = value->high - value->low < (int32_t)bytes ?
                     INT32_MAX :
                     random_between(&b->random, value->low, value->high - (int32_t)bytes);
    bool big = percent(b, 50), nearly = percent(b, 15);
    uint8_t class = bytes == 8 || percent(b, 60) ? CLASS_ALU64 : CLASS_ALU;
    uint8_t join = percent(b, 85) ? ALU_OR : percent(b, 50) ? ALU_ADD : ALU_XOR;

    if (next == NO_REGISTER || at == INT32_MAX || value->fields)
        return;
    for (uint32_t i = 0; i < bytes; i++) {
        uint32_t byte = percent(b, 50) && !nearly ? i : (i + 1) % bytes;
        int32_t shift = (int32_t)(8 * (big ? bytes - 1 - i : i)), wrong = nearly && percent(b, 20) ? 1 : 0;
        int to = i ? next : sum;

        byte = nearly ? byte : i;
        build(b, 0x71, to, pointer, at + (int32_t)byte, 0);
        builder_set_number(b, to);
        if (shift + wrong)
            build(b, (uint8_t)(ALU_LSH << 4 | class), to, 0, 0, shift + wrong * (shift ? -1 : 1));
        if (i)
            build(b, (uint8_t)(join << 4 | 8 | class), sum, next, 0, 0);
        if (percent(b, 3) && value->writable && pointer != STACK_POINTER)
            build_store(b, pointer);
    }
}

/* ---- computed addresses ---- */

/*
 * Make the number in `index` at most `limit`, in one of the ways in which people and compilers do.  Returns a jump to
 * be landed behind the access, or 0.
 */
static uint32_t build_bound(struct builder *b, int index, int32_t limit)
{
    uint32_t jump = 0;
    int32_t mask = 1;

    while (mask * 2 + 1 <= limit)
        mask = mask * 2 + 1;
    switch (limit == 0 ? 0 : below(b, 7)) {
    case 0:
        build(b, percent(b, 50) ? 0x57 : 0x54, index, 0, 0, limit == 0 ? 0 : mask);
        break;
    case 1:
        jump = build_jump(b, 0x25, index, 0, limit);            /* 64-bit > */
        break;
    case 2:
        build(b, 0xbc, index, index, 0, 0);
        jump = build_jump(b, percent(b, 50) ? 0x26 : 0x25, index, 0, limit);
        break;
    case 3:                                                     /* signed, from both sides */
        build(b, 0x57, index, 0, 0, 0xff);
        build(b, 0x17, index, 0, 0, random_between(&b->random, 0, 64));
        build(b, 0xc5, index, 0, 2, 0);
        jump = build_jump(b, 0x65, index, 0, limit);
        build(b, OPCODE_JUMP_16, 0, 0, 1, 0);
        build(b, 0xb7, index, 0, 0, 0);
        break;
    case 4:
        build(b, percent(b, 50) ? 0x97 : 0x94, index, 0, 0, limit + 1);
        break;
    case 5:
        build(b, 0x77, index, 0, 0, 64 - __builtin_popcount((unsigned)mask));
        break;
    case 6:                                                     /* a byte-wide number, compared with a register */
        build(b, 0x57, index, 0, 0, 0x7f);
        jump = build_jump(b, 0x25, index, 0, limit);
        break;
    }
    return jump;
}

/* What a verifier might get wrong: bounds made by any arithmetic at all. */
static uint32_t build_bold_bound(struct builder *b, int index, int32_t limit)
{
    uint32_t jump;

    b->features.bold = true;
    for (uint32_t i = below(b, 3); i > 0; i--)
        build_arithmetic(b, index);
    jump = build_bound(b, index, limit + random_between(&b->random, -1, 2));
    for (uint32_t i = below(b, 3); i > 0; i--)
        build_arithmetic(b, index);
    return jump;
}

/* Access base + index: the index is bounded, perhaps scaled, and the room is what is left behind it. */
static void statement_variable(struct builder *b)
{
    int base = builder_pointer(b, 8, false), index = copy_number(b, bit(base));
    int address = index == NO_REGISTER ? index : builder_target(b, HOLDS_POINTER, bit(base) | bit(index));
    struct value value = b->now.reg[base];
    int32_t limit = value.high - value.low - 8, shift = percent(b, 30) ? (int32_t)below(b, 4) : 0;
    bool bold = percent(b, b->options->bold);
    struct state before = b->now;
    uint32_t jump;

    if (address == NO_REGISTER || value.fields || limit < 0)
        return;
    limit = bold ? limit : (int32_t)below(b, (uint32_t)limit + 1);
    jump = bold ? build_bold_bound(b, index, limit >> shift) : build_bound(b, index, limit >> shift);
    if (shift)
        build(b, 0x67, index, 0, 0, shift);
    build_move(b, address, base);
    build(b, 0x0f, address, index, 0, 0);
    if (percent(b, 40) && value.low != 0) {
        build(b, 0x07, address, 0, 0, value.low);
        value.alignment = value.low % 8 ? 1 : value.alignment;
        value.high -= value.low;
        value.low = 0;
    }
    value.high -= limit;
    value.alignment = shift == 3 ? value.alignment : 1;
    builder_set_pointer(b, address, value);
    for (uint32_t i = 1 + below(b, 2); i > 0; i--)
        if (b->now.reg[address].kind == HOLDS_POINTER)
            build_access(b, address);
    if (jump)
        build_land(b, jump);
    builder_join(b, &before);
    b->now.reg[address].kind = HOLDS_NOTHING;
    b->features.variable_offset = true;
}

/* A byte of eight of the stack, as compilers find it: what is below eight is added by "or". */
static void statement_byte(struct builder *b)
{
    int index = copy_number(b, 0);
    int address = index == NO_REGISTER ? index : builder_target(b, HOLDS_POINTER, bit(index));

    if (address == NO_REGISTER)
        return;
    build(b, 0x57, index, 0, 0, 7);
    build_stack_pointer(b, address, 16);
    build(b, 0x4f, address, index, 0, 0);
    builder_set_pointer(b, address, (struct value){ .writable = true, .alignment = 1, .high = 16 - 7 });
    build_access(b, address);
    b->now.reg[address].kind = HOLDS_NOTHING;
    b->features.variable_offset = true;
}

/* Pointer plus constant. */
static void statement_address(struct builder *b)
{
    int base = builder_pointer(b, 1, false), target = builder_target(b, HOLDS_POINTER, bit(base));
    struct value value = b->now.reg[base];
    int32_t distance = random_between(&b->random, -16, 16);

    if (target == NO_REGISTER || value.fields)
        return;
    build_move(b, target, base);
    build(b, percent(b, 80) ? 0x07 : 0x17, target, 0, 0, distance);
    distance = b->code[b->count - 1].opcode == 0x17 ? -distance : distance;
    value.low -= distance;
    value.high -= distance;
    value.alignment = distance % 8 ? 1 : value.alignment;
    builder_set_pointer(b, target, value);
}

/* ---- spills ---- */

static int32_t spill_offset(const struct builder *b, uint32_t slot)
{
    return -b->array_size - 8 * (int32_t)(slot + 1);
}

static bool slot_may_hold(const struct builder *b, uint32_t slot, uint8_t kind)
{
    for (unsigned i = 0; i < b->loops; i++) {
        uint8_t before = b->loop[i]->spill[slot].kind;

        if (before == HOLDS_POINTER || (before == HOLDS_NUMBER && kind != HOLDS_NUMBER))
            return false;
    }
    return true;
}

static void statement_spill(struct builder *b)
{
    uint32_t slot = below(b, BUILDER_SPILLS);
    int source = percent(b, 50) ? builder_number(b) : builder_pointer(b, 1, false);

    if (source == STACK_POINTER || !slot_may_hold(b, slot, b->now.reg[source].kind))
        return;
    build(b, 0x7b, STACK_POINTER, source, spill_offset(b, slot), 0);
    b->now.spill[slot] = b->now.reg[source];
    b->features.spill = true;
}

static void statement_fill(struct builder *b)
{
    uint32_t slot = below(b, BUILDER_SPILLS), part = below(b, 4);
    const struct value *value = &b->now.spill[slot];
    bool bold = value->kind == HOLDS_NOTHING && percent(b, b->options->bold);
    int target = value->kind == HOLDS_NOTHING && !bold ?
                     NO_REGISTER :
                     builder_target(b, bold ? HOLDS_NUMBER : (enum value_kind)value->kind, 0);

    if (target == NO_REGISTER)
        return;
    if ((value->kind == HOLDS_NUMBER || bold) && part < 3)        /* a part of it */
        build(b, 0x61 | size_bits[part], target, STACK_POINTER, spill_offset(b, slot), 0);
    else
        build(b, 0x79, target, STACK_POINTER, spill_offset(b, slot), 0);
    b->now.reg[target] = *value;
    if (bold)
        builder_set_number(b, target);
}

/* ---- conditions ---- */

uint32_t build_condition(struct builder *b)
{
    static const uint8_t operations[] = { JUMP_EQ, JUMP_GT, JUMP_GE, JUMP_SET, JUMP_NE, JUMP_SGT,
                                          JUMP_SGE, JUMP_LT, JUMP_LE, JUMP_SLT, JUMP_SLE };
    uint8_t opcode = (uint8_t)(operations[below(b, COUNT(operations))] << 4 |
                               (percent(b, 60) ? CLASS_JMP : CLASS_JMP32));
    int a = builder_number(b);

    if (percent(b, 40))
        return build_jump(b, opcode | 8, a, builder_number(b), 0);
    return build_jump(b, opcode, a, 0, (int32_t)random_edge(&b->random));
}

/* ---- all of them ---- */

void build_statement(struct builder *b)
{
    static void (*const statements[])(struct builder *b) = {
        statement_arithmetic, statement_number, statement_rotate, statement_extension, statement_scale,
        statement_access,     statement_region, statement_bytes,  statement_variable,  statement_address,
        statement_spill,      statement_fill,   statement_joined, statement_byte,
    };
    static const uint8_t weights[COUNT(statements)] = { 25, 6, 8, 6, 6, 16, 6, 12, 28, 6, 12, 12, 5, 5 };

    statements[builder_choose(b, weights, b->statement_taste, COUNT(statements))](b);
}
