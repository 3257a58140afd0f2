/* SPDX-License-Identifier: MIT */
/*
 * Planning: gives tables the shapes that fit the keys which come (planner.h decides).
 *
 * One table after another is sampled for a short window: a poke puts code in front of its own that writes each key
 * into the thread's sample ring, another takes it out again.  A millisecond later the keys are read, and if the planner
 * finds a plan that is worth the change, the table gets new code through the ordinary path.
 *
 *      pick a table -- sampler in -- window -- sampler out -- 1 ms -- keys -- plan -- perhaps new code
 *
 * Keys are hints: a thread that was stopped inside the sampler for longer writes one that the next table's sample has.  The
 * sampler itself waits for its grace period as all code does; only its own table's windows wait for that, once it has several.
 *
 * Outside its window a table pays nothing.  A window is a millisecond, and up to 64 for tables that are called seldom;
 * those that are not called in these pass up to 15 turns (sampling.h).
 * Plans are kept in the database, with how often the hottest keys came, so that a daemon that starts begins with them.
 *
 * One thread.
 */
#ifndef DAEMON_PLANNING_H
#define DAEMON_PLANNING_H

#include "daemon.h"

struct planning;

/* interval_ms: from one window to the next; 0: no table is ever planned.  -ENOMEM. */
int planning_new(struct daemon *daemon, unsigned interval_ms, struct planning **ret);
/* Takes a sampler out that is in.  NULL is fine; returns NULL. */
struct planning *planning_free(struct planning *planning);

/* What is known of a table's plan; NULL: nothing yet.  Owned by the table; freed with free(). */
struct planned;

/* The plan that is stored for a table, JSON, when its links are known.  What does not fit them any more is left out. */
void planning_restore(struct table *table, const char *text);

/* The keys of the last sample, at most PLANNING_KEYS of them; returns how many.  *ret is the table's. */
#define PLANNING_KEYS 4096
size_t planning_sample(const struct table *table, const uint32_t **ret);

/* The reply of Explain; the caller's. */
struct json_object *planning_view(const struct daemon *daemon, const struct table *table);

#endif
