/* SPDX-License-Identifier: MIT */
/*
 * Which shape a table's code should have, from keys that were seen.  A pure function: whoever calls it samples the
 * keys, applies the plan and keeps it.
 *
 * The model of what a call costs is in planner.c; doc/shapes.md says how far off it was.
 */
#ifndef JITCORE_PLANNER_H
#define JITCORE_PLANNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dispatcher.h"

#define PLANNER_SAMPLE_MIN 64   /* keys; fewer say nothing, and the plan goes by the number of cases alone */
#define PLANNER_SHAPES 3        /* enum dispatcher_shape */

struct planner_question {
    const struct dispatcher_case *cases;        /* as they are now; weights: those that a current tree was made by */
    size_t count;
    const uint32_t *key;        /* the sample, in the order in which the keys came */
    size_t keys;
    bool no_indirect;           /* trees only */
    const struct dispatcher_plan *current;      /* what stands now; NULL: nothing does, and there is no hysteresis */
};

struct planner_answer {
    struct dispatcher_plan plan;
    bool change;                /* is it worth a change?  false: plan is the current one */
    double cost[PLANNER_SHAPES];        /* expected nanoseconds a call, by shape; infinity: not allowed, or too large */
    double current_cost;        /* of the plan that stood when it was asked, under this sample */
    double misses;              /* share of the sample that no case takes, 0 to 1 */
    double distinct;            /* 2^entropy: the keys are as hard to predict as so many that come equally often */
    char reason[160];           /* one sentence, for explain */
};

/*
 * Answer.  weight[i], `question->count` of them, becomes how often case i was seen (for struct dispatcher_case).
 * -ENOMEM; then nothing was written.
 */
int planner_plan(const struct planner_question *question, struct planner_answer *ret, uint32_t *weight);

/* "tree", "hash", "dense"; and back, false if unknown. */
const char *dispatcher_shape_name(enum dispatcher_shape shape);
bool dispatcher_shape_find(const char *name, enum dispatcher_shape *ret);

#endif
