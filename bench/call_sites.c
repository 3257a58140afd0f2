/* SPDX-License-Identifier: MIT */
/* The ways to call, and their sites. */
#define _LGPL_SOURCE            /* liburcu's read lock inline, as its fastest users have it */
#define RCU_MEMBARRIER
#include <urcu.h>

#include "call_sites.h"

#include <stdlib.h>

#include <dispatchd.h>

#include "kernel_tree.h"
#include "measure.h"
#include "native.h"

#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* ---- the tables that need no daemon -------------------------------------------------------------------- */

struct rcu_table {
    uint32_t size;
    dd_entry *entry[];
};

/* These hold all targets: how many are called depends on the keys alone. */
static dd_entry *fnptr_table[KEYS_MAX];
static struct rcu_table *rcu_table;

/* Writable until their trees stand in them. */
#define DEFINE_TREE(n, unused) \
    static uint8_t tree_##n[KERNEL_TREE_SIZE(n)] __attribute__((aligned(KERNEL_TREE_ALIGNMENT)));
FOR_EACH_N(DEFINE_TREE, )

void call_sites_prepare(void)
{
    struct rcu_table *table = malloc(sizeof(*table) + KEYS_MAX * sizeof(table->entry[0]));

    if (!table)
        die("out of memory");
    table->size = KEYS_MAX;
    for (uint32_t key = 0; key < KEYS_MAX; key++)
        table->entry[key] = fnptr_table[key] = native_targets[key % TARGETS];
    rcu_assign_pointer(rcu_table, table);
#define MAKE_TREE(n, unused) kernel_tree_make(tree_##n, n, fnptr_table, TARGET_DEFAULT);
    FOR_EACH_N(MAKE_TREE, )
}

/* ---- forms --------------------------------------------------------------------------------------------- */

const char *const call_form_name[FORMS] = {
    "direct", "fnptr", "rcu_fnptr", "retpoline", "tree", "dispatchd", "dispatchd_direct", "static_call",
};

ALWAYS_INLINE uint32_t call_direct(uint32_t key, void *context)
{
    return native_00(context, key);
}

ALWAYS_INLINE uint32_t call_fnptr(uint32_t key, void *context)
{
    return fnptr_table[key](context, key);
}

ALWAYS_INLINE uint32_t call_rcu_fnptr(uint32_t key, void *context)
{
    uint32_t verdict = TARGET_DEFAULT;
    const struct rcu_table *table;

    rcu_read_lock();
    table = rcu_dereference(rcu_table);
    if (key < table->size && table->entry[key])
        verdict = table->entry[key](context, key);
    rcu_read_unlock();
    return verdict;
}

ALWAYS_INLINE uint32_t call_retpoline(uint32_t key, void *context)
{
    return native_retpoline(context, key, fnptr_table[key]);
}

static uint32_t call_default(void *context, uint32_t key)
{
    return TARGET_DEFAULT;
}

DD_CALL(bench_call, uint32_t(void *, uint32_t), call_default)

ALWAYS_INLINE uint32_t call_static(uint32_t key, void *context)
{
    return DD_INVOKE(bench_call, context, key);
}

#define CALL_TREE(n) ((dd_entry *)(uintptr_t)tree_##n)

/* ---- sites --------------------------------------------------------------------------------------------- */

#define DEFINE(n, mix)                                                                \
    DD_TABLE(bench_##n##_##mix, struct bench_context, TARGET_DEFAULT, DD_READ(value)) \
    ALWAYS_INLINE uint32_t call_tree_##n##_##mix(uint32_t key, void *context)         \
    {                                                                                 \
        return CALL_TREE(n)(context, key);                                            \
    }                                                                                 \
    static DEFINE_LOOP(direct, n, mix, call_direct)                                   \
    static DEFINE_LOOP(fnptr, n, mix, call_fnptr)                                     \
    static DEFINE_LOOP(rcu_fnptr, n, mix, call_rcu_fnptr)                             \
    static DEFINE_LOOP(retpoline, n, mix, call_retpoline)                             \
    static DEFINE_LOOP(tree, n, mix, call_tree_##n##_##mix)                           \
    static DEFINE_LOOP(dispatchd, n, mix, bench_##n##_##mix)                          \
    static DEFINE_LOOP(static_call, n, mix, call_static)
#define SITE(n, mix)                                                                                             \
    { n, MIX_##mix, "bench_" #n "_" #mix, "bench_direct_" #n "_" #mix,                                           \
      { loop_direct_##n##_##mix, loop_fnptr_##n##_##mix, loop_rcu_fnptr_##n##_##mix, loop_retpoline_##n##_##mix, \
        loop_tree_##n##_##mix, loop_dispatchd_##n##_##mix, loop_dispatchd_direct_##n##_##mix,                    \
        loop_static_call_##n##_##mix } },

FOR_EACH_SITE(DEFINE)

const struct call_site call_sites[CALL_SITES] = { FOR_EACH_SITE(SITE) };
