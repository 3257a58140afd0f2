/* SPDX-License-Identifier: MIT */
/*
 * When a table is sampled, and for how long: a short window where keys come all the time, longer ones where they come
 * seldom; and a table that is not called lets others have its turns.
 */
#ifndef DAEMON_SAMPLING_H
#define DAEMON_SAMPLING_H

#include <stdbool.h>
#include <stddef.h>

#define SAMPLING_WINDOW_MIN 1           /* milliseconds */
#define SAMPLING_WINDOW_MAX 64
#define SAMPLING_IDLE_MAX 15            /* turns that a table passes where no keys come */
#define SAMPLING_ENOUGH 256             /* keys; with fewer the table's next window is longer */

struct sampling {
    unsigned window_ms;                 /* of the next window */
    unsigned idle, skip;                /* turns that it passes, as no keys came; and how many of them are left */
};

#define SAMPLING_FIRST ((struct sampling){ .window_ms = SAMPLING_WINDOW_MIN })

/* It is the table's turn.  false: it passes. */
bool sampling_turn(struct sampling *sampling);

/* So many keys came in its window. */
void sampling_adapt(struct sampling *sampling, size_t keys);

#endif
