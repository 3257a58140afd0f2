/* SPDX-License-Identifier: MIT */
/*
 * What maps cost, from 1 to 8 processes at once, beside what one would write instead: liburcu's hash table for lookups
 * (a copy of it in each process, as it cannot be shared), a table in shared memory behind a robust mutex for
 * updates, plain arrays.
 *
 * In a round each way is measured once with each number of processes, in turns; the figure is the median of the rounds:
 * nanoseconds for one operation of one process.  Where nobody waits for anybody it is time that the process has run, so
 * that other programs do not count; for updates by several it is the time from the first process's begin to the last
 * one's end, times the processors that were there for them, divided by all operations: so it needs a machine that is
 * idle otherwise.  Operations that were refused (-EBUSY) have cost time and do not count; their share is told.
 */
#include <getopt.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "map_ways.h"
#include "measure.h"
#include "util.h"

#define KEYS 10000
#define ROUNDS 11
#define OPERATIONS 200000       /* of one process in one round, about */
#define OPERATIONS_QUICK 1000
#define WAYS_MAX 16
#define HASH_GOAL 1.5           /* times rculfhash's */
#define ARRAY_GOAL 1.0          /* ns more than a C array's */

static const unsigned processes[] = { 1, 2, 4, 8 };

#define COUNTS ARRAY_LENGTH(processes)

static unsigned operations_wanted = OPERATIONS;
static double figures[WAYS_MAX][COUNTS][ROUNDS];
static double refused[WAYS_MAX][COUNTS][ROUNDS];        /* share of operations, 0 to 1 */

/* Where the processes of one measurement meet. */
static struct meeting {
    atomic_uint ready, go;
    struct {
        uint64_t begin_ns, end_ns, ran_ns, sum, refused;
    } process[PROCESSES_MAX];
} *meeting;

/* ---- keys ---- */

/* An order of the same keys for each process. */
static uint64_t *keys[PROCESSES_MAX];
static uint32_t key_count = KEYS;

static void keys_make(void)
{
    srandom(1);
    for (unsigned p = 0; p < PROCESSES_MAX; p++) {
        keys[p] = calloc(key_count, sizeof(*keys[p]));
        if (!keys[p])
            die("no memory");
        for (uint32_t i = 0; i < key_count; i++) {
            uint32_t j = (uint32_t)random() % (i + 1);

            keys[p][i] = keys[p][j];
            keys[p][j] = i * 0x9e3779b97f4a7c15;
        }
    }
}

/* ---- one measurement ---- */

__attribute__((noreturn))
static void child(const struct bench_way *way, unsigned index)
{
    struct bench_process process = { .index = index, .keys = keys[index], .count = key_count };
    unsigned turns = operations_wanted / key_count + 1;
    uint64_t ran;

    if (way->begin)
        way->begin(&process);
    way->run(&process);
    process.refused = 0;
    atomic_fetch_add(&meeting->ready, 1);
    while (!atomic_load(&meeting->go))
        sched_yield();
    meeting->process[index].begin_ns = now_ns();
    ran = thread_ns();
    for (unsigned turn = 0; turn < turns; turn++)
        way->run(&process);
    meeting->process[index].ran_ns = thread_ns() - ran;
    meeting->process[index].end_ns = now_ns();
    meeting->process[index].sum = process.sum;
    meeting->process[index].refused = process.refused;
    _exit(0);
}

static double evaluate(const struct bench_way *way, unsigned count, double *ret_refused)
{
    double all = (double)(operations_wanted / key_count + 1) * key_count * count, operations = all;
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    uint64_t begin = UINT64_MAX, end = 0, ran = 0;

    for (unsigned i = 0; i < count; i++) {
        ran += meeting->process[i].ran_ns;
        operations -= (double)meeting->process[i].refused;
        if (meeting->process[i].begin_ns < begin)
            begin = meeting->process[i].begin_ns;
        if (meeting->process[i].end_ns > end)
            end = meeting->process[i].end_ns;
    }
    *ret_refused = 1 - operations / all;
    if (!way->waits || count == 1)
        return (double)ran / operations;
    return (double)(end - begin) * (processors < (long)count ? (double)processors : count) / operations;
}

static double measure(const struct bench_way *way, unsigned count, double *ret_refused)
{
    memset(meeting, 0, sizeof(*meeting));
    for (unsigned i = 0; i < count; i++) {
        pid_t pid = fork();

        if (pid < 0)
            die("cannot fork");
        if (pid == 0)
            child(way, i);
    }
    while (atomic_load(&meeting->ready) < count)
        sched_yield();
    atomic_store(&meeting->go, 1);
    for (unsigned i = 0; i < count; i++) {
        int status;

        if (wait(&status) < 0 || status != 0)
            die("a process of %s by %s has failed (%#x)", way->operation, way->implementation, (unsigned)status);
    }
    return evaluate(way, count, ret_refused);
}

static void measure_all(unsigned rounds)
{
    for (unsigned round = 0; round < rounds; round++)
        for (size_t c = 0; c < COUNTS; c++)
            for (size_t w = 0; bench_ways[w].operation; w++)
                figures[w][c][round] = measure(&bench_ways[w], processes[c], &refused[w][c][round]);
}

/* ---- what comes out ---- */

static void print_json(void)
{
    const char *separator = "[";

    for (size_t w = 0; bench_ways[w].operation; w++)
        for (size_t c = 0; c < COUNTS; c++) {
            printf("%s{\"op\":\"%s\",\"impl\":\"%s\",\"procs\":%u,\"ns\":%.2f,\"refused\":%.6f}", separator, bench_ways[w].operation,
                   bench_ways[w].implementation, processes[c], figures[w][c][0], refused[w][c][0]);
            separator = ",\n ";
        }
    puts("]");
}

/*
 * Is the operation's goal reached with all numbers of processes?
 * `ours` is dispatchd's way, behind it stands the other.
 */
static bool goal_reached(size_t ours)
{
    for (size_t c = 0; c < COUNTS; c++) {
        double mine = figures[ours][c][0], other = figures[ours + 1][c][0];

        if (strcmp(bench_ways[ours].operation, "hash_lookup") == 0 ? mine > HASH_GOAL * other :
            strcmp(bench_ways[ours].operation, "array_lookup") == 0 ? mine > other + ARRAY_GOAL : mine >= other)
            return false;
    }
    return true;
}

static void print_goals(void)
{
    static const struct {
        size_t ours;
        const char *text;
    } goals[] = {
        { 0, "a hash lookup takes at most 1.5 times what rculfhash's takes" },
        { 2, "an array lookup takes at most 1 ns more than that of a C array" },
        { 4, "a hash update takes less than that of a table behind a mutex" },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(goals); i++)
        printf("%s: %s\n", goals[i].text, goal_reached(goals[i].ours) ? "reached" : "missed");
}

/* Of ways that wait: the others are never refused. */
static void print_refused(size_t w)
{
    printf("%-16s %-12s", "", "% refused");
    for (size_t c = 0; c < COUNTS; c++)
        printf(" %11.3f", 100 * refused[w][c][0]);
    putchar('\n');
}

static void print_table(unsigned rounds)
{
    printf("ns for one operation, median of %u rounds, %u keys of 8 bytes\n%-16s %-12s", rounds, key_count, "operation",
           "by");
    for (size_t c = 0; c < COUNTS; c++)
        printf(" %5u proc.", processes[c]);
    putchar('\n');
    for (size_t w = 0; bench_ways[w].operation; w++) {
        printf("%-16s %-12s", bench_ways[w].operation, bench_ways[w].implementation);
        for (size_t c = 0; c < COUNTS; c++)
            printf(" %11.2f", figures[w][c][0]);
        putchar('\n');
        if (bench_ways[w].waits)
            print_refused(w);
    }
    print_goals();
}

static void take_medians(unsigned rounds)
{
    for (size_t w = 0; bench_ways[w].operation; w++)
        for (size_t c = 0; c < COUNTS; c++) {
            figures[w][c][0] = median(figures[w][c], rounds);
            refused[w][c][0] = median(refused[w][c], rounds);
        }
}

static uint32_t read_number(const char *text, uint32_t low, uint32_t high)
{
    char *end;
    unsigned long number = strtoul(text, &end, 10);

    if (*end || number < low || number > high)
        die("%s is not a number from %u to %u", text, low, high);
    return (uint32_t)number;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "json", no_argument, NULL, 'j' },
        { "keys", required_argument, NULL, 'k' },
        { "quick", no_argument, NULL, 'q' },
        { "rounds", required_argument, NULL, 'r' },
        { "help", no_argument, NULL, 'h' },
        { 0 },
    };
    unsigned rounds = ROUNDS;
    bool json = false;

    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;)
        switch (option) {
        case 'j':
            json = true;
            break;
        case 'k':
            key_count = read_number(optarg, 4, 1000000) / 4 * 4;        /* programs take four at a time */
            break;
        case 'q':
            rounds = 1;
            operations_wanted = OPERATIONS_QUICK;
            break;
        case 'r':
            rounds = read_number(optarg, 1, ROUNDS);
            break;
        case 'h':
            puts("usage: maps [--keys N] [--rounds N] [--quick] [--json]\n"
                 "Lookups and updates of maps, beside liburcu's hash table, a table behind a mutex, C arrays.\n\n"
                 "  --keys N     how many keys the tables have, of 8 bytes (default 10000)\n"
                 "  --rounds N   how often everything is measured (default and most: 11)\n"
                 "  --quick      measure hardly anything, to see that it runs: the figures mean nothing\n"
                 "  --json       an array of {op, impl, procs, ns, refused}");
            return 0;
        default:
            return 1;
        }
    keys_make();
    meeting = mmap(NULL, sizeof(*meeting), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (meeting == MAP_FAILED)
        die("no memory");
    for (size_t w = 0; bench_ways[w].operation; w++)
        bench_ways[w].make(keys[0], key_count);
    measure_all(rounds);
    take_medians(rounds);
    if (json)
        print_json();
    else
        print_table(rounds);
    return 0;
}
