/* SPDX-License-Identifier: MIT */
/*
 * What was counted, as numbers of the daemon: sums of what the threads of workers have in their counter blocks
 * (counters.h).
 *
 * The blocks are hostile input.  A worker that lies there makes these numbers wrong, and nothing else.
 */
#ifndef DAEMON_COUNTS_H
#define DAEMON_COUNTS_H

#include <stdbool.h>
#include <stdint.h>

#include <dispatchd/layout.h>

#include "counters.h"

struct json_object;

#define COUNTS_VERDICTS 16

/* All zero at first. */
struct counts {
    uint64_t runs;
    struct {
        uint32_t verdict;
        uint64_t count;
    } verdict[COUNTS_VERDICTS];         /* distinct, in the order in which they were first seen; they stay */
    unsigned verdicts;
    uint64_t other;                     /* runs with other verdicts */
    uint64_t timed, cycles;             /* runs that were timed; how long they took, by the time stamp counter */
    uint64_t bucket[COUNTER_BUCKETS];   /* as in a counter_block */
};

/* Add what one thread has counted, or another sum. */
void counts_add_block(struct counts *counts, const struct counter_block *block);
void counts_add(struct counts *counts, const struct counts *more);

/* A sum to be compared with an earlier one by counts_advance(): zero, with the verdicts of `earlier` in place. */
struct counts counts_after(const struct counts *earlier);

/*
 * Add to `total` what `now` has more than `seen`, and remember `now` as seen.  Whatever has become less counts as
 * nothing new.  Returns whether there was anything.
 */
bool counts_advance(struct counts *total, const struct counts *now, struct counts *seen);

#define COUNTERS_MAX ((DD_LINE_COUNTERS_SIZE - COUNTERS_BLOCKS) / sizeof(struct counter_block))

/* Something that is counted (statistics.h): a link, or a table's misses.  All zero at first; totals are the owner's to free. */
struct counter {
    uint32_t place;             /* of its counter_block in each thread's counters, bytes; 0: none */
    unsigned counted;           /* enum counted of dispatcher.h; 0: counting is off */
    unsigned inherited;         /* of a table's misses: what links get that are attached from now on */
    unsigned releases;          /* changes that switched it and are not released yet: it keeps its place */
    bool changed;               /* since the totals were stored */
    struct counts *totals;      /* NULL: it was never counted */
};

/* As the API shows them (type Counts of io.dispatchd.Control), and as they are stored.  The object is the caller's. */
struct json_object *counts_view(const struct counts *counts);

/* Read what counts_view() made.  What is missing is 0. */
void counts_read(struct json_object *view, struct counts *ret);

#endif
