/* SPDX-License-Identifier: MIT */
/*
 * What an entry runs: a body, which stays where it was emitted until it is replaced, and a head, which can be emitted
 * anywhere and as often as needed.
 *
 *      head    tree, or hot keys and the way through a table: small, but for large trees
 *      body    chains, what all other keys run, table, and behind a table's miss the tree of what it has not (the rest)
 *
 *      tree    head: all cases by comparisons
 *      table   head: hot keys, jump by the table -> case, or miss -> rest: ranges, keys without a place -> default
 *
 * A body without chains and table takes no image memory.
 *
 *      body_new() -> body_commit() -> (a grace period after it was replaced) body_release()
 *                 -> body_abort()
 */
#ifndef JITCORE_BODY_H
#define JITCORE_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "architecture.h"
#include "dispatcher.h"
#include "image.h"
#include "poke.h"

/* A chain in the image: what was emitted, and which of its targets have been taken out since. */
struct chain_record {
    struct chain chain;         /* target: the body's copy */
    int64_t code;
    bool *gone;                 /* one a target */
};

struct body {
    struct image *image;
    uint64_t offset;            /* IMAGE_NONE: it takes no memory */
    size_t size;
    struct branch *branch;      /* tree: all cases; table: the rest.  Sorted */
    size_t branches;
    size_t rest_begin;          /* branches when the body was made */
    struct jump jump;           /* shape DISPATCHER_TREE: no table; hot keys are in `hot` */
    struct branch hot[DISPATCHER_HOT_MAX];
    size_t keys;                /* in the table */
    uint64_t miss;              /* slot in front of the rest */
    uint64_t rest;              /* the rest's code where it was replaced, IMAGE_NONE: behind the slot */
    struct fallback fallback;   /* what the code of all other keys is */
    struct chain_record otherwise;      /* what all other keys run */
    bool otherwise_emitted;     /* false: it stands in `fallback` alone */
    struct chain_record *chain; /* sorted by code */
    size_t chains;
    struct dispatcher_target *target;   /* storage of the chains */
    bool *gone;                 /* likewise */
    int64_t counters_stub;
    uint32_t miss_counters;
};

/* ---- body.c ---- */

/*
 * Reserve fresh bytes for the body of `dispatcher` (copied) and emit it.  Errors of image_reserve; -ENOMEM.  On error
 * nothing changed.
 */
int body_new(struct image *image, const struct dispatcher *dispatcher, struct body **ret);

/* What it would take: bytes of the body and of the head, and body_filters().  -ENOMEM. */
struct body_measure {
    size_t body, head, filters;
};
int body_measure(struct image *image, const struct dispatcher *dispatcher, struct body_measure *ret);
struct body *body_abort(struct body *body);
void body_commit(struct body *body);
struct body *body_release(struct body *body);

/* At the emitter's position. */
void body_emit_head(const struct body *body, struct emitter *emitter);
size_t body_head_size(const struct body *body);
void body_emit_rest(const struct branch *rest, size_t count, const struct body *body, struct emitter *emitter);

/* How many filters it takes to remove all cases without memory; what goes by a poke in the body needs none. */
size_t body_filters(const struct body *body);

/* The key's slot in the table; false: outside, or there is no table. */
bool body_place(const struct body *body, uint32_t key, uint64_t *ret_slot);

/* What stands in the slot where `key` leads to `code` (body->miss: nowhere). */
uint64_t body_place_value(const struct body *body, uint64_t slot, uint32_t key, int64_t code);

/* Where `key` leads by this value of its slot; body->miss if that is another key's, or nobody's. */
int64_t body_place_code(const struct body *body, uint64_t slot, uint64_t value, uint32_t key);
uint64_t body_place_read(const struct body *body, uint64_t slot);

const struct chain_record *body_chain(const struct body *body, int64_t code);

/* ---- body_removal.c ---- */

/* How a body comes to dispatch less without image memory. */
struct body_removal {
    struct branch *filter;      /* to stand in front; all get what all other keys get */
    size_t filters;
    bool otherwise;             /* a filter for all keys is the last of them */
    struct slot_change *change; /* in the body; there is room for one more */
    size_t changes;
    bool *branch_gone;          /* one for each of the body's branches */
    bool hot_gone[DISPATCHER_HOT_MAX];
    bool **gone;                /* targets of chains */
    size_t gones;
    size_t keys;                /* that leave the table */
};

/*
 * Does `dispatcher` differ from the body in nothing but that cases or targets are gone, one at least?  -ENOSPC: no;
 * -ENOMEM.
 */
int body_removal_new(const struct body *body, const struct dispatcher *dispatcher, struct body_removal *ret);
void body_removal_apply(const struct body_removal *removal, struct body *body);
void body_removal_done(struct body_removal *removal);

/* ---- body_edit.c ---- */

/* Single keys set or taken out in the table of a body that goes on. */
struct body_edit {
    struct slot_change *change; /* in their order; there is room for one more */
    size_t changes;
    struct branch *rest;        /* what replaces the rest; NULL: it stays */
    size_t rests;
    uint64_t rest_code;         /* before the commit the new one's, afterwards the old one's; IMAGE_NONE: none */
    bool head;                  /* hot keys changed: there must be a new head */
    struct branch hot[DISPATCHER_HOT_MAX];
    size_t hots;
    size_t keys;
};

/* -EOPNOTSUPP: not by edits; errors of image_reserve; -ENOMEM. */
int body_edit_new(const struct body *body, const struct dispatcher_case *edits, size_t count, struct body_edit *ret);
void body_edit_abort(struct body_edit *edit, struct image *image);
void body_edit_apply(struct body_edit *edit, struct body *body);        /* with the commit, after the pokes */
void body_edit_release(struct body_edit *edit, struct image *image);    /* after a grace period */

#endif
