/* SPDX-License-Identifier: MIT */
/*
 * What bench/maps measures: each operation by dispatchd's maps, and by what one would write instead.  All of it is made
 * before the processes are forked that use it together.
 */
#ifndef BENCH_MAP_WAYS_H
#define BENCH_MAP_WAYS_H

#include <stdbool.h>
#include <stdint.h>

#define PROCESSES_MAX 8

/* A process that measures: its number, and all keys of the tables, in an order of its own. */
struct bench_process {
    unsigned index;             /* below PROCESSES_MAX */
    const uint64_t *keys;
    uint32_t count;
    uint64_t sum;               /* of what was found, so that nothing can be left out */
    uint64_t refused;           /* operations that were answered with an error */
};

struct bench_way {
    const char *operation, *implementation;     /* as they stand in the output */
    bool waits;                 /* for other processes: then time spent waiting is measured too */
    void (*make)(const uint64_t *keys, uint32_t count);         /* once */
    void (*begin)(struct bench_process *process);       /* NULL, or in each process, before */
    void (*run)(struct bench_process *process);         /* the operation on each of the keys, once */
};

/* Ends with one whose operation is NULL.  Ways of the same operation stand together, dispatchd's first. */
extern const struct bench_way bench_ways[];

#endif
