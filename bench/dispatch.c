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
 * keys share a target, in all cases alike.  For each N every case has a call site, and dispatchd a table, of its own.
 *
 * A round measures everything once, in rotating order, and the figure is the median of the rounds: so the samples of one
 * figure lie far apart, and a neighbour that is busy for a while disturbs a few of each and not all of some.
 *
 * A branch that has led to one target only is predicted faster than one that has led to several, and whether it still counts
 * as such depends on chance (a context switch may clear the predictor).  So each measurement begins with a pass over keys
 * without order: the table is in use, and then one key becomes hot.
 *
 * Every sum of verdicts is checked.
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
#define KEYS (1u << 16)         /* length of a sequence of keys */
#define REPEATS 8               /* passes over it, in one measurement */
#define KEY_MAX 4096
#define GOAL_COUNT 64           /* targets up to which the goal for a hot key holds */
#define GOAL 1.10               /* times rcu_fnptr */

struct rcu_table {
    uint32_t size;
    dd_entry *entry[];
};

static dd_entry *fnptr_table[KEY_MAX];
static struct rcu_table *rcu_table;

#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* ---- cases --------------------------------------------------------------------------------------------- */

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

ALWAYS_INLINE uint32_t call_direct(uint32_t key, void *context)
{
    return native_00(context, key);
}

enum { DIRECT, FNPTR, RCU_FNPTR, RETPOLINE, DISPATCHD, CASES };

static const char *const case_name[CASES] = { "direct", "fnptr", "rcu_fnptr", "retpoline", "dispatchd" };

/* The same loop for each case, aligned alike, so that only the call differs.  The asm makes the loops of two N different
 * functions, which the compiler would merge otherwise. */
#define DEFINE_RUN(name, n, call)                                                                                     \
    __attribute__((noinline, aligned(64))) static uint64_t run_##name##_##n(const uint32_t *sequence, void *context)  \
    {                                                                                                                 \
        uint64_t sum = 0;                                                                                             \
                                                                                                                      \
        __asm__ volatile("" : : "i"(n));                                                                              \
        for (unsigned i = 0; i < KEYS; i++)                                                                           \
            sum += call(sequence[i], context);                                                                        \
        return sum;                                                                                                   \
    }

/* Table bench_N, and the call sites for N targets. */
#define DEFINE_COUNT(n)                                                                     \
    DD_TABLE(bench_##n, struct bench_context, TARGET_DEFAULT, DD_READ(value))               \
    DEFINE_RUN(direct, n, call_direct)                                                     \
    DEFINE_RUN(fnptr, n, call_fnptr)                                                       \
    DEFINE_RUN(rcu_fnptr, n, call_rcu_fnptr)                                               \
    DEFINE_RUN(retpoline, n, call_retpoline)                                               \
    DEFINE_RUN(dispatchd, n, bench_##n)
#define COUNT(n) \
    { n, "bench_" #n, { run_direct_##n, run_fnptr_##n, run_rcu_fnptr_##n, run_retpoline_##n, run_dispatchd_##n } }

DEFINE_COUNT(1)
DEFINE_COUNT(4)
DEFINE_COUNT(16)
DEFINE_COUNT(64)
DEFINE_COUNT(256)
DEFINE_COUNT(1024)
DEFINE_COUNT(4096)

static const struct count {
    uint32_t targets;
    const char *table;
    uint64_t (*run[CASES])(const uint32_t *keys, void *context);
} counts[] = { COUNT(1), COUNT(4), COUNT(16), COUNT(64), COUNT(256), COUNT(1024), COUNT(4096) };

#define COUNTS ARRAY_LENGTH(counts)

/* ---- keys ---------------------------------------------------------------------------------------------- */

static uint64_t random_state = 0x9e3779b97f4a7c15;

static uint64_t random_next(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

/* Always one key, which is at no end or middle of anything. */
static void keys_hot(uint32_t n, uint32_t *ret_keys)
{
    for (unsigned i = 0; i < KEYS; i++)
        ret_keys[i] = n * 2 / 3;
}

static void keys_uniform(uint32_t n, uint32_t *ret_keys)
{
    for (unsigned i = 0; i < KEYS; i++)
        ret_keys[i] = (uint32_t)(random_next() % n);
}

/* Zipf's law with exponent 1.2; which key has which rank is random. */
static void keys_zipf(uint32_t n, uint32_t *ret_keys)
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
        ret_keys[i] = key_of_rank[low];
    }
}

enum { HOT, ZIPF, UNIFORM, DISTRIBUTIONS };

static const struct distribution {
    const char *name;
    void (*fill)(uint32_t n, uint32_t *ret_keys);
} distributions[DISTRIBUTIONS] = {
    [HOT] = { "hot", keys_hot },
    [ZIPF] = { "zipf", keys_zipf },
    [UNIFORM] = { "uniform", keys_uniform },
};

static uint32_t keys[COUNTS][DISTRIBUTIONS][KEYS];

static void keys_fill(void)
{
    for (size_t n = 0; n < COUNTS; n++)
        for (size_t d = 0; d < DISTRIBUTIONS; d++)
            distributions[d].fill(counts[n].targets, keys[n][d]);
}

/* ---- measuring ----------------------------------------------------------------------------------------- */

/* Nanoseconds a call, by round. */
static double samples[COUNTS][DISTRIBUTIONS][CASES][ROUNDS];

static uint64_t sum_expected(unsigned one, const uint32_t *sequence)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < KEYS; i++)
        sum += TARGET_VERDICT(one == DIRECT ? 0 : sequence[i] % TARGETS);
    return sum;
}

static double measure(size_t n, size_t distribution, unsigned one)
{
    const uint32_t *sequence = keys[n][distribution];
    uint64_t expected = sum_expected(one, sequence) * REPEATS, sum = 0, started, took;
    struct bench_context context = { 0 };

    counts[n].run[one](keys[n][UNIFORM], &context);
    counts[n].run[one](sequence, &context);
    started = now_ns();
    for (unsigned i = 0; i < REPEATS; i++)
        sum += counts[n].run[one](sequence, &context);
    took = now_ns() - started;
    if (sum != expected)
        die("%s, n = %u: the verdicts are wrong (sum %llu, expected %llu)", case_name[one], counts[n].targets,
            (unsigned long long)sum, (unsigned long long)expected);
    return (double)took / ((double)REPEATS * KEYS);
}

static void measure_round(unsigned round)
{
    for (size_t n = 0; n < COUNTS; n++)
        for (size_t d = 0; d < DISTRIBUTIONS; d++)
            for (unsigned i = 0; i < CASES; i++) {
                unsigned one = (round + i) % CASES;

                samples[n][d][one][round] = measure(n, d, one);
            }
}

/* ---- output -------------------------------------------------------------------------------------------- */

static void print_json(double ns[COUNTS][DISTRIBUTIONS][CASES])
{
    const char *separator = "[";

    for (size_t n = 0; n < COUNTS; n++)
        for (size_t d = 0; d < DISTRIBUTIONS; d++)
            for (unsigned one = 0; one < CASES; one++) {
                printf("%s{\"n\":%u,\"keys\":\"%s\",\"case\":\"%s\",\"ns\":%.3f}", separator, counts[n].targets,
                       distributions[d].name, case_name[one], ns[n][d][one]);
                separator = ",\n ";
            }
    puts("]");
}

static void print_table(double ns[COUNTS][DISTRIBUTIONS][CASES])
{
    printf("ns per call (times rcu_fnptr), median of %d rounds\n%5s  %-7s", ROUNDS, "n", "keys");
    for (unsigned one = 0; one < CASES; one++)
        printf("  %14s", case_name[one]);
    putchar('\n');
    for (size_t n = 0; n < COUNTS; n++)
        for (size_t d = 0; d < DISTRIBUTIONS; d++) {
            printf("%5u  %-7s", counts[n].targets, distributions[d].name);
            for (unsigned one = 0; one < CASES; one++)
                printf("  %7.2f (%4.2f)", ns[n][d][one], ns[n][d][one] / ns[n][d][RCU_FNPTR]);
            putchar('\n');
        }
}

static void print_goal(double ns[COUNTS][DISTRIBUTIONS][CASES])
{
    double worst = 0;

    for (size_t n = 0; n < COUNTS && counts[n].targets <= GOAL_COUNT; n++)
        worst = fmax(worst, ns[n][HOT][DISPATCHD] / ns[n][HOT][RCU_FNPTR]);
    printf("one hot key, n up to %d: dispatchd is at most %.2f times rcu_fnptr (the goal is %.2f)\n", GOAL_COUNT, worst, GOAL);
}

/* ---- main ---------------------------------------------------------------------------------------------- */

/* The measuring thread stays where it is, and ahead of other programs where that is allowed: else moves to another
 * processor and time in which others run would be measured too. */
static void pin(void)
{
    const struct sched_param priority = { .sched_priority = 1 };
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET((unsigned)sched_getcpu(), &set);
    sched_setaffinity(0, sizeof(set), &set);
    sched_setscheduler(0, SCHED_FIFO, &priority);
}

/* The native tables hold all targets: how many are called depends on the keys alone. */
static void native_fill(void)
{
    struct rcu_table *table = malloc(sizeof(*table) + KEY_MAX * sizeof(table->entry[0]));

    if (!table)
        die("out of memory");
    table->size = KEY_MAX;
    for (uint32_t key = 0; key < KEY_MAX; key++)
        table->entry[key] = fnptr_table[key] = native_targets[key % TARGETS];
    rcu_assign_pointer(rcu_table, table);
}

static void tables_attach(bool json)
{
    session_load(TARGETS);
    for (size_t n = 0; n < COUNTS; n++) {
        session_attach(counts[n].table, 0, counts[n].targets);
        if (!session_settle(counts[n].table) && !json)
            printf("n = %u: the table's code did not settle (it is larger than its home): one more jump a call\n",
                   counts[n].targets);
    }
}

static void tables_detach(void)
{
    for (size_t n = 0; n < COUNTS; n++)
        session_detach(counts[n].table);
    session_unload(TARGETS);
}

static void bench(bool json)
{
    double ns[COUNTS][DISTRIBUTIONS][CASES];

    for (unsigned round = 0; round < ROUNDS; round++)
        measure_round(round);
    for (size_t n = 0; n < COUNTS; n++)
        for (size_t d = 0; d < DISTRIBUTIONS; d++)
            for (unsigned one = 0; one < CASES; one++)
                ns[n][d][one] = median(samples[n][d][one], ROUNDS);
    if (json) {
        print_json(ns);
        return;
    }
    print_table(ns);
    print_goal(ns);
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
    native_fill();
    keys_fill();
    tables_attach(json);
    pin();
    rcu_register_thread();
    bench(json);
    rcu_unregister_thread();
    tables_detach();
    return 0;
}
