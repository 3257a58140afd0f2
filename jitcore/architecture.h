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

#include "emitter.h"

struct verified;                /* verified.h: a program with what is proven of it */

struct dispatcher_case {
    uint32_t key;
    uint64_t target;            /* image offset of the code that this key runs */
};

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
     * A binary decision tree over `cases` (sorted by key, no key twice) that jumps to the target of its key, and returns
     * `default_verdict` for any other key.
     */
    void (*emit_tree)(struct emitter *emitter, const struct dispatcher_case *cases, size_t count,
                      uint32_t default_verdict);

    /*
     * One more key that gets `default_verdict`, in front of code that need not be touched: any other key goes on to
     * image offset `next`.  At most IMAGE_GRANULE bytes.
     */
    void (*emit_filter)(struct emitter *emitter, uint32_t key, uint32_t default_verdict, uint64_t next);

    /* What stands before a slot (a landing pad for indirect branches); keeps the slot 8-byte aligned. */
    void (*emit_landing)(struct emitter *emitter);

    /* A slot's quadword: fall through to the code behind it; jump from the slot at image offset `from` to `to`. */
    uint64_t (*slot_fall_through)(void);
    uint64_t (*slot_jump)(uint64_t from, uint64_t to);

    /* Fill freed bytes with what stops a thread that executes them. */
    void (*poison)(void *write, size_t size);
};

/* The best that this processor runs; NULL if it has no back end. */
const struct architecture *architecture_native(void);

/* By name; NULL if unknown. */
const struct architecture *architecture_find(const char *name);

#endif
