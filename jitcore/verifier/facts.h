/* SPDX-License-Identifier: MIT */
/*
 * What the compiler may rely on (verified.h), gathered while paths are explored: what holds in every state at an
 * instruction.
 *
 * A path that ended because a kept state covers it has states of its own that were not seen.  Numbers that the proof
 * does not rest on may differ in them from what was seen, and so may all that is computed from these.  Facts about them
 * are dropped in the end.
 */
#ifndef JITCORE_VERIFIER_FACTS_H
#define JITCORE_VERIFIER_FACTS_H

#include <stdbool.h>
#include <stdint.h>

#include "../bytecode.h"
#include "../verified.h"
#include "demand.h"
#include "scalar.h"
#include "state.h"

struct analysis;

struct facts {
    uint16_t *loose;            /* per instruction: registers whose value was, perhaps, not seen */
    bool loose_slots;           /* and some slot's */
    uint16_t *linked;           /* per instruction: registers that a jump narrowed by their id */
    bool *linked_elsewhere;     /* and slots, or registers of other frames */
    uint32_t *region;           /* per instruction: as in struct verified, or that none was seen yet */
    uint32_t *map_kind;         /* likewise */
};

/* -ENOMEM.  Undo with facts_clear(). */
int facts_init(struct facts *facts, const struct bytecode *bytecode);
void facts_clear(struct facts *facts);

/* The instruction at hand is processed in this state. */
void facts_note(struct analysis *analysis);

/* 32-bit arithmetic on these numbers, which are whole registers. */
void facts_note_wrap(struct analysis *analysis, const struct scalar *a, const struct scalar *b);

/* A conditional jump led, or can lead, here. */
void facts_note_jump(struct analysis *analysis, bool may_be_taken, bool may_be_not_taken);

/* A jump narrowed, by their id, these registers, and values elsewhere. */
void facts_note_links(struct analysis *analysis, uint16_t registers, bool elsewhere);

/* A helper was called with this map (index of the region). */
void facts_note_map(struct analysis *analysis, uint32_t region);

/* The path ends here, because `outer` covers it with this demand. */
void facts_note_cover(struct analysis *analysis, const struct verifier_state *outer, const struct demand *demand);

/* All paths are explored: complete analysis->verified.  -ENOMEM. */
int facts_complete(struct analysis *analysis);

#endif
