/* SPDX-License-Identifier: MIT */
/* The rules, and the blocks that they are applied to. */

#include "rules.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../liveness.h"

#define AND_REGISTER (ALU_AND << 4 | 0x08 | CLASS_ALU64)

/* ---- questions ---- */

uint16_t plan_reads(const struct plan *plan, uint32_t at)
{
    return operation_reads(&plan->operation[at]);
}

uint16_t plan_writes(const struct plan *plan, uint32_t at)
{
    return operation_writes(&plan->operation[at]);
}

uint32_t plan_writer(const struct plan *plan, uint32_t at, unsigned reg)
{
    for (uint32_t i = at; i-- > plan->first && at - i <= RULES_WINDOW;)
        if (plan_writes(plan, i) & register_bit(reg))
            return i;
    return NO_PLACE;
}

bool plan_read_between(const struct plan *plan, uint32_t after, uint32_t before, uint16_t mask)
{
    for (uint32_t i = after + 1; i < before; i++)
        if (plan_reads(plan, i) & mask)
            return true;
    return false;
}

bool plan_written_between(const struct plan *plan, uint32_t after, uint32_t before, uint16_t mask)
{
    for (uint32_t i = after + 1; i < before; i++)
        if (plan_writes(plan, i) & mask)
            return true;
    return false;
}

bool plan_dead_after(const struct plan *plan, uint32_t at, unsigned reg)
{
    for (uint32_t i = at + 1; i < plan->end; i++) {
        if (plan_reads(plan, i) & register_bit(reg) || i - at > RULES_WINDOW)
            return false;
        if (plan_writes(plan, i) & register_bit(reg))
            return true;
    }
    return !(plan->live_after[plan->end - 1] & register_bit(reg));
}

/*
 * The writer of register `reg` as `at` sees it, if it is of this kind and serves `at` alone: it could be left out, and
 * its operands could be read at `at` instead.
 */
static struct operation *sole_maker(struct plan *plan, uint32_t at, unsigned reg, enum operation_kind kind,
                                    uint32_t *ret_place)
{
    uint32_t place = plan_writer(plan, at, reg);

    if (place == NO_PLACE || plan->operation[place].kind != kind ||
        plan_read_between(plan, place, at, register_bit(reg)) ||
        !(plan_writes(plan, at) & register_bit(reg) || plan_dead_after(plan, at, reg)))
        return NULL;
    *ret_place = place;
    return &plan->operation[place];
}

static void drop(struct operation *operation)
{
    *operation = (struct operation){ .kind = OPERATION_NOTHING };
}

/* ---- rules, each for one place ---- */

/* Left then right by the same number: an extension from fewer bits. */
static void extend_by_shifts(struct plan *plan, uint32_t at)
{
    struct operation *o = &plan->operation[at], *left;
    unsigned bits = o->width == WIDTH_64 ? 64 : 32, kept = bits - (unsigned)o->number;
    uint32_t place;

    if (o->kind != OPERATION_SHIFT_NUMBER || o->shift == SHIFT_SHL || (kept != 8 && kept != 16 && kept != 32) ||
        kept == bits)
        return;
    left = sole_maker(plan, at, o->a, OPERATION_SHIFT_NUMBER, &place);
    if (!left || left->shift != SHIFT_SHL || left->number != o->number || left->width != o->width ||
        plan_written_between(plan, place, at, register_bit(left->a)))
        return;
    o->kind = o->shift == SHIFT_SHR ? OPERATION_ZERO_EXTEND : OPERATION_SIGN_EXTEND;
    o->a = left->a;
    o->number = (int32_t)kept;
    plan->facts[at] = plan->facts[place];
    drop(left);
}

/* What is zero already need not be zeroed. */
static void needless_extension(struct plan *plan, uint32_t at)
{
    struct operation *o = &plan->operation[at];
    bool is_move = instruction_operation(plan->instruction[at]) == ALU_MOV;

    if (o->kind != OPERATION_ZERO_EXTEND || o->number != 32 || !plan->facts[at].upper_zero[is_move ? 1 : 0])
        return;
    o->kind = o->to == o->a ? OPERATION_NOTHING : OPERATION_MOVE;
}

/* A dividend below 2^32 is divided in 32 bits, whose product fits in a register. */
static void narrow_division(struct plan *plan, uint32_t at)
{
    struct operation *o = &plan->operation[at];

    if ((o->kind != OPERATION_QUOTIENT && o->kind != OPERATION_REMAINDER) || !plan->facts[at].upper_zero[0])
        return;
    o->upper_zero = true;
    if (o->number > 0)
        o->width = WIDTH_32;
}

/* The bits of the lower half that are not shifted out, and no others, left by an `and`: a shift of 32 bits. */
static void masked_shift(struct plan *plan, uint32_t at)
{
    struct operation *o = &plan->operation[at], *mask;
    uint32_t place;

    if (o->kind != OPERATION_SHIFT_NUMBER || o->shift != SHIFT_SHR || o->width != WIDTH_64 || o->number >= 32)
        return;
    mask = sole_maker(plan, at, o->a, OPERATION_INSTRUCTION, &place);
    if (!mask || mask->instruction.opcode != AND_REGISTER || plan->facts[place].number[1] != VALUE_ZERO ||
        (uint64_t)plan->facts[place].offset[1] >> o->number != UINT32_MAX >> o->number)
        return;
    o->width = WIDTH_32;
    plan->facts[at] = plan->facts[place];
    drop(mask);
}

/* Is the value of `reg` at `at` a copy of a register that still holds it?  NO_REGISTER if not. */
static unsigned copied_from(const struct plan *plan, uint32_t at, unsigned reg)
{
    uint32_t place = reg == NO_REGISTER ? NO_PLACE : plan_writer(plan, at, reg);

    if (place == NO_PLACE || plan->operation[place].kind != OPERATION_MOVE ||
        plan_written_between(plan, place, at, register_bit(plan->operation[place].a)))
        return NO_REGISTER;
    return plan->operation[place].a;
}

/* Is the register in the field read and not written? */
static bool only_reads_destination(struct instruction i)
{
    return instruction_is_jump(i) && instruction_operation(i) != JUMP_ALWAYS;
}

static bool only_reads_source(struct instruction i)
{
    return instruction_uses_source(i) && (only_reads_destination(i) ||
                                          (instruction_is_arithmetic(i) && instruction_operation(i) != ALU_END));
}

static void set_registers(struct instruction *i, unsigned destination, unsigned source)
{
    i->registers = (uint8_t)(destination | source << 4);
}

static void copied_in_instruction(const struct plan *plan, uint32_t at)
{
    struct instruction *i = &plan->operation[at].instruction;
    unsigned destination = instruction_destination(*i), source = instruction_source(*i), from;

    from = only_reads_destination(*i) ? copied_from(plan, at, destination) : NO_REGISTER;
    if (from != NO_REGISTER)
        set_registers(i, from, source);
    from = only_reads_source(*i) ? copied_from(plan, at, source) : NO_REGISTER;
    if (from != NO_REGISTER)
        set_registers(i, instruction_destination(*i), from);
}

/* Read what a copy was made of; the copy is dropped if nobody else reads it. */
static void copied_operand(struct plan *plan, uint32_t at)
{
    struct operation *o = &plan->operation[at];
    uint8_t *const read[] = { &o->a, &o->b, o->kind == OPERATION_STORE ? &o->to : NULL };

    if (o->kind == OPERATION_INSTRUCTION)
        return copied_in_instruction(plan, at);
    for (size_t n = 0; o->kind != OPERATION_NOTHING && n < 3 && read[n]; n++) {
        unsigned from = copied_from(plan, at, *read[n]);

        if (from != NO_REGISTER)
            *read[n] = (uint8_t)from;
    }
}

static bool is_joining(struct instruction i)
{
    unsigned operation = instruction_operation(i);

    return instruction_is_arithmetic(i) && instruction_uses_source(i) &&
           (operation == ALU_OR || operation == ALU_ADD || operation == ALU_XOR);
}

/* Do two shifts begin with the same value, as far as their width goes? */
static bool same_value(const struct plan *plan, uint32_t a, uint32_t b)
{
    const struct operand_facts *x = &plan->facts[a], *y = &plan->facts[b];

    return x->number[0] == y->number[0] && x->offset[0] == y->offset[0];
}

/* One value shifted left and right by what adds up to the width, put together. */
static void rotate(struct plan *plan, uint32_t at)
{
    struct instruction i = plan->instruction[at];
    enum x86_width width = instruction_class(i) == CLASS_ALU64 ? WIDTH_64 : WIDTH_32;
    unsigned to = instruction_destination(i), from = instruction_source(i);
    struct operation *a, *b, *left, *kept = NULL;
    uint32_t place_a, place_b;

    if (!is_joining(i) || to == from ||
        (plan->operation[at].kind != OPERATION_INSTRUCTION && plan->operation[at].kind != OPERATION_ADD))
        return;
    a = sole_maker(plan, at, to, OPERATION_SHIFT_NUMBER, &place_a);
    b = sole_maker(plan, at, from, OPERATION_SHIFT_NUMBER, &place_b);
    if (!a || !b || a->shift == b->shift || a->shift == SHIFT_SAR || b->shift == SHIFT_SAR || a->width != width ||
        b->width != width || a->number + b->number != (width == WIDTH_64 ? 64 : 32) ||
        !same_value(plan, place_a, place_b))
        return;
    if (!plan_written_between(plan, place_a, at, register_bit(a->a)))
        kept = a;
    else if (!plan_written_between(plan, place_b, at, register_bit(b->a)))
        kept = b;
    if (!kept)
        return;
    left = a->shift == SHIFT_SHL ? a : b;
    plan->operation[at] = (struct operation){
        .kind = OPERATION_ROTATE, .width = (uint8_t)width, .to = (uint8_t)to, .a = kept->a, .b = NO_REGISTER,
        .number = left->number,
    };
    drop(a);
    drop(b);
}

/* A shift to the left by 1 to 3 that an addition follows: a scaled operand. */
static void scaled_addition(struct plan *plan, uint32_t at)
{
    struct operation *o = &plan->operation[at], *shift;
    uint32_t place;

    if (o->kind != OPERATION_ADD || o->b == NO_REGISTER || o->scale || o->a == o->b)
        return;
    for (unsigned turn = 0; turn < 2; turn++) {
        shift = sole_maker(plan, at, o->b, OPERATION_SHIFT_NUMBER, &place);
        if (shift && shift->shift == SHIFT_SHL && shift->number >= 1 && shift->number <= 3 &&
            shift->width == WIDTH_64 && o->width == WIDTH_64 &&
            !plan_written_between(plan, place, at, register_bit(shift->a))) {
            o->scale = (uint8_t)shift->number;
            o->b = shift->a;
            drop(shift);
            return;
        }
        o->b ^= o->a;           /* and the other way round */
        o->a ^= o->b;
        o->b ^= o->a;
    }
}

/* May the address of `o` be the sum that `sum` makes? */
static bool address_fits(const struct operation *o, const struct operation *sum)
{
    int64_t number = (int64_t)o->number + sum->number;

    return sum->width == WIDTH_64 && number == (int32_t)number && (o->b == NO_REGISTER || sum->b == NO_REGISTER);
}

static void fold_address(struct operation *o, const struct operation *sum)
{
    o->a = sum->a;
    o->number += sum->number;
    if (sum->b != NO_REGISTER) {
        o->b = sum->b;
        o->scale = sum->scale;
    }
}

/* A sum of a sum: one. */
static void sum_of_sum(struct plan *plan, uint32_t at)
{
    struct operation *o = &plan->operation[at], *sum;
    uint32_t place;

    if (o->kind != OPERATION_ADD || o->b == o->a)
        return;
    sum = sole_maker(plan, at, o->a, OPERATION_ADD, &place);
    if (!sum || o->width != WIDTH_64 || !address_fits(o, sum) ||
        plan_written_between(plan, place, at, register_bit(sum->a) | register_bit(sum->b)))
        return;
    fold_address(o, sum);
    drop(sum);
}

/* A sum that is an address: part of the load or store. */
static void address(struct plan *plan, uint32_t at)
{
    struct operation *o = &plan->operation[at], *sum;
    uint32_t place;

    if (!operation_has_address(o))
        return;
    place = plan_writer(plan, at, o->a);
    if (place == NO_PLACE || plan->operation[place].kind != OPERATION_ADD)
        return;
    sum = &plan->operation[place];
    if (!address_fits(o, sum) || plan_written_between(plan, place, at, register_bit(sum->a) | register_bit(sum->b)))
        return;
    if (sum->to != sum->a && sum->to != sum->b) {
        fold_address(o, sum);
        return;
    }
    if ((o->kind == OPERATION_STORE && o->to == o->a) || o->b == o->a ||
        !sole_maker(plan, at, o->a, OPERATION_ADD, &place))
        return;
    fold_address(o, sum);
    drop(sum);
}

static bool is_store(const struct operation *o)
{
    return o->kind == OPERATION_STORE || o->kind == OPERATION_STORE_NUMBER;
}

/* May `o` write to the index of a lookup, whose base does not change in between? */
static bool may_write_index(const struct operation *o, const struct operation *lookup)
{
    if (!is_store(o))
        return o->kind == OPERATION_INSTRUCTION &&
               (o->instruction.opcode == OPCODE_CALL || instruction_class(o->instruction) == CLASS_STX);
    return o->a != lookup->a || o->b != NO_REGISTER ||
           (o->number < lookup->number + lookup->size && lookup->number < o->number + o->size);
}

/*
 * Where the index of the lookup at `at` was stored, all of it by one instruction;
 * nothing else was written there since.
 */
static uint32_t find_index(const struct plan *plan, uint32_t at)
{
    const struct operation *lookup = &plan->operation[at];

    for (uint32_t place = at; place-- > plan->first && at - place <= RULES_WINDOW;) {
        const struct operation *o = &plan->operation[place];

        if (is_store(o) && o->a == lookup->a && o->b == NO_REGISTER && o->number == lookup->number &&
            o->size >= lookup->size)
            return plan_written_between(plan, place, at, register_bit(o->a)) ? NO_PLACE : place;
        if (may_write_index(o, lookup))
            return NO_PLACE;
    }
    return NO_PLACE;
}

/* The index of a lookup in an array goes through memory, as keys do: take it from where it came. */
static void known_index(struct plan *plan, uint32_t at)
{
    struct operation *o = &plan->operation[at];
    const struct operation *store;
    uint32_t place;

    if (o->kind != OPERATION_ARRAY_LOOKUP || o->b != NO_REGISTER)
        return;
    place = find_index(plan, at);
    if (place == NO_PLACE)
        return;
    store = &plan->operation[place];
    if (store->kind == OPERATION_STORE && plan_written_between(plan, place, at, register_bit(store->to)))
        return;
    o->kind = OPERATION_ARRAY_LOOKUP_INDEX;
    o->a = store->kind == OPERATION_STORE ? store->to : NO_REGISTER;
    o->number = store->kind == OPERATION_STORE ? 0 : store->instruction.immediate;
}

/* ---- the table ---- */

/* From the block's end: leave out what writes only what nobody reads, and note at each what is read behind it. */
static void sweep(struct plan *plan)
{
    uint16_t live = plan->live_after[plan->end - 1];

    for (uint32_t at = plan->end; at-- > plan->first;) {
        struct operation *o = &plan->operation[at];

        if (operation_is_pure(o) && !(plan_writes(plan, at) & live))
            drop(o);
        o->live = live;
        live = (uint16_t)((live & ~plan_writes(plan, at)) | plan_reads(plan, at));
    }
}

/*
 * Beside each what it is worth: by how many percent the kernels of bench/programs are slower without it (geometric mean
 * of 27, objects for v3; and for v1, where that is more).  bench/rules.py measures that.
 */
static const struct rule {
    const char *name;
    void (*block)(struct plan *plan);           /* for the whole block, */
    void (*place)(struct plan *plan, uint32_t at);      /* or for each place in turn */
} rules[] = {
    { "merge-loads", rule_merge_loads, NULL },          /* 5.3 */
    { "extend-by-shifts", NULL, extend_by_shifts },     /* 1.2, v1 6.0 */
    { "needless-extension", NULL, needless_extension }, /* 0.5 */
    { "narrow-division", NULL, narrow_division },       /* 0, v1 0.8: of date */
    { "masked-shift", NULL, masked_shift },             /* 0, v1 1.6 */
    { "rotate", NULL, rotate },                         /* 6.0 */
    { "copied-operand", NULL, copied_operand },         /* 3.4 */
    { "sweep", sweep, NULL },
    { "scaled-addition", NULL, scaled_addition },       /* 1.0, v1 1.6 */
    { "sum-of-sum", NULL, sum_of_sum },                 /* 0.5 */
    { "address", NULL, address },                       /* 0.7 */
    { "known-index", NULL, known_index },               /* of bench/maps: array_lookup */
    { "sweep", sweep, NULL },
};

static void apply(struct plan *plan, const struct rule *rule)
{
    if (rule->block)
        rule->block(plan);
    else
        for (uint32_t at = plan->first; at < plan->end; at++)
            rule->place(plan, at);
}

/* ---- blocks ---- */

static void learn_facts(struct plan *plan, struct values *values)
{
    values_begin(values);
    for (uint32_t at = plan->first; at < plan->end; at += instruction_length(plan->instruction[at])) {
        struct instruction i = plan->instruction[at];
        const unsigned reg[2] = { instruction_destination(i), instruction_source(i) };
        const uint8_t marks[2] = { VERIFIED_DESTINATION_32, VERIFIED_SOURCE_32 };

        for (unsigned n = 0; n < 2 && reg[n] < INSTRUCTION_REGISTERS; n++) {
            const struct value *value = &values->reg[reg[n]];

            plan->facts[at].number[n] = value->number;
            plan->facts[at].offset[n] = value->offset;
            plan->facts[at].upper_zero[n] = value_upper_zero(value) || plan->verified->mark[at] & marks[n];
        }
        values_step(values, plan->verified, at);
    }
}

static void improve(struct plan *plan, struct values *values)
{
    learn_facts(plan, values);
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
        apply(plan, &rules[i]);
}

/* Where blocks begin: at functions, at jumps' targets, behind jumps and exits. */
static void find_blocks(const struct bytecode *bytecode, bool *begins)
{
    for (uint32_t f = 0; f < bytecode->functions; f++)
        begins[bytecode->function[f].first] = true;
    for (uint32_t at = 0; at < bytecode->instructions; at += instruction_length(bytecode->instruction[at])) {
        struct instruction i = bytecode->instruction[at];

        if (instruction_is_jump(i))
            begins[at + 1 + (uint32_t)instruction_jump_distance(i)] = true;
        if (instruction_is_jump(i) || i.opcode == OPCODE_EXIT)
            begins[at + 1] = true;
    }
}

/* One operation each; none for what is never reached, and for second halves. */
static void choose_operations(const struct plan *plan)
{
    const struct bytecode *bytecode = plan->verified->bytecode;

    for (uint32_t at = 0; at < bytecode->instructions; at += instruction_length(bytecode->instruction[at])) {
        drop(&plan->operation[at + instruction_length(bytecode->instruction[at]) - 1]);
        if (plan->verified->mark[at] & VERIFIED_REACHED && x86_64_is_array_lookup(plan->verified, at))
            plan->operation[at] = operation_array_lookup(bytecode->instruction[at]);
        else if (plan->verified->mark[at] & VERIFIED_REACHED)
            plan->operation[at] = operation_of(bytecode->instruction[at]);
        else
            drop(&plan->operation[at]);
    }
}

int rules_apply(const struct verified *verified, struct operation **ret)
{
    const struct bytecode *bytecode = verified->bytecode;
    struct plan plan = {
        .verified = verified,
        .instruction = bytecode->instruction,
        .operation = calloc(bytecode->instructions, sizeof(*plan.operation)),
        .facts = calloc(bytecode->instructions, sizeof(*plan.facts)),
        .live_after = calloc(bytecode->instructions, sizeof(*plan.live_after)),
    };
    uint16_t *live_before = calloc(bytecode->instructions, sizeof(*live_before));
    bool *begins = calloc(bytecode->instructions + 1ul, sizeof(*begins));
    struct values *values = malloc(sizeof(*values));
    int r = -ENOMEM;

    if (plan.operation && plan.facts && plan.live_after && live_before && begins && values)
        r = liveness_of_program(bytecode, live_before, plan.live_after);
    if (r == 0) {
        choose_operations(&plan);
        find_blocks(bytecode, begins);
        begins[bytecode->instructions] = true;
        for (uint32_t at = 1; at <= bytecode->instructions; at++)
            if (begins[at]) {
                plan.end = at;
                improve(&plan, values);
                plan.first = at;
            }
        *ret = plan.operation;
        plan.operation = NULL;
    }
    free(plan.operation);
    free(plan.facts);
    free(plan.live_after);
    free(live_before);
    free(begins);
    free(values);
    return r;
}
