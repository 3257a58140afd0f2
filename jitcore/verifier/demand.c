/* SPDX-License-Identifier: MIT */
/* What a proof rests on, carried backwards along the path. */

#include "demand.h"

#include <errno.h>
#include <stdlib.h>

#define BIT(n) ((uint16_t)(1u << (n)))
#define ARGUMENTS 0x3e          /* R1 to R5 */
#define CALLER_SAVED 0x3f       /* R0 to R5 */

int history_append(struct history *history, uint32_t instruction, uint8_t depth)
{
    if (history->steps == history->room) {
        uint32_t room = history->room ? history->room * 2 : 1024;
        struct step *step = realloc(history->step, room * sizeof(*step));

        if (!step)
            return -ENOMEM;
        history->step = step;
        history->room = room;
    }
    history->step[history->steps++] = (struct step){ .instruction = instruction, .depth = depth };
    return 0;
}

void demand_register(struct demand *demand, enum demand_use use, uint32_t frame, unsigned reg)
{
    demand->ranges[use].registers[frame] |= BIT(reg);
    demand->frames |= BIT(frame);
}

void demand_reads(struct demand *demand, uint32_t frame, uint64_t slots)
{
    demand->reads[frame] |= slots;
    demand->frames |= BIT(frame);
}

void demand_everything(struct demand *demand, const struct verifier_state *state)
{
    for (uint32_t f = 0; f < state->depth; f++) {
        uint32_t slots = state->frame[f]->slots;

        for (unsigned reg = 0; reg < INSTRUCTION_REGISTERS - 1; reg++)
            demand_register(demand, DEMAND_JUMP, f, reg);
        demand_reads(demand, f, slots == 64 ? UINT64_MAX : (UINT64_C(1) << slots) - 1);
        demand->ranges[DEMAND_JUMP].slots[f] = demand->reads[f];
    }
}

uint16_t demand_of_registers(const struct demand *demand, uint32_t frame)
{
    return demand->ranges[DEMAND_JUMP].registers[frame] | demand->ranges[DEMAND_ACCESS].registers[frame];
}

uint64_t demand_of_slots(const struct demand *demand, uint32_t frame)
{
    return demand->ranges[DEMAND_JUMP].slots[frame] | demand->ranges[DEMAND_ACCESS].slots[frame];
}

static void update_frame(struct demand *demand, uint32_t f)
{
    bool something = demand_of_registers(demand, f) || demand_of_slots(demand, f) || demand->reads[f];

    demand->frames = (uint16_t)((demand->frames & ~BIT(f)) | (something ? BIT(f) : 0));
}

/* Note it, and keep only what was not noted before: the rest was carried on from here then. */
static void note(struct demand *noted, struct demand *demand)
{
    for (uint32_t f = 0; f < VERIFIER_DEPTH_MAX; f++) {
        if (!(demand->frames & BIT(f)))
            continue;
        for (unsigned use = 0; use < DEMAND_USES; use++) {
            struct demand_ranges *new = &demand->ranges[use], *old = &noted->ranges[use];

            new->registers[f] &= (uint16_t)~old->registers[f];
            new->slots[f] &= ~old->slots[f];
            old->registers[f] |= new->registers[f];
            old->slots[f] |= new->slots[f];
        }
        demand->reads[f] &= ~noted->reads[f];
        noted->reads[f] |= demand->reads[f];
        update_frame(demand, f);
        noted->frames |= demand->frames;
    }
}

/* ---- back over one instruction ---- */

static bool take(uint16_t *registers, unsigned reg)
{
    bool there = *registers & BIT(reg);

    *registers &= (uint16_t)~BIT(reg);
    return there;
}

static uint64_t step_slots(const struct step *step)
{
    return (step->slots == 2 ? UINT64_C(3) << (step->slot - 1) : UINT64_C(1) << step->slot);
}

static void over_arithmetic(struct instruction i, uint16_t *registers)
{
    unsigned destination = instruction_destination(i), operation = instruction_operation(i);

    if (!(*registers & BIT(destination)))
        return;
    if (operation == ALU_MOV)
        take(registers, destination);
    if (instruction_uses_source(i) && operation != ALU_END && operation != ALU_NEG)
        *registers |= BIT(instruction_source(i));
}

static void over_load(const struct step *step, unsigned destination, struct demand_ranges *ranges)
{
    if (take(&ranges->registers[step->depth], destination) && step->access == STEP_LOAD)
        ranges->slots[step->frame] |= step_slots(step);
}

static void over_store(const struct step *step, struct instruction i, struct demand_ranges *ranges)
{
    if (step->access != STEP_STORE)
        return;
    if (ranges->slots[step->frame] & step_slots(step) && instruction_class(i) == CLASS_STX)
        ranges->registers[step->depth] |= BIT(instruction_source(i));
    if (step->whole)
        ranges->slots[step->frame] &= ~step_slots(step);
}

/* What was in memory is unknown. */
static void over_atomic(const struct step *step, struct instruction i, struct demand_ranges *ranges)
{
    if (i.immediate & ATOMIC_FETCH)
        take(&ranges->registers[step->depth],
             i.immediate == ATOMIC_COMPARE_EXCHANGE ? 0 : instruction_source(i));
}

static void over_jump(const struct step *step, struct instruction i, struct demand_ranges *ranges, bool anything)
{
    uint16_t *registers = &ranges->registers[step->depth];
    uint16_t operands = BIT(instruction_destination(i));

    if (instruction_operation(i) == JUMP_ALWAYS)
        return;
    if (instruction_uses_source(i))
        operands |= BIT(instruction_source(i));
    *registers &= (uint16_t)~step->measured;
    ranges->slots[step->depth] &= ~step->measured_slots;
    if (*registers & (operands | step->linked) || ranges->slots[step->depth] & step->linked_slots ||
        (step->linked_elsewhere && anything))
        *registers |= operands;
}

/* Back from the function that it entered, or the helper's callback. */
static void over_call(const struct step *step, struct instruction i, struct demand_ranges *ranges)
{
    uint32_t callee = step->depth + 1u;
    bool local = instruction_source(i) == CALL_LOCAL;

    if (step->transfer == STEP_STAYS) {
        ranges->registers[step->depth] &= (uint16_t)~CALLER_SAVED;
        return;
    }
    /* A callback's numbers are made by the helper, but for its context, the third argument of all that have one. */
    if (ranges->registers[callee] & ARGUMENTS)
        ranges->registers[step->depth] |= local ? ranges->registers[callee] & ARGUMENTS : BIT(3);
    ranges->registers[callee] = 0;
    ranges->slots[callee] = 0;
}

static void over_exit(const struct step *step, struct demand_ranges *ranges)
{
    if (step->transfer == STEP_RETURNS && take(&ranges->registers[step->depth - 1], 0))
        ranges->registers[step->depth] |= BIT(0);
}

/* `anything`: some range is demanded. */
static void over(const struct step *step, struct instruction i, struct demand_ranges *ranges, bool anything)
{
    switch (instruction_class(i)) {
    case CLASS_LD:
        take(&ranges->registers[step->depth], instruction_destination(i));
        return;
    case CLASS_ALU:
    case CLASS_ALU64:
        over_arithmetic(i, &ranges->registers[step->depth]);
        return;
    case CLASS_LDX:
        over_load(step, instruction_destination(i), ranges);
        return;
    case CLASS_ST:
        over_store(step, i, ranges);
        return;
    case CLASS_STX:
        if (instruction_is_atomic(i))
            over_atomic(step, i, ranges);
        else
            over_store(step, i, ranges);
        return;
    case CLASS_JMP:
    case CLASS_JMP32:
        if (i.opcode == OPCODE_CALL)
            over_call(step, i, ranges);
        else if (i.opcode == OPCODE_EXIT)
            over_exit(step, ranges);
        else
            over_jump(step, i, ranges, anything);
        return;
    }
}

/* Reads of what a store wrote go no further; neither do those of a function's stack, beyond its start. */
static void reads_over(const struct step *step, struct instruction i, struct demand *demand)
{
    if (step->access == STEP_STORE && step->whole && !instruction_is_atomic(i))
        demand->reads[step->frame] &= ~step_slots(step);
    if (step->transfer == STEP_ENTERS)
        demand->reads[step->depth + 1] = 0;
}

static bool any_range(const struct demand_ranges *ranges)
{
    for (uint32_t f = 0; f < VERIFIER_DEPTH_MAX; f++)
        if (ranges->registers[f] || ranges->slots[f])
            return true;
    return false;
}

/* ---- all the way ---- */

/* Does the instruction have to do with what is demanded?  Most have not. */
static bool concerns(const struct step *step, struct instruction i, const struct demand *demand)
{
    bool is_jump = instruction_class(i) == CLASS_JMP || instruction_class(i) == CLASS_JMP32;
    bool is_store = instruction_class(i) == CLASS_ST || instruction_class(i) == CLASS_STX;

    if (!is_jump && !is_store)          /* it makes a register */
        return demand_of_registers(demand, step->depth) & BIT(instruction_destination(i));
    return demand->frames & (BIT(step->depth) | BIT(step->frame)) || step->transfer != STEP_STAYS ||
           step->linked_elsewhere;
}

static void demand_over(const struct step *step, struct instruction i, struct demand *demand)
{
    for (unsigned use = 0; use < DEMAND_USES; use++)
        over(step, i, &demand->ranges[use], step->linked_elsewhere && any_range(&demand->ranges[use]));
    reads_over(step, i, demand);
    /* All slots whose ranges count are read, too. */
    if (step->access != STEP_NO_ACCESS)
        demand->reads[step->frame] |= demand_of_slots(demand, step->frame);
    update_frame(demand, step->depth);
    update_frame(demand, step->frame);
    if (step->transfer == STEP_ENTERS)
        update_frame(demand, step->depth + 1u);
    if (step->transfer == STEP_RETURNS)
        update_frame(demand, step->depth - 1u);
}

void demand_carry(const struct bytecode *bytecode, const struct history *history, const struct milestones *milestones,
                  uint32_t position, struct demand *demand)
{
    uint32_t m = milestones->count;
    const struct step *step;
    struct instruction i;

    while (demand->frames) {
        while (m > 0 && milestones->milestone[m - 1].position >= position) {
            if (milestones->milestone[m - 1].position == position)
                note(milestones->milestone[m - 1].demand, demand);
            m--;
        }
        if (position-- == 0 || m == 0)          /* nobody to be told of it any more */
            return;
        step = &history->step[position];
        i = bytecode->instruction[step->instruction];
        if (concerns(step, i, demand))
            demand_over(step, i, demand);
    }
}
