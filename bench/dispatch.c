/* SPDX-License-Identifier: MIT */
/*
 * What a hook call costs, in a worker that has joined a running daemon: the whole call, guard included, beside other
 * ways to call one of n targets (call_sites.h).
 *
 * All forms see the same keys and call targets from the same C source.  Key k has target k % 64, so beyond 64 keys
 * several keys share a target, in all forms alike.  The daemon's planner is on: all tables are called in turn until it
 * has looked at each of them, and it goes on while they are measured.
 *
 * A round measures everything once, in rotating order, and the figure is the median of the rounds: so the samples of
 * one figure lie far apart, and a neighbour that is busy for a while disturbs a few of each and not all of some.
 *
 * A branch that has led to one target only is predicted faster than one that has led to several, and whether it still
 * counts as such depends on chance (a context switch may clear the predictor).  So each measurement begins with a pass
 * over keys without order: the table is in use, and then one key becomes hot.
 *
 * The mix that shifts: each round is a second, at whose beginning other keys become the frequent ones; all forms are
 * called in turn until it is over.
 *
 * Every sum of verdicts is checked.
 */
#define _LGPL_SOURCE
#define RCU_MEMBARRIER
#include <urcu.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "call_sites.h"
#include "session.h"
#include "util.h"

#define ROUNDS 9
#define REPEATS 8               /* passes over the keys, in one measurement */
#define PARTS 4                 /* of the keys; a call of a loop takes whole parts */
#define PART (KEYS_LENGTH / PARTS)
#define SHIFT_NS 1000000000u
#define PLANNING_NS 60000000000u        /* the planner's time, at most */
#define PLANNING_INTERVAL "10"  /* milliseconds between two tables: the mixes that shift are seen in time */
#define PLANNING_KEYS 512       /* of each table in turn */

/* ---- keys ---------------------------------------------------------------------------------------------- */

static struct {
    uint32_t key[KEYS_LENGTH];
    uint64_t sum[PARTS];        /* of the verdicts */
} sequences[CALL_SITES];

static void fill_sequence(size_t site)
{
    keys_fill(call_sites[site].mix, call_sites[site].n, sequences[site].key);
    for (unsigned part = 0; part < PARTS; part++) {
        sequences[site].sum[part] = 0;
        for (unsigned i = part * PART; i < (part + 1) * PART; i++)
            sequences[site].sum[part] += TARGET_VERDICT(sequences[site].key[i] % TARGETS);
    }
}

static bool has_one_target(enum call_form form)
{
    return form == FORM_DIRECT || form == FORM_STATIC_CALL;
}

/* Call the targets of one part of the site's keys. */
static void call_part(size_t site, enum call_form form, unsigned part)
{
    struct bench_context context = { 0 };
    uint64_t sum = call_sites[site].loop[form](sequences[site].key + part * PART, PART, &context);
    uint64_t expected = has_one_target(form) ? (uint64_t)PART * TARGET_VERDICT(0) : sequences[site].sum[part];

    if (sum != expected)
        die("%s, n = %u: the verdicts are wrong (sum %llu, expected %llu)", call_form_name[form], call_sites[site].n,
            (unsigned long long)sum, (unsigned long long)expected);
}

static void call_all(size_t site, enum call_form form)
{
    for (unsigned part = 0; part < PARTS; part++)
        call_part(site, form, part);
}

/* ---- measuring ----------------------------------------------------------------------------------------- */

/* Nanoseconds a call, by round; then their median. */
static double samples[CALL_SITES][FORMS][ROUNDS];
static double result[CALL_SITES][FORMS];

static double measure(size_t site, enum call_form form)
{
    size_t uniform = MIX_UNIFORM * CALL_SITES_N + site % CALL_SITES_N;
    struct bench_context context = { 0 };
    uint64_t started;

    call_sites[site].loop[form](sequences[uniform].key, KEYS_LENGTH, &context);
    call_all(site, form);
    started = now_ns();
    for (unsigned i = 0; i < REPEATS; i++)
        call_all(site, form);
    return (double)(now_ns() - started) / ((double)REPEATS * KEYS_LENGTH);
}

static void measure_round(unsigned round)
{
    for (size_t site = 0; site < CALL_SITES; site++)
        for (unsigned i = 0; i < FORMS && call_sites[site].mix != MIX_SHIFT; i++) {
            enum call_form form = (round + i) % FORMS;

            samples[site][form][round] = measure(site, form);
        }
}

/* One part of every site in turn, so that the time between two parts of one hook's keys is short beside a second. */
static void measure_shift(unsigned round)
{
    static double took[CALL_SITES][FORMS];
    uint64_t end = now_ns() + SHIFT_NS, started;
    unsigned parts = 0;

    memset(took, 0, sizeof(took));
    for (size_t site = MIX_SHIFT * CALL_SITES_N; site < CALL_SITES; site++)
        fill_sequence(site);
    for (; parts == 0 || now_ns() < end; parts++)
        for (size_t site = MIX_SHIFT * CALL_SITES_N; site < CALL_SITES; site++)
            for (enum call_form form = 0; form < FORMS; form++) {
                started = now_ns();
                call_part(site, form, parts % PARTS);
                took[site][form] += (double)(now_ns() - started);
            }
    for (size_t site = MIX_SHIFT * CALL_SITES_N; site < CALL_SITES; site++)
        for (enum call_form form = 0; form < FORMS; form++)
            samples[site][form][round] = took[site][form] / ((double)parts * PART);
}

/* A table that the planner has seen no keys of; NULL: there is none.  One entry needs no plan. */
static const char *find_unplanned(void)
{
    for (size_t site = 0; site < CALL_SITES; site++) {
        if (call_sites[site].n == 1)
            continue;
        if (!session_planned(call_sites[site].table))
            return call_sites[site].table;
        if (!session_planned(call_sites[site].direct_table))
            return call_sites[site].direct_table;
    }
    return NULL;
}

/* Call all hooks in turn until the planner has seen each of them. */
static void plan(void)
{
    uint64_t end = now_ns() + PLANNING_NS, look = now_ns() + SHIFT_NS;
    struct bench_context context = { 0 };
    const char *unplanned = "";

    while (unplanned) {
        for (size_t site = 0; site < CALL_SITES; site++) {
            call_sites[site].loop[FORM_DISPATCHD](sequences[site].key, PLANNING_KEYS, &context);
            call_sites[site].loop[FORM_DISPATCHD_DIRECT](sequences[site].key, PLANNING_KEYS, &context);
        }
        if (now_ns() < look)
            continue;
        unplanned = find_unplanned();
        if (unplanned && now_ns() > end)
            die("the planner has not looked at table %s within a minute", unplanned);
        look = now_ns() + SHIFT_NS;
    }
}

/* ---- output -------------------------------------------------------------------------------------------- */

static void print_json(void)
{
    const char *separator = "[";

    for (size_t site = 0; site < CALL_SITES; site++)
        for (enum call_form form = 0; form < FORMS; form++) {
            printf("%s{\"n\":%u,\"keys\":\"%s\",\"case\":\"%s\",\"ns\":%.3f}", separator, call_sites[site].n,
                   key_mix_name[call_sites[site].mix], call_form_name[form], result[site][form]);
            separator = ",\n ";
        }
    puts("]");
}

static void print_table(unsigned rounds)
{
    printf("ns per call, median of %u rounds\n%5s  %-7s", rounds, "n", "keys");
    for (enum call_form form = 0; form < FORMS; form++)
        printf("  %16s", call_form_name[form]);
    puts("  shape");
    for (size_t site = 0; site < CALL_SITES; site++) {
        char shape[80];

        printf("%5u  %-7s", call_sites[site].n, key_mix_name[call_sites[site].mix]);
        for (enum call_form form = 0; form < FORMS; form++)
            printf("  %16.2f", result[site][form]);
        session_shape(call_sites[site].table, shape, sizeof(shape));
        printf("  %s\n", shape);
    }
}

static const struct goal {
    enum key_mix mix;
    uint32_t n_min, n_max;
    enum call_form form, base;
    double ratio;
} goals[] = {
    { MIX_HOT, 1, KEYS_MAX, FORM_DISPATCHD, FORM_FNPTR, 1.05 },
    { MIX_HOT, 1, KEYS_MAX, FORM_DISPATCHD, FORM_RCU_FNPTR, 0.9 },
    { MIX_ZIPF, 2, 8, FORM_DISPATCHD, FORM_FNPTR, 1.3 },
    { MIX_ZIPF, 16, KEYS_MAX, FORM_DISPATCHD, FORM_FNPTR, 1.15 },
    { MIX_UNIFORM, 2, 8, FORM_DISPATCHD, FORM_FNPTR, 1.3 },
    { MIX_UNIFORM, 16, KEYS_MAX, FORM_DISPATCHD, FORM_FNPTR, 1.2 },
    { MIX_HOT, 1, KEYS_MAX, FORM_DISPATCHD_DIRECT, FORM_RETPOLINE, 0.3 },
    { MIX_HOT, 1, KEYS_MAX, FORM_STATIC_CALL, FORM_DIRECT, 1.2 },
};

static void print_goal(const struct goal *goal)
{
    double worst = 0;
    uint32_t n = 0;

    for (size_t site = goal->mix * CALL_SITES_N; site < (goal->mix + 1u) * CALL_SITES_N; site++) {
        double ratio = result[site][goal->form] / result[site][goal->base];

        if (call_sites[site].n >= goal->n_min && call_sites[site].n <= goal->n_max && ratio > worst) {
            worst = ratio;
            n = call_sites[site].n;
        }
    }
    printf("%s, n from %u to %u: %s is at most %.2f times %s (n = %u); the goal is %.2f: %s\n", key_mix_name[goal->mix],
           goal->n_min, goal->n_max, call_form_name[goal->form], worst, call_form_name[goal->base], n, goal->ratio,
           worst <= goal->ratio ? "reached" : "missed");
}

/* ---- main ---------------------------------------------------------------------------------------------- */

static void hooks_attach(void)
{
    static uint32_t all_keys[KEYS_MAX];

    for (uint32_t key = 0; key < KEYS_MAX; key++)
        all_keys[key] = key;
    session_load(TARGETS);
    for (size_t site = 0; site < CALL_SITES; site++) {
        session_attach(call_sites[site].table, all_keys, call_sites[site].n, NULL);
        session_attach(call_sites[site].direct_table, all_keys, call_sites[site].n, NULL);
    }
    session_set_call(STATIC_CALL_HOOK);
}

static void bench(unsigned rounds, bool planned, bool json)
{
    for (size_t site = 0; site < CALL_SITES; site++)
        fill_sequence(site);
    if (planned)
        plan();
    pin_thread();
    for (unsigned round = 0; round < rounds; round++) {
        measure_round(round);
        measure_shift(round);
    }
    for (size_t site = 0; site < CALL_SITES; site++)
        for (enum call_form form = 0; form < FORMS; form++)
            result[site][form] = median(samples[site][form], rounds);
    if (json) {
        print_json();
        return;
    }
    print_table(rounds);
    for (size_t i = 0; i < ARRAY_LENGTH(goals); i++)
        print_goal(&goals[i]);
}

int main(int argc, char **argv)
{
    struct session_options options = { .planning_interval = PLANNING_INTERVAL };
    bool json = session_read_options(argc, argv,
                                     "Usage: bench/dispatch --daemon PROGRAM [--directory DIR] [--quick] [--json]\n"
                                     "What a hook call costs, beside other ways to call one of n targets.",
                                     &options);

    session_open(&options);
    call_sites_prepare();
    hooks_attach();
    rcu_register_thread();
    bench(options.quick ? 1 : ROUNDS, !options.quick, json);
    rcu_unregister_thread();
    return 0;
}
