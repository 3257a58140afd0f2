/* SPDX-License-Identifier: MIT */
/*
 * What differs between processors, behind one struct.  A new architecture is a folder beside x86_64 and one row
 * in architecture.c.
 */
#ifndef JITCORE_ARCHITECTURE_H
#define JITCORE_ARCHITECTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dispatcher.h"
#include "emitter.h"
#include "perfect_hash.h"

struct linkage;                 /* linkage.h */
struct verified;                /* verified.h: a program with what is proven of it */

/* Code that a hook's call goes on to: image offset, below 0 private code of each window. */
struct branch {
    uint32_t first, last;       /* keys, both included */
    uint32_t weight;            /* how often it is taken, relative to others */
    int64_t code;
};

/* What all other keys get: code, or a verdict at once. */
struct fallback {
    bool runs;
    int64_t code;               /* where it runs */
    uint64_t verdict;           /* else: all of the result's register */
};

/*
 * Code between an entry and its targets: a chain of several, or one that is counted; or what all other keys run, which
 * may have no target.
 */
struct chain {
    const struct dispatcher_target *target;
    size_t targets;
    bool is_fallback;           /* of all other keys: then there is a verdict, and misses are counted */
    uint64_t verdict;
    uint32_t miss_counters;     /* 0: not counted */
    int64_t counters_stub;
    uint64_t verdict_counter;   /* image offset of what emit_verdict_counter() made */
};

/* A slot that stands before what can be taken out of a chain, and where it then leads. */
struct skip {
    uint64_t slot, to;          /* image offsets */
};

/* Keys to code through a table: x86_64/jump.c. */
struct jump {
    enum dispatcher_shape shape;        /* not DISPATCHER_TREE */
    const struct branch *hot;   /* compared first, in this order; single keys */
    size_t hots;
    uint64_t table;             /* image offset, 64-byte aligned */
    uint64_t miss;              /* where all keys go that the table has not */
    struct perfect_hash hash;   /* HASH: {key, distance from the table << 32}, 8 bytes each; then displacements */
    uint32_t first, last;       /* DENSE: a slot that jumps for each key from `first` to `last`; */
    bool large;                 /* in a large table a distance, 8 bytes */
};

#define FILTER_SIZE 32          /* bytes */

struct architecture {
    const char *name;           /* "x86_64", "x86_64-v3" */

    /* Has the back end code for the helper that instruction `call` calls? */
    bool (*has_helper)(const struct verified *verified, uint32_t call);

    /*
     * Translate a program whose helpers it has, at the emitter's position; its constant regions follow.  Errors are
     * sticky in the emitter.
     */
    void (*emit_program)(struct emitter *emitter, const struct verified *verified);

    /*
     * A binary decision tree over `branches` (sorted, disjoint), weighted: heavy ones are found first, and the others
     * only a few comparisons later than in a tree of equal weights.
     */
    void (*emit_tree)(struct emitter *emitter, const struct branch *branches, size_t count,
                      const struct fallback *fallback);

    /*
     * One more key or range that gets `fallback`, in front of code that need not be touched: any other key goes on to
     * image offset `next`.  At most FILTER_SIZE bytes.
     */
    void (*emit_filter)(struct emitter *emitter, uint32_t first, uint32_t last, const struct fallback *fallback,
                        uint64_t next);

    /* All of the linkage, at the emitter's position. */
    void (*emit_linkage)(struct emitter *emitter, const struct linkage *linkage);

    /*
     * A chain.  skip[i] takes target i out (of several; not all of them), skip[targets] all of them (of a fallback);
     * only where that can be is there a slot.  skip may be NULL, else targets + 1 long, and is zeroed where there is no
     * slot.  The code begins at a multiple of SLOT_SIZE.
     */
    void (*emit_chain)(struct emitter *emitter, const struct chain *chain, struct skip *skip);

    /* What chains call that count verdicts. */
    void (*emit_verdict_counter)(struct emitter *emitter);

    /* The way through a table. */
    void (*emit_jump)(struct emitter *emitter, const struct jump *jump);

    /* Write the key into the thread's sample ring, and go on to image offset `next`.  At most IMAGE_GRANULE bytes. */
    void (*emit_sampler)(struct emitter *emitter, int64_t counters_stub, uint64_t next);

    /* What stands before a slot (a landing pad for indirect branches); keeps the slot 8-byte aligned. */
    void (*emit_landing)(struct emitter *emitter);

    /* A slot's quadword: fall through to the code behind it; jump from the slot at image offset `from` to `to`. */
    uint64_t (*slot_fall_through)(void);
    uint64_t (*slot_jump)(uint64_t from, uint64_t to);

    /* `to` of a slot that jumps. */
    uint64_t (*slot_target)(uint64_t from, uint64_t slot);

    /* The counter that counting code takes times from; it advances steadily. */
    uint64_t (*read_cycles)(void);

    /* Fill freed bytes with what stops a thread that executes them. */
    void (*poison)(void *write, size_t size);
};

/* The best that this processor runs; NULL if it has no back end. */
const struct architecture *architecture_native(void);

/* By name; NULL if unknown. */
const struct architecture *architecture_find(const char *name);

#endif
