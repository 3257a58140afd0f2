/* SPDX-License-Identifier: MIT */
/*
 * States that were kept where paths meet and from which all paths are explored: found by where they are, and by what
 * must be equal for one state to include another.
 */
#ifndef JITCORE_VERIFIER_KEPT_H
#define JITCORE_VERIFIER_KEPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control.h"
#include "demand.h"
#include "state.h"

struct kept {
    struct kept *next;          /* of the bucket */
    uint64_t hash;
    uint32_t at;                /* instruction */
    uint32_t hits, misses;      /* comparisons */
    uint32_t position;          /* in the history */
    uint32_t pending;           /* paths that were to be explored when it was kept */
    struct verifier_state *state;
    struct demand demand;
};

/*
 * Of one instruction: the registers in which states there differ, as constants that proofs rest on.  The counters of
 * loops, mostly: states of different iterations then lie in different buckets.
 */
struct kept_place {
    uint16_t seen;              /* kept states */
    uint16_t counters;          /* the registers, once so many were seen that this can be said */
    uint8_t differs;            /* the register that told two states apart last (inclusion.h) */
    uint16_t changes[INSTRUCTION_REGISTERS];
    uint64_t last[INSTRUCTION_REGISTERS];
};

#define KEPT_TRIALS 64          /* states of a bucket that are looked at, the last ones added first */

struct kept_table {
    const struct control *control;              /* borrowed */
    struct kept_place *place;                   /* per instruction */
    struct kept **bucket;
    uint32_t buckets;           /* a power of two */
    uint64_t count;             /* of all states kept, here or not */
    struct pool pool;           /* where they are, and other states */
};

/* -ENOMEM.  Undo with kept_table_clear(). */
int kept_table_init(struct kept_table *table, const struct control *control, uint32_t instructions);
void kept_table_clear(struct kept_table *table);

/* A copy of the state.  It is not in the table yet, but counts.  NULL: no memory. */
struct kept *kept_new(struct kept_table *table, uint32_t at, const struct verifier_state *state);
void kept_free(struct kept_table *table, struct kept *kept);

/* All paths from it are explored: its demand is complete.  -ENOMEM: then it is freed. */
int kept_table_add(struct kept_table *table, struct kept *kept);

/*
 * Where those are that may include `state`, or be near it: two buckets, of which the second may be NULL.  They hold
 * others, too.
 */
void kept_table_find(struct kept_table *table, uint32_t at, const struct verifier_state *state,
                     struct kept **ret_buckets[2]);

/*
 * *link was compared in vain: it is freed if it was so often that it is in the way.  Returns the link to the next one.
 */
struct kept **kept_table_miss(struct kept_table *table, struct kept **link);

#endif
