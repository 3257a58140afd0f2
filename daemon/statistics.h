/* SPDX-License-Identifier: MIT */
/*
 * Statistics: what runs how often, and with which verdicts and times.
 *
 *      counter         something that is counted: a link, or a table's misses.  It has a place, the same in the
 *                      counters of every thread of every worker, and totals
 *      counted_lines   a worker's lines, as their counters are read (counted_lines.h)
 *
 * Generated code counts for its own thread, in counters behind the thread's line (layout.h, counters.h): no cache line
 * is shared, and where nothing is counted there is no code that could.  Who switches counting changes the tables' code
 * through the ordinary path (operation_statistics.c); here is who has which place, and the reading.
 *
 * The daemon reads the counters as they are, stopping nobody, and adds to the totals what has come since it last did:
 * every second (less often where there is very much to read: pace.h), when it is asked, and before a worker's
 * lines are forgotten.  The readings of every second are done in slices, 64 counters of one worker at a time, each as a
 * whole.  Totals are in the database after each reading and at the end.  So none of them ever falls, and
 *      a worker that ends loses nothing, if a daemon is there
 *      a daemon that stops loses nothing of workers that go on: it leaves word of how far it had read them
 *      one that is killed loses what is counted until its successor knows the worker, and up to a second that was
 *          not stored
 *      runs that are under way may be counted in one number and not yet in another
 *
 * One thread.
 */
#ifndef DAEMON_STATISTICS_H
#define DAEMON_STATISTICS_H

#include <stdbool.h>
#include <stdint.h>

struct counted_lines;
struct counter;
struct daemon;
struct lines;
struct sample;
struct statistics;
struct store;
struct totals_list;

/* -ENOMEM.  Reading begins with the first counter that has a place. */
int statistics_new(struct daemon *daemon, struct statistics **ret);
/* NULL is fine; returns NULL. */
struct statistics *statistics_free(struct statistics *statistics);

/*
 * Read the counters that were marked, now; and others near them.  A counter that gets a place is marked: before code
 * counts there it must be read, as what is there already is not its own.
 */
void statistics_mark(struct statistics *statistics, const struct counter *counter);
void statistics_read_marked(struct statistics *statistics);

/*
 * Read what is asked for in parts: each step reads some of the counters near this one, of one worker.  true: this counter
 * was read since the reading began.  Counters and workers may come and go between steps.
 */
struct statistics_reading;
int statistics_reading_new(struct statistics *statistics, struct statistics_reading **ret);        /* -ENOMEM */
struct statistics_reading *statistics_reading_free(struct statistics_reading *reading); /* NULL is fine; returns NULL */
bool statistics_reading_step(struct statistics_reading *reading, const struct counter *counter);

/* Read all counters, now. */
void statistics_read(struct statistics *statistics);
/* Write what has changed to the database: all; of programs and tables.  What cannot be written is logged, and tried again. */
void statistics_store_changed(struct statistics *statistics);
void statistics_store_totals(struct statistics *statistics);
/* All is restored.  What a database of version 4 did not say is made of what it did say, and stored. */
void statistics_restored(struct statistics *statistics);
struct totals_list *statistics_changed_totals(struct statistics *statistics);

/* Of the counter that times are counted in. */
uint64_t statistics_cycles_per_second(const struct statistics *statistics);

/* ---- counters ---- */

/*
 * Give a counter a place, where nothing is counted yet.  It is that of a link, or with `link` 0 of the misses of
 * `table` (a name, borrowed for as long as it has the place).  Fine if it has one.  -ENOSPC: COUNTERS_MAX have one;
 * -ENOMEM.
 */
int counter_place(struct statistics *statistics, struct counter *counter, int64_t link, const char *table);

/* What a table's misses have is another's, of this name, from now on: `to` is all zero, and `from` will be. */
void counter_hand_over(struct statistics *statistics, struct counter *from, struct counter *to, const char *table);

/* No thread counts there any more: others may have its place.  What was not read is lost.  Fine if it has none. */
void counter_release(struct statistics *statistics, struct counter *counter);

/* In a transaction: write it to the row of its link, or of its table (as for counter_place). */
int counter_store(struct store *store, const struct counter *counter, int64_t link, const char *table);
/* Read what was written, with its place if it is switched on.  -EBADMSG; -ENOMEM. */
int counter_restore(struct statistics *statistics, const char *text, int64_t link, const char *table,
                    struct counter *counter);

/* ---- samples ---- */

/*
 * Add the keys that threads have written to their sample rings since they were read before, one thread's a step.  false:
 * those of all were.  Begin when nobody writes any more: a step may be far from the last.  Workers may come and go.
 */
void statistics_samples_begin(struct statistics *statistics);
bool statistics_samples_step(struct statistics *statistics, struct sample *sample);

/* ---- workers ---- */

/*
 * Read these lines too (borrowed); fresh, text: as for counted_lines_new().  The result is the caller's to give back.
 * -ENOMEM.
 */
int statistics_add_lines(struct statistics *statistics, const struct lines *lines, bool fresh, const char *text,
                         struct counted_lines **ret);
/* Read them a last time, and free them.  NULL is fine; returns NULL. */
struct counted_lines *statistics_remove_lines(struct statistics *statistics, struct counted_lines *lines);

#endif
