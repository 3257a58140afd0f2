/* SPDX-License-Identifier: MIT */
/*
 * What an entry dispatches: keys and ranges of keys to programs, and all other keys to a default.
 *
 *      dispatcher          cases, sorted and disjoint; what all other keys run; the plan
 *      dispatcher_case     a key or a range, and what it runs: one target or a chain
 *      dispatcher_target   one program or native
 *      dispatcher_plan     the shape of the code
 *
 * A chain's targets run in their order.  After one whose verdict is in its proceed set the next runs; the verdict of
 * the last one that ran is the hook's.
 *
 * Arrays are borrowed; whoever keeps one copies it.
 */
#ifndef JITCORE_DISPATCHER_H
#define JITCORE_DISPATCHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROCEED_MAX 8           /* verdicts in a proceed set */

/* What is counted when a target runs (counters.h). */
enum counted {
    COUNT_RUNS = 1,
    COUNT_VERDICTS = 2,
    COUNT_TIME = 4,
    COUNT_HISTOGRAM = 8,
};

/*
 * Called with the hook's arguments (of a table: context, key); returns a verdict.
 *
 * Verdicts and time are counted by code that stands between caller and target.  No such code may be there where the
 * target leaves the guard, as it cannot come back into the image, and where arguments are on the stack, as it would not
 * find them: such a target is jumped to, stands last, and is counted in its runs only.
 */
struct dispatcher_target {
    int64_t code;               /* image offset; below 0: private code of each window */
    uint32_t proceed[PROCEED_MAX];      /* distinct */
    unsigned proceeds;
    uint32_t counters;          /* offset of its counter_block in a thread's counters, bytes; 0: not counted */
    unsigned counted;           /* of enum counted */
    bool jumped_to;
};

static inline bool target_is_counted(const struct dispatcher_target *target)
{
    return target->counted != 0 && target->counters != 0;
}

struct dispatcher_case {
    uint32_t first, last;       /* both included */
    const struct dispatcher_target *target;
    size_t targets;             /* more than 0 */
    uint32_t weight;            /* how often it was seen, relative to the others of its table */
};

enum dispatcher_shape {
    DISPATCHER_TREE,            /* comparisons */
    DISPATCHER_HASH,            /* perfect hash, and one indirect jump */
    DISPATCHER_DENSE,           /* table of jumps by key, and one indirect jump */
};

/*
 * A table of jumps may have so many holes; keys that are further apart get a hash.  Where nothing is a single key there
 * is no table, but a tree.
 */
static inline bool dispatcher_is_dense(uint32_t first, uint32_t last, size_t keys)
{
    return last - first < 8 * (uint64_t)keys + 64;
}

#define DISPATCHER_HOT_MAX 4

struct dispatcher_plan {
    enum dispatcher_shape shape;
    unsigned hot;               /* keys compared before HASH and DENSE; ignored are those without a case of their own */
    uint32_t hot_key[DISPATCHER_HOT_MAX];       /* distinct, hottest first */
};

struct dispatcher {
    const struct dispatcher_case *cases;
    size_t count;
    const struct dispatcher_target *otherwise;  /* what all other keys run */
    size_t otherwises;          /* 0: they get default_verdict */
    uint64_t default_verdict;   /* all of the result's register: of a table 32 bits, of a static call any value */
    uint32_t miss_counters;     /* of all other keys; offset of a counter_block, 0: not counted */
    int64_t counters_stub;      /* code that answers with the thread's counters; needed where anything is counted */
    struct dispatcher_plan plan;
    bool no_indirect;           /* the plan is a tree, and nothing else may stay, even for want of room */
};

#endif
