/* SPDX-License-Identifier: MIT */
/*
 * A worker's lines (lines.h), as their counters and sample rings are read.
 *
 *      places          who has which place in the counters of every thread of every worker
 *      counted_lines   how far one worker's lines are read: the sum over all of them for each place, and the position in
 *                      each thread's sample ring
 *
 * Whatever has come since the last reading is added to the totals of who has the place (totals.h).  What a worker writes
 * is hostile: it makes these numbers wrong, and nothing else.  When to read, and what to do with the totals, is for
 * statistics.c to say.
 *
 * One thread.
 */
#ifndef DAEMON_COUNTED_LINES_H
#define DAEMON_COUNTED_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include <dispatchd/layout.h>

#include "counts.h"
#include "totals.h"

struct lines;
struct sample;

/* Places are read a chunk at a time: a whole table's would be 40 MB of each thread. */
#define PLACES_CHUNK 64
#define PLACES_CHUNKS ((COUNTERS_MAX + PLACES_CHUNK - 1) / PLACES_CHUNK)

/* Who has a place. */
struct place {
    struct counter *counter;    /* NULL: nobody */
    int64_t link;               /* 0: the misses of `table` */
    const char *table;
    bool fresh;                 /* what is counted there was not looked at yet, and is not this counter's */
};

/* Of all workers: their owner says who has a place, and empties `changed` when all of it is stored.  All zero at first. */
struct places {
    struct place place[COUNTERS_MAX];
    size_t used;                                /* no place from this one on is anybody's */
    struct totals_list changed;                 /* totals of programs and tables that are not stored as they are */
    struct counter_block block[PLACES_CHUNK];   /* of one line, as it is read */
    struct counts now[PLACES_CHUNK];            /* sums over the lines of one worker */
};

/* A counter's place (bytes from the beginning of a thread's counters) as an index of places, and back. */
size_t place_index(uint32_t place);
uint32_t index_place(size_t index);

/* The index behind the last place of a chunk that may be anybody's. */
size_t places_chunk_end(const struct places *places, size_t chunk);

struct counted_lines {
    LIST_ENTRY(counted_lines) entry;            /* its owner's */
    struct places *places;
    const struct lines *lines;
    struct counts *seen[PLACES_CHUNKS];         /* by place: the sum over all lines when it was last read; NULL: all 0 */
    uint64_t position[DD_LINES_MAX];            /* of each line's sample ring */
};

/*
 * Lines and places are borrowed.  fresh: all that is in the counters is new; otherwise all that is there already was
 * counted by the daemon before, but for what it says in `text`: it had read only so far.  -ENOMEM.
 */
int counted_lines_new(struct places *places, const struct lines *lines, bool fresh, const char *text,
                      struct counted_lines **ret);
/* Reads the counters a last time.  NULL is fine; returns NULL. */
struct counted_lines *counted_lines_free(struct counted_lines *lines);

/* Read a chunk of places: what has come since the last time.  Without memory it comes the next time. */
void counted_lines_advance(struct counted_lines *lines, size_t chunk);

/*
 * Add the keys that are new in the ring of the first thread from `*line` on that ever had any, and move `*line` behind it.
 * sample: NULL: they are nobody's.  false: those of all were read.
 */
bool counted_lines_sample(struct counted_lines *lines, uint32_t *line, struct sample *sample);

/* How far these lines are read, for the next daemon: JSON, the caller's.  NULL: nothing to say, or no memory. */
char *counted_lines_text(const struct counted_lines *lines);

#endif
