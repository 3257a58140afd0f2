/* SPDX-License-Identifier: MIT */
/*
 * What a proof rests on.  While a path is explored, the way back is remembered; whenever a range is used (an offset, a
 * size, a jump that it decides) or a stack slot is read, the demand for it is carried backwards along the path, through
 * the instructions that made the value, and noted at each state that was kept on the way.  What no path demanded of a
 * kept state need not be compared when another state comes to the same place: a number there may be any number, and an
 * unread slot may hold anything.
 */
#ifndef JITCORE_VERIFIER_DEMAND_H
#define JITCORE_VERIFIER_DEMAND_H

#include <stdbool.h>
#include <stdint.h>

#include "state.h"

/* What a range is used for: that of a number, or of a pointer to the packet, which says how much is there. */
enum demand_use {
    DEMAND_JUMP,                /* it decides where a jump leads */
    DEMAND_ACCESS,              /* it is a part of an address or a size */
    DEMAND_USES
};

struct demand_ranges {
    uint16_t registers[VERIFIER_DEPTH_MAX];     /* by frame; bit n: Rn's */
    uint64_t slots[VERIFIER_DEPTH_MAX];         /* bit n: slot n's */
};

struct demand {
    uint16_t frames;                            /* bit f: something of frame f is below */
    struct demand_ranges ranges[DEMAND_USES];
    uint64_t reads[VERIFIER_DEPTH_MAX];         /* bit n: slot n is read */
};

enum step_access { STEP_NO_ACCESS, STEP_LOAD, STEP_STORE };

/* Where a call or an exit led to. */
enum step_transfer {
    STEP_STAYS,                 /* the call of a helper that is done */
    STEP_ENTERS,                /* a function, or a helper's callback */
    STEP_RETURNS,               /* to the caller, with R0 */
    STEP_REPEATS,               /* to the helper that calls back */
};

/* An instruction that was processed, with what is needed to go back over it. */
struct step {
    uint32_t instruction;
    uint8_t depth;              /* the frame that it ran in */
    uint8_t access;             /* enum step_access: of slots at a constant offset */
    uint8_t frame, slot;        /* whose; the first one */
    uint8_t slots;              /* 1 or 2, downwards: the next one is slot - 1 */
    bool whole;                 /* the store wrote all of them */
    uint8_t transfer;           /* enum step_transfer */
    /*
     * A jump.  Linked: besides its operands it narrowed, by their id, these registers, these slots, and values of other
     * frames.  Measured: of what these registers and slots point to, it says how much is there, and more than was
     * known.  (In this order a step has 32 bytes, 40 else.)
     */
    bool linked_elsewhere;
    uint16_t linked, measured;
    uint64_t linked_slots, measured_slots;
};

_Static_assert(sizeof(struct step) == 32, "a history has a million of them");

/* The path from the program's start. */
struct history {
    struct step *step;
    uint32_t steps, room;
};

/* A kept state on the path at hand: what the demand is noted in. */
struct milestone {
    uint32_t position;          /* it is the state before this step */
    struct demand *demand;
};

/* Those of the path, by position. */
struct milestones {
    struct milestone *milestone;
    uint32_t count, room;
};

/* -ENOMEM. */
int history_append(struct history *history, uint32_t instruction, uint8_t depth);

void demand_register(struct demand *demand, enum demand_use use, uint32_t frame, unsigned reg);
void demand_reads(struct demand *demand, uint32_t frame, uint64_t slots);

/* All registers and slots of a state. */
void demand_everything(struct demand *demand, const struct verifier_state *state);

/* The ranges that count, whatever for. */
uint16_t demand_of_registers(const struct demand *demand, uint32_t frame);
uint64_t demand_of_slots(const struct demand *demand, uint32_t frame);

/* Carry it back from the state before step `position`.  `demand` is used up. */
void demand_carry(const struct bytecode *bytecode, const struct history *history, const struct milestones *milestones,
                  uint32_t position, struct demand *demand);

#endif
