/* SPDX-License-Identifier: MIT */
/*
 * When a table is sampled, and for how long: a short window where keys come all the time, longer ones where they come
 * seldom; and a table that is not called lets others have its turns.  And what is kept of the keys that came.
 */
#ifndef DAEMON_SAMPLING_H
#define DAEMON_SAMPLING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "counters.h"

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

/*
 * The keys of a window: of each thread as large a share as it had of the calls.  A ring keeps its thread's last 1,024
 * keys however many came, so each key that is here stands for `every` calls; what is too much for that, or for the room,
 * goes in blocks, as it also says something which key comes behind which.
 */
#define SAMPLE_MAX 16384

struct sample {
    uint32_t key[SAMPLE_MAX];
    size_t keys;
    uint64_t every;                     /* a power of 2 */
    uint64_t rest;                      /* calls that no key here stands for yet: fewer than `every` */
};

void sample_begin(struct sample *sample);
/* A thread's ring, in which so many keys are new.  Hostile. */
void sample_add(struct sample *sample, const struct sample_ring *ring, uint64_t fresh);

#endif
