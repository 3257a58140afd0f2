/* SPDX-License-Identifier: MIT */
/*
 * What is proven of a program: made by the verifier (verifier.h), read by the compiler's back ends.  Facts hold on all
 * paths that were explored, which are all that can run.
 */
#ifndef JITCORE_VERIFIED_H
#define JITCORE_VERIFIED_H

#include <stdbool.h>
#include <stdint.h>

#include "bytecode.h"

enum verified_mark {
    VERIFIED_REACHED = 1 << 0,          /* some path executes it; the others are not translated */
    VERIFIED_SOURCE_32 = 1 << 1,        /* source register: the upper half is zero before the instruction */
    VERIFIED_DESTINATION_32 = 1 << 2,   /* destination register: likewise, before the instruction */
    VERIFIED_NO_WRAP = 1 << 3,          /* 32-bit arithmetic: the 64-bit operation would have the same result */
    VERIFIED_ALWAYS = 1 << 4,           /* a conditional jump that is always taken */
    VERIFIED_NEVER = 1 << 5,            /* a conditional jump that is never taken; with VERIFIED_ALWAYS: nobody comes */
};

#define VERIFIED_NO_REGION UINT32_MAX

struct verified {
    const struct bytecode *bytecode;    /* borrowed */
    uint8_t *mark;                      /* per instruction: enum verified_mark */
    uint32_t *region;                   /* per instruction: a helper call's map (index of the region), if it is the same
                                           on all paths; else VERIFIED_NO_REGION */
    uint32_t *map_kind;                 /* per instruction: the kind (enum bpf_map_type) of a helper call's maps, if it is
                                           the same on all paths; else 0 */
    uint32_t *stack;                    /* per function: bytes below R10 that it uses */
};

/* All instructions reached, nothing known, whole stacks: for programs that run unverified in tests.  -ENOMEM. */
int verified_assume(const struct bytecode *bytecode, struct verified *ret);

/* With nothing marked yet, for the verifier to fill.  -ENOMEM. */
int verified_new(const struct bytecode *bytecode, struct verified *ret);

/* What is zeroed is fine. */
void verified_clear(struct verified *verified);

#endif
