/* SPDX-License-Identifier: MIT */
/*
 * A call site for each way to call one of n targets, each n and each mix of keys: what a processor has learnt at one
 * tells it nothing about another.  All are the same loop, compiled and aligned alike, so that only the call differs.
 */
#ifndef BENCH_CALL_SITES_H
#define BENCH_CALL_SITES_H

#include <stdint.h>

#include "keys.h"
#include "target.h"

enum call_form {
    FORM_DIRECT,                /* a plain call of one target: what it would cost to have no hook */
    FORM_FNPTR,                 /* an array of function pointers, not checked and not protected */
    FORM_RCU_FNPTR,             /* a bounds-checked one that may be replaced at any time, under liburcu's membarrier
                                   read lock: the safe thing that a user would write instead */
    FORM_RETPOLINE,             /* the unchecked array, called through a retpoline */
    FORM_TREE,                  /* Linux's decision tree, called directly, not protected (kernel_tree.h) */
    FORM_DISPATCHD,             /* the hook */
    FORM_DISPATCHD_DIRECT,      /* the hook without indirect branches (DD_NO_INDIRECT) */
    FORM_STATIC_CALL,           /* a static call, set to one target */
    FORMS,
};

extern const char *const call_form_name[FORMS];

/* Call the targets of `count` keys and return the sum of the verdicts. */
typedef uint64_t call_loop(const uint32_t *keys, unsigned count, void *context);

struct call_site {
    uint32_t n;
    enum key_mix mix;
    const char *table, *direct_table;   /* the tables of the two forms of the hook */
    call_loop *loop[FORMS];
};

/* Every n, mix by mix. */
#define FOR_EACH_N(macro, mix)                                                                                 \
    macro(1, mix) macro(2, mix) macro(3, mix) macro(4, mix) macro(5, mix) macro(6, mix) macro(7, mix)          \
    macro(8, mix) macro(16, mix) macro(32, mix) macro(64, mix) macro(128, mix) macro(256, mix) macro(512, mix) \
    macro(1024, mix) macro(2048, mix) macro(4096, mix)
#define FOR_EACH_SITE(macro) \
    FOR_EACH_N(macro, HOT) FOR_EACH_N(macro, ZIPF) FOR_EACH_N(macro, UNIFORM) FOR_EACH_N(macro, SHIFT)

#define CALL_SITES_N 17
#define CALL_SITES (CALL_SITES_N * MIXES)

extern const struct call_site call_sites[CALL_SITES];

/* The static call's hook. */
#define STATIC_CALL_HOOK "bench_call"

/* Fill the tables that need no daemon. */
void call_sites_prepare(void);

/* The asm makes the loops of two sites different functions, which the compiler would merge otherwise. */
#define DEFINE_LOOP(form, n, mix, call)                                                                \
    __attribute__((noinline)) uint64_t loop_##form##_##n##_##mix(const uint32_t *keys, unsigned count, \
                                                                              void *context)           \
    {                                                                                                  \
        uint64_t sum = 0;                                                                              \
                                                                                                       \
        __asm__ volatile("" : : "i"((n) * MIXES + MIX_##mix));                                         \
        for (unsigned i = 0; i < count; i++)                                                           \
            sum += call(keys[i], context);                                                             \
        return sum;                                                                                    \
    }
#define DECLARE_LOOP(form, n, mix) call_loop loop_##form##_##n##_##mix;

#define DECLARE_DIRECT_LOOP(n, mix) DECLARE_LOOP(dispatchd_direct, n, mix)
FOR_EACH_SITE(DECLARE_DIRECT_LOOP)

#endif
