/* SPDX-License-Identifier: MIT */
/*
 * A state of the program at one instruction: for all functions that are active, registers and stack.
 */
#ifndef JITCORE_VERIFIER_STATE_H
#define JITCORE_VERIFIER_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../instruction.h"
#include "pool.h"
#include "value.h"
#include "verifier.h"

#define STATE_SLOTS (INSTRUCTION_STACK_SIZE / 8)
#define STATE_REFERENCES_MAX 8

/* The eight bytes at R10 - 8 * (index + 1). */
struct slot {
    struct value value;         /* a pointer: all eight bytes; a number: the bytes that are not written are unknown */
    uint32_t since;             /* history position (demand.h) at which all of it was written last */
    uint8_t written;            /* bit n: byte n may be read */
};

/* A helper that calls a function again and again, at the instruction where the frame is. */
struct loop {
    uint32_t calls;             /* that have returned; 0: it has just been reached */
    uint32_t since, latest;     /* history positions: it was reached; it calls for the last time so far */
};

struct frame {
    uint32_t function;          /* index */
    uint32_t call;              /* the instruction of its caller that called it */
    bool callback;              /* by a helper */
    uint32_t slots;             /* beyond these nothing is written */
    struct loop loop;
    struct value reg[INSTRUCTION_REGISTERS];
    struct slot slot[STATE_SLOTS];      /* of a state that was saved: only `slots` */
};

struct verifier_state {
    size_t bytes;               /* of one that was saved: its size */
    uint32_t depth;             /* functions active; the last one is running */
    uint32_t references;        /* memory to be given back: ids */
    uint32_t reference[STATE_REFERENCES_MAX];
    struct frame *frame[VERIFIER_DEPTH_MAX];
};

/* The running function's registers. */
static inline struct frame *state_top(const struct verifier_state *state)
{
    return state->frame[state->depth - 1];
}

/* What is known of register n in frame f (0: the program's); of the slot at R10 - 8 * (n + 1), NULL if not written. */
const struct value *verifier_register(const struct verifier_state *state, uint32_t f, uint32_t n);
const struct slot *verifier_slot(const struct verifier_state *state, uint32_t f, uint32_t n);

/* An empty state with room for all frames and slots.  -ENOMEM. */
int state_init(struct verifier_state *state);
void state_clear(struct verifier_state *state);

/* A function becomes active: nothing written, but for R10. */
void state_push(struct verifier_state *state, uint32_t function, uint32_t call, bool callback);

/* Slots up to this one exist from now on. */
void state_extend(struct frame *frame, uint32_t slot);

/* A copy in one piece, no bigger than needed.  NULL: no memory. */
struct verifier_state *state_save(struct pool *pool, const struct verifier_state *state);
void state_give_back(struct pool *pool, struct verifier_state *saved);

/* The same in memory that is there: state_bytes(), aligned as the state is. */
size_t state_bytes(const struct verifier_state *state);
struct verifier_state *state_save_at(void *memory, const struct verifier_state *state);

/* Back to what was saved.  `state` is one of state_init(). */
void state_load(struct verifier_state *state, const struct verifier_state *saved);

/* Call `function` for each register and slot value of all frames. */
typedef void state_visitor(void *userdata, struct value *value, uint32_t frame, int reg);    /* reg -1: a slot */
void state_visit(struct verifier_state *state, state_visitor *visitor, void *userdata);

#endif
