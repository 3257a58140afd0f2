/* SPDX-License-Identifier: MIT */
/*
 * All paths, one after the other, depth first.  States are kept where paths meet; a path that comes to a place in a
 * state that a kept one includes ends there.
 *
 * A kept state counts for that once all paths from it are explored: before, it is on the way to here.  If it is, and
 * equal, the program would go round forever, which is refused.  Where a helper calls back, a state on the way that
 * includes this one ends the path: the helper makes as many calls as it is told, and the proof of each is that of the
 * one before.
 */
#ifndef JITCORE_VERIFIER_EXPLORATION_H
#define JITCORE_VERIFIER_EXPLORATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "demand.h"
#include "kept.h"
#include "state.h"

struct analysis;

/* Where a path is still to be explored from. */
struct pending {
    struct verifier_state *state;
    uint32_t at;
    uint32_t steps;             /* history up to here */
    struct step step;           /* the last one, as it is on that path */
};

struct exploration {
    struct pending *pending;
    uint32_t pendings, pendings_room;
    struct kept_table kept;     /* explored states */
    struct kept **on_path;      /* the others, by position; one for each of analysis->milestones */
    uint32_t instructions_max;  /* to be processed */
    bool generalises;           /* states are made wider (generalisation.h); */
    bool generalised;           /* some were */
    uint32_t instructions, jumps;       /* since a state was kept on this path */
};

/* From the program's start, with the state there in analysis->state.  0 or negative errno. */
int exploration_run(struct analysis *analysis);

/*
 * This path forks: explore from `at`, too, later.  *ret: for the caller to change, before it forks again.  -ENOMEM,
 * -E2BIG.
 */
int exploration_fork(struct analysis *analysis, uint32_t at, struct pending **ret);

void exploration_clear(struct analysis *analysis);

#endif
