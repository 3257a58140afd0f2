/* SPDX-License-Identifier: MIT */
/*
 * What a hook call costs, in a worker that has joined a running daemon: the whole call, guard included, beside other ways to
 * call one of N targets.
 *
 *      direct      a plain call of one target: what it would cost to have no hook
 *      fnptr       an array of function pointers, not checked and not protected
 *      rcu_fnptr   a bounds-checked one that may be replaced at any time, under liburcu's membarrier read lock: the safe
 *                  thing that a user would write instead
 *      retpoline   the unchecked array, called through a retpoline
 *      dispatchd   the hook
 *
 * All cases see the same keys and call targets from the same C source.  Key k has target k % 64, so beyond 64 keys several
 * keys share a target, in all cases alike.  Each round measures every case once, in rotating order; the figure is the median
 * of the rounds.  Every sum of verdicts is checked.
 *
 * A branch that has led to one target only is predicted faster than one that has led to several, and whether it still counts
 * as such depends on chance (a context switch may clear the predictor).  So each measurement begins with a pass over mixed
 * keys: the table is in use, and then one key becomes hot.
 */
#define _LGPL_SOURCE            /* liburcu's read lock inline, as its fastest users have it */
#define RCU_MEMBARRIER
#include <urcu.h>

#include <getopt.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "native.h"
#include "session.h"
#include "util.h"

#define ROUNDS 9
#define KEYS (1u << 16)         /* length of the sequence of keys */
#define REPEATS 16              /* passes over it, in one measurement */
#define KEY_MAX 4096
#define GOAL_COUNT 64           /* targets up to which the goal for a hot key holds */

DD_TABLE(bench_dispatch, struct bench_context, TARGET_DEFAULT, DD_READ(value))

struct rcu_table {
    uint32_t size;
    dd_entry *entry[];
};

static dd_entry *fnptr_table[KEY_MAX];
static struct rcu_table *rcu_table;

/* ---- cases --------------------------------------------------------------------------------------------- */

static inline uint32_t call_fnptr(uint32_t key, void *context)
{
    return fnptr_table[key](context, key);
}

static inline uint32_t call_rcu_fnptr(uint32_t key, void *context)
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

static inline uint32_t call_retpoline(uint32_t key, void *context)
{
    return native_retpoline(context, key, fnptr_table[key]);
}

static inline uint32_t call_direct(uint32_t key, void *context)
{
    return native_00(context, key);
}

/* The same loop for each case, aligned alike, so that only the call differs. */
#define DEFINE_CASE(name, call)                                                                             \
    __attribute__((noinline, aligned(64))) static uint64_t run_##name(const uint32_t *keys, void *context)  \
    {                                                                                                       \
        uint64_t sum = 0;                                                                                   \
                                                                                                            \
        for (unsigned i = 0; i < KEYS; i++)                                                                 \
            sum += call(keys[i], context);                                                                  \
        return sum;                                                                                         \
    }
DEFINE_CASE(direct, call_direct)
DEFINE_CASE(fnptr, call_fnptr)
DEFINE_CASE(rcu_fnptr, call_rcu_fnptr)
DEFINE_CASE(retpoline, call_retpoline)
DEFINE_CASE(dispatchd, bench_dispatch)

enum { DIRECT, FNPTR, RCU_FNPTR, RETPOLINE, DISPATCHD, CASES };

static const struct bench_case {
    const char *name;
    uint64_t (*run)(const uint32_t *keys, void *context);
} cases[CASES] = {
    [DIRECT] = { "direct", run_direct },
    [FNPTR] = { "fnptr", run_fnptr },
    [RCU_FNPTR] = { "rcu_fnptr", run_rcu_fnptr },
    [RETPOLINE] = { "retpoline", run_retpoline },
    [DISPATCHD] = { "dispatchd", run_dispatchd },
};

/* ---- keys ---------------------------------------------------------------------------------------------- */

static uint64_t random_state = 0x9e3779b97f4a7c15;

static uint64_t random_next(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

/* Always the key in the middle. */
static void keys_hot(uint32_t n, uint32_t *keys)
{
    for (unsigned i = 0; i < KEYS; i++)
        keys[i] = n / 2;
}

static void keys_uniform(uint32_t n, uint32_t *keys)
{
    for (unsigned i = 0; i < KEYS; i++)
        keys[i] = (uint32_t)(random_next() % n);
}

/* Zipf's law with exponent 1.2; which key has which rank is random. */
static void keys_zipf(uint32_t n, uint32_t *keys)
{
    static double sum[KEY_MAX];
    static uint32_t key_of_rank[KEY_MAX];
    double total = 0;

    for (uint32_t rank = 0; rank < n; rank++) {
        uint32_t other = (uint32_t)(random_next() % (rank + 1));

        sum[rank] = total += pow(rank + 1, -1.2);
        key_of_rank[rank] = key_of_rank[other];
        key_of_rank[other] = rank;
    }
    for (unsigned i = 0; i < KEYS; i++) {
        double point = (double)(random_next() >> 11) / 0x1p53 * total;
        uint32_t low = 0, high = n - 1;

        while (low < high) {
            uint32_t middle = (low + high) / 2;

            if (sum[middle] < point)
                low = middle + 1;
            else
                high = middle;
        }
        keys[i] = key_of_rank[low];
    }
}

static const struct distribution {
    const char *name;
    void (*fill)(uint32_t n, uint32_t *keys);
} distributions[] = {
    { "hot", keys_hot },
    { "zipf", keys_zipf },
    { "uniform", keys_uniform },
};

/* ---- measuring ----------------------------------------------------------------------------------------- */

static uint64_t sum_expected(unsigned one, const uint32_t *keys)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < KEYS; i++)
        sum += TARGET_VERDICT(one == DIRECT ? 0 : keys[i] % TARGETS);
    return sum;
}

struct sequence {
    uint32_t keys[KEYS];        /* what is measured */
    uint32_t mixed[KEYS];       /* all keys, to begin with */
};

/* Nanoseconds a call. */
static double measure(unsigned one, const struct sequence *sequence)
{
    struct bench_context context = { 0 };
    uint64_t expected = sum_expected(one, sequence->keys) * REPEATS, sum = 0, started, took;

    cases[one].run(sequence->mixed, &context);
    cases[one].run(sequence->keys, &context);
    started = now_ns();
    for (unsigned i = 0; i < REPEATS; i++)
        sum += cases[one].run(sequence->keys, &context);
    took = now_ns() - started;
    if (sum != expected)
        die("%s: the verdicts are wrong (sum %llu, expected %llu)", cases[one].name, (unsigned long long)sum,
            (unsigned long long)expected);
    return (double)took / ((double)REPEATS * KEYS);
}

static void measure_all(const struct sequence *sequence, double ret_ns[CASES])
{
    double ns[CASES][ROUNDS];

    for (unsigned round = 0; round < ROUNDS; round++)
        for (unsigned i = 0; i < CASES; i++) {
            unsigned one = (round + i) % CASES;

            ns[one][round] = measure(one, sequence);
        }
    for (unsigned one = 0; one < CASES; one++)
        ret_ns[one] = median(ns[one], ROUNDS);
}

/* The native tables with n targets. */
static void native_set(uint32_t n)
{
    struct rcu_table *table = malloc(sizeof(*table) + n * sizeof(table->entry[0])), *old = rcu_table;

    if (!table)
        die("out of memory");
    table->size = n;
    for (uint32_t key = 0; key < n; key++)
        table->entry[key] = fnptr_table[key] = native_targets[key % TARGETS];
    rcu_assign_pointer(rcu_table, table);
    synchronize_rcu();
    free(old);
}

/* ---- output -------------------------------------------------------------------------------------------- */

static void title_print(bool json)
{
    if (json)
        return;
    printf("ns per call (times rcu_fnptr), median of %d rounds\n%5s  %-7s", ROUNDS, "n", "keys");
    for (unsigned one = 0; one < CASES; one++)
        printf("  %14s", cases[one].name);
    putchar('\n');
}

static void result_print(bool json, uint32_t n, const char *keys, const double ns[CASES])
{
    static const char *separator = "[";

    if (!json)
        printf("%5u  %-7s", n, keys);
    for (unsigned one = 0; one < CASES; one++)
        if (json) {
            printf("%s{\"n\":%u,\"keys\":\"%s\",\"case\":\"%s\",\"ns\":%.3f}", separator, n, keys, cases[one].name, ns[one]);
            separator = ",\n ";
        } else
            printf("  %7.2f (%4.2f)", ns[one], ns[one] / ns[RCU_FNPTR]);
    if (!json)
        putchar('\n');
    fflush(stdout);
}

/* ---- main ---------------------------------------------------------------------------------------------- */

/* The measuring thread stays where it is: a move to another processor would be measured too. */
static void pin(void)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET((unsigned)sched_getcpu(), &set);
    sched_setaffinity(0, sizeof(set), &set);
}

/* All distributions of keys with n targets.  Returns how many times rcu_fnptr dispatchd takes for the hot key. */
static double bench_count(bool json, uint32_t n)
{
    static struct sequence sequence;
    double hot = 0;

    keys_uniform(n, sequence.mixed);
    for (size_t i = 0; i < ARRAY_LENGTH(distributions); i++) {
        double ns[CASES];

        distributions[i].fill(n, sequence.keys);
        measure_all(&sequence, ns);
        result_print(json, n, distributions[i].name, ns);
        if (i == 0)
            hot = ns[DISPATCHD] / ns[RCU_FNPTR];
    }
    return hot;
}

static void bench(bool json)
{
    static const uint32_t counts[] = { 1, 4, 16, 64, 256, 1024, KEY_MAX };
    uint32_t attached = 0, unsettled = 0;
    double worst = 0;

    title_print(json);
    for (size_t i = 0; i < ARRAY_LENGTH(counts); i++) {
        double hot;

        native_set(counts[i]);
        session_attach("bench_dispatch", attached, counts[i]);
        attached = counts[i];
        if (!session_settle("bench_dispatch") && !unsettled)
            unsettled = attached;
        hot = bench_count(json, attached);
        if (attached <= GOAL_COUNT && hot > worst)
            worst = hot;
    }
    if (json)
        puts("]");
    else
        printf("one hot key, n up to %d: dispatchd is at most %.2f times rcu_fnptr (the goal is 1.10)\n", GOAL_COUNT, worst);
    if (!json && unsettled)
        printf("from n = %u on the table's code did not settle (it is larger than its home): one more jump a call\n", unsettled);
}

int main(int argc, char **argv)
{
    static const struct option table[] = {
        { "daemon", required_argument, NULL, 'd' },
        { "directory", required_argument, NULL, 'r' },
        { "socket-dir", required_argument, NULL, 's' },
        { "json", no_argument, NULL, 'j' },
        { "help", no_argument, NULL, 'h' },
        { 0 },
    };
    struct session_options options = { 0 };
    bool json = false;
    int letter;

    while ((letter = getopt_long(argc, argv, "", table, NULL)) >= 0)
        switch (letter) {
        case 'd':
            options.daemon = optarg;
            break;
        case 'r':
        case 's':
            options.directory = optarg;
            break;
        case 'j':
            json = true;
            break;
        case 'h':
            puts("Usage: bench/dispatch [--daemon PROGRAM [--directory DIR] | --socket-dir DIR] [--json]\n"
                 "What a hook call costs, beside other ways to call one of N targets.\n\n"
                 "  --daemon PROGRAM   start this dispatchd, with its files below DIR (default /var/tmp)\n"
                 "  --socket-dir DIR   use the one that has its sockets in DIR (default: the system's)\n"
                 "  --json             an array of {n, keys, case, ns}");
            return 0;
        default:
            return 1;
        }
    session_open(&options);
    session_load(TARGETS);
    pin();
    rcu_register_thread();
    bench(json);
    rcu_unregister_thread();
    session_detach("bench_dispatch");
    session_unload(TARGETS);
    return 0;
}
