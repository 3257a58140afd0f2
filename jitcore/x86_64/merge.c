/* SPDX-License-Identifier: MIT */
/*
 * Loads of bytes that shifts and ors put together, as compilers make them for memory that need not be aligned, become
 * one load, with a byte swap where the order is the other one.
 *
 * The one load stands where the last of the loads was, or where the value is complete.  Nothing may be stored after the
 * first of the loads, and all that only served the value is dropped; what else is read of it stays.
 */

#include "../liveness.h"
#include "rules.h"

#define MERGES_MAX 64           /* considered in one block */

struct merge {
    uint32_t root;              /* the instruction that completes the value */
    uint32_t first, last;       /* of its loads */
    uint8_t size;               /* bytes: 2, 4 or 8 */
    bool swapped;
    uint32_t base;              /* a value's number */
    int32_t offset;             /* of the lowest byte, counted from it */
    uint8_t base_at_root;       /* register that holds base + base_offset there, if nothing was stored; or none */
    int64_t base_offset;
};

/* ---- which values are complete ---- */

static bool is_run(const struct value_bytes *bytes, unsigned size, int step)
{
    for (unsigned i = 0; i < 8; i++) {
        if (bytes->kind[i] != (i < size ? BYTE_LOADED : BYTE_ZERO))
            return false;
        if (i > 0 && i < size && bytes->offset[i] != bytes->offset[i - 1] + step)
            return false;
    }
    return true;
}

/* Are they adjacent bytes of memory, from more than one load? */
static bool find_run(const struct value_bytes *bytes, struct merge *merge)
{
    for (uint8_t size = 2; size <= 8; size *= 2) {
        bool ascending = is_run(bytes, size, 1);

        if (bytes->first == bytes->last || !(ascending || is_run(bytes, size, -1)))
            continue;
        merge->size = size;
        merge->swapped = !ascending;
        merge->base = bytes->base;
        merge->offset = bytes->offset[ascending ? 0 : size - 1];
        merge->first = bytes->first;
        merge->last = bytes->last;
        return true;
    }
    return false;
}

static void find_base(const struct values *values, uint32_t memory, struct merge *merge)
{
    merge->base_at_root = NO_REGISTER;
    for (uint8_t reg = 0; values->memory == memory && reg < INSTRUCTION_REGISTERS; reg++)
        if (values->reg[reg].number == merge->base) {
            merge->base_at_root = reg;
            merge->base_offset = values->reg[reg].offset;
        }
}

static bool completes(struct instruction i)
{
    unsigned operation = instruction_operation(i);

    return instruction_is_arithmetic(i) &&
           (operation == ALU_OR || operation == ALU_ADD || operation == ALU_XOR || operation == ALU_END);
}

static uint32_t find_merges(const struct plan *plan, struct merge *merges)
{
    struct values values;
    uint32_t count = 0;

    values_begin(&values);
    for (uint32_t at = plan->first; at < plan->end && count < MERGES_MAX;
         at += instruction_length(plan->instruction[at])) {
        struct instruction i = plan->instruction[at];
        const struct value_bytes *bytes = &values.reg[instruction_destination(i)].bytes;

        values_step(&values, plan->verified, at);
        if (!completes(i) || plan->operation[at].kind == OPERATION_NOTHING || !find_run(bytes, &merges[count]))
            continue;
        merges[count].root = at;
        find_base(&values, bytes->memory, &merges[count]);
        count++;
    }
    return count;
}

/* ---- what would be dropped ---- */

/* A merge with its one load at a place. */
struct attempt {
    const struct merge *merge;
    uint32_t place;
    uint8_t to, base;           /* registers of the one load */
    int64_t offset;             /* likewise */
    uint64_t dropped;           /* bit n: the instruction n before the root */
};

static uint16_t live_after(const struct plan *plan, uint32_t at)
{
    uint16_t live = plan->live_after[plan->end - 1];

    for (uint32_t i = plan->end; i-- > at + 1;)
        live = (uint16_t)((live & ~plan_writes(plan, i)) | plan_reads(plan, i));
    return live;
}

/*
 * Go back from the root to the first load, as if the root were gone and the one load stood at its place: what nobody
 * reads then is dropped.  False if that load would be in somebody's way.
 */
static bool attempt_drops(const struct plan *plan, struct attempt *attempt)
{
    const struct merge *merge = attempt->merge;
    uint16_t live = live_after(plan, merge->root) & (uint16_t)~register_bit(attempt->to);

    if (attempt->place == merge->root)
        live |= register_bit(attempt->base);
    for (uint32_t at = merge->root; at-- > merge->first;) {
        uint16_t reads = plan_reads(plan, at), writes = plan_writes(plan, at);
        bool dead = operation_is_pure(&plan->operation[at]) && !(writes & live);

        if (dead && plan->operation[at].kind != OPERATION_NOTHING)
            attempt->dropped |= 1ull << (merge->root - at);
        if (at == attempt->place) {
            if (!dead)
                return false;
            live = (uint16_t)((live & ~register_bit(attempt->to)) | register_bit(attempt->base));
        } else if (!dead) {
            if (at > attempt->place && (reads | writes) & register_bit(attempt->to))
                return false;
            live = (uint16_t)((live & ~writes) | reads);
        }
    }
    return true;
}

/* Is the register, as the program has it before `at`, still made?  Another merge may have dropped what made it. */
static bool is_made(const struct plan *plan, uint32_t at, unsigned reg)
{
    while (at-- > plan->first)
        if (liveness_writes(plan->instruction[at]) & register_bit(reg))
            return plan->operation[at].kind != OPERATION_NOTHING;
    return true;
}

/* Worth it: more is dropped than comes. */
static bool attempt_gains(const struct attempt *attempt)
{
    return __builtin_popcountll(attempt->dropped) >= 2 && attempt->offset == (int32_t)attempt->offset;
}

static void attempt_apply(struct plan *plan, const struct attempt *attempt)
{
    const struct merge *merge = attempt->merge;

    for (uint32_t at = merge->first; at <= merge->root; at++)
        if (at == merge->root || attempt->dropped >> (merge->root - at) & 1)
            plan->operation[at] = (struct operation){ .kind = OPERATION_NOTHING };
    plan->operation[attempt->place] = (struct operation){
        .kind = merge->swapped ? OPERATION_LOAD_SWAPPED : OPERATION_LOAD,
        .width = WIDTH_64,
        .to = attempt->to,
        .a = attempt->base,
        .b = NO_REGISTER,
        .size = merge->size,
        .number = (int32_t)attempt->offset,
    };
}

static bool merge_at(struct plan *plan, const struct merge *merge, uint32_t place, uint8_t base, int64_t base_offset)
{
    struct attempt attempt = {
        .merge = merge,
        .place = place,
        .to = (uint8_t)instruction_destination(plan->instruction[merge->root]),
        .base = base,
        .offset = merge->offset - base_offset,
    };

    if (!is_made(plan, place, base) || !attempt_drops(plan, &attempt) || !attempt_gains(&attempt))
        return false;
    attempt_apply(plan, &attempt);
    return true;
}

/* Later ones first: what completes four bytes makes the two that it is made of needless. */
void rule_merge_loads(struct plan *plan)
{
    struct merge merges[MERGES_MAX];

    for (uint32_t i = find_merges(plan, merges); i-- > 0;) {
        const struct merge *merge = &merges[i];
        uint8_t base = (uint8_t)instruction_source(plan->instruction[merge->last]);

        if (plan->operation[merge->root].kind == OPERATION_NOTHING || merge->root - merge->first >= RULES_WINDOW)
            continue;
        if (!merge_at(plan, merge, merge->last, base, plan->facts[merge->last].offset[1]) &&
            merge->base_at_root != NO_REGISTER)
            merge_at(plan, merge, merge->root, merge->base_at_root, merge->base_offset);
    }
}
