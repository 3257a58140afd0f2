/* SPDX-License-Identifier: MIT */
/* All paths, one after the other. */

#include "exploration.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "analysis.h"
#include "generalisation.h"
#include "inclusion.h"

/* A state is kept after so many instructions and jumps: more often costs more than it saves. */
#define KEEP_INSTRUCTIONS 4
#define KEEP_JUMPS 1
#define KEEP_INSTRUCTIONS_MAX 256       /* and even where no paths meet, after so many: a demand is carried back to
                                           the last kept state that knows of it, and straight code may be long */
#define STATE_BYTES_MAX ((size_t)384 << 20)     /* of the pool of kept and pending states */
#define ENDLESS_TRIALS 4        /* the last states of the path that are tried for an endless loop */
#define GENERALISE_MISSES 2     /* explored states that do not include this one before it is generalised */
#define GENERALISE_TRIALS 8     /* explored states that are tried for it */
#define LOOP_EXACT_CALLS 3      /* calls back after which numbers that change become unknown */

static int check_memory(struct analysis *analysis)
{
    if (analysis->exploration.kept.pool.bytes <= STATE_BYTES_MAX)
        return 0;
    return message_limit(analysis, "make loops shorter, or use the helper bpf_loop",
                         "more than %zu MiB of states to look at or to compare with", STATE_BYTES_MAX >> 20);
}

/* ---- paths to be explored ---- */

int exploration_fork(struct analysis *analysis, uint32_t at, struct pending **ret)
{
    struct exploration *exploration = &analysis->exploration;
    struct pending *pending;

    if (exploration->pendings == exploration->pendings_room) {
        uint32_t room = exploration->pendings_room ? exploration->pendings_room * 2 : 256;

        pending = realloc(exploration->pending, room * sizeof(*pending));
        if (!pending)
            return -ENOMEM;
        exploration->pending = pending;
        exploration->pendings_room = room;
    }
    pending = &exploration->pending[exploration->pendings];
    *pending = (struct pending){
        state_save(&exploration->kept.pool, &analysis->state), at, analysis->history.steps, *analysis_step(analysis),
    };
    if (!pending->state)
        return -ENOMEM;
    exploration->pendings++;
    *ret = pending;
    return check_memory(analysis);
}

/* Go on with the last path; 0 if there is none.  Kept states from which it does not come are explored now.  -ENOMEM. */
static int resume(struct analysis *analysis)
{
    struct exploration *exploration = &analysis->exploration;
    struct pending *pending;
    int r;

    if (exploration->pendings == 0)
        return 0;
    pending = &exploration->pending[exploration->pendings - 1];
    while (analysis->milestones.count > 0) {
        struct kept *kept = exploration->on_path[analysis->milestones.count - 1];

        if (kept->pending < exploration->pendings)
            break;
        analysis->milestones.count--;
        r = kept_table_add(&exploration->kept, kept);
        if (r < 0)
            return r;
    }
    exploration->pendings--;
    state_load(&analysis->state, pending->state);
    state_give_back(&exploration->kept.pool, pending->state);
    analysis->at = pending->at;
    analysis->history.steps = pending->steps;
    *analysis_step(analysis) = pending->step;
    exploration->instructions = KEEP_INSTRUCTIONS;
    exploration->jumps = KEEP_JUMPS;
    return 1;
}

/* ---- kept states on the path ---- */

static int put_on_path(struct analysis *analysis, struct kept *kept)
{
    struct exploration *exploration = &analysis->exploration;
    struct milestones *milestones = &analysis->milestones;

    if (milestones->count == milestones->room) {
        uint32_t room = milestones->room ? milestones->room * 2 : 256;
        struct milestone *milestone = realloc(milestones->milestone, room * sizeof(*milestone));
        struct kept **on_path;

        if (!milestone)
            return -ENOMEM;
        milestones->milestone = milestone;
        on_path = realloc(exploration->on_path, room * sizeof(struct kept *));
        if (!on_path)
            return -ENOMEM;
        exploration->on_path = on_path;
        milestones->room = room;
    }
    exploration->on_path[milestones->count] = kept;
    milestones->milestone[milestones->count++] = (struct milestone){ kept->position, &kept->demand };
    return 0;
}

static int keep(struct analysis *analysis)
{
    struct exploration *exploration = &analysis->exploration;
    struct kept *kept;
    int r = check_memory(analysis);

    if (r < 0)
        return r;
    kept = kept_new(&exploration->kept, analysis->at, &analysis->state);
    if (!kept)
        return -ENOMEM;
    kept->position = analysis->history.steps;
    kept->pending = exploration->pendings;
    r = put_on_path(analysis, kept);
    if (r < 0) {
        kept_free(&exploration->kept, kept);
        return r;
    }
    if (exploration->kept.count > analysis->statistics.states)
        analysis->statistics.states = exploration->kept.count;
    exploration->instructions = exploration->jumps = 0;
    return 0;
}

void exploration_clear(struct analysis *analysis)
{
    struct exploration *exploration = &analysis->exploration;

    free(exploration->pending);
    free(exploration->on_path);
    kept_table_clear(&exploration->kept);
}

/* ---- helpers that call back ---- */

/* Was it kept in an earlier call of a callback that is still under way?  That will be looked at when it returns. */
static bool is_in_earlier_call(const struct analysis *analysis, const struct kept *kept)
{
    for (uint32_t f = 0; f + 1 < analysis->state.depth; f++) {
        const struct loop *loop = &analysis->state.frame[f]->loop;

        if (loop->calls > 0 && kept->position >= loop->since && kept->position < loop->latest)
            return true;
    }
    return false;
}

/* If the helper at hand has called back already: the state in which it was before its last call.  NULL: it has not. */
static struct kept *find_earlier_call(const struct analysis *analysis)
{
    const struct loop *loop = &state_top(&analysis->state)->loop;

    if (loop->calls == 0)
        return NULL;
    for (uint32_t i = analysis->milestones.count; i-- > 0;) {
        struct kept *kept = analysis->exploration.on_path[i];

        if (kept->position < loop->since)
            break;
        if (kept->at == analysis->at && kept->state->depth == analysis->state.depth)
            return kept;
    }
    return NULL;
}

static void widen_value(const struct value *before, struct value *now)
{
    if (value_is_number(before) && value_is_number(now) && !scalar_includes(&before->number, &now->number))
        *now = value_unknown();
}

/* Numbers that change from call to call become unknown, so that the calls come to an end here. */
static void widen(struct analysis *analysis, const struct verifier_state *before)
{
    for (uint32_t f = 0; f < before->depth; f++) {
        const struct frame *old = before->frame[f];
        struct frame *new = analysis->state.frame[f];

        for (unsigned reg = 0; reg < INSTRUCTION_REGISTERS - 1; reg++)
            widen_value(&old->reg[reg], &new->reg[reg]);
        for (uint32_t slot = 0; slot < old->slots && slot < new->slots; slot++)
            if (old->slot[slot].written && new->slot[slot].written)
                widen_value(&old->slot[slot].value, &new->slot[slot].value);
    }
}

/* Before a helper calls back, perhaps again. */
static void prepare_call_back(struct analysis *analysis, const struct kept *earlier)
{
    struct loop *loop = &state_top(&analysis->state)->loop;

    if (loop->calls == 0)
        loop->since = analysis->history.steps;
    if (loop->calls >= LOOP_EXACT_CALLS && earlier)
        widen(analysis, earlier->state);
}

/* ---- pruning ---- */

static bool includes(struct analysis *analysis, const struct verifier_state *outer,
                     const struct verifier_state *inner, const struct demand *demand)
{
    return inclusion_holds(&analysis->control, analysis->at, outer, inner, demand,
                           &analysis->exploration.kept.place[analysis->at].differs);
}

/* What the rest of the proof rests on is now demanded of this path, too. */
static void prune(struct analysis *analysis, struct kept *kept, struct demand demand)
{
    kept->hits++;
    analysis->statistics.pruned++;
    demand_carry(analysis->bytecode, &analysis->history, &analysis->milestones, analysis->history.steps, &demand);
    message_log(analysis, "covered by a state seen before");
}

/* The call before covers this one.  What its proof rests on is not complete: it may be everything. */
static void prune_call(struct analysis *analysis, struct kept *earlier)
{
    struct demand demand = { 0 };

    demand_everything(&demand, &analysis->state);
    prune(analysis, earlier, demand);
}

/* The greatest one that is not above n > 0. */
static uint32_t power_of_two(uint32_t n)
{
    return UINT32_C(1) << (31 - __builtin_clz(n));
}

static bool is_same(struct analysis *analysis, const struct kept *kept)
{
    return kept->at == analysis->at && !is_in_earlier_call(analysis, kept) &&
           includes(analysis, kept->state, &analysis->state, NULL) &&
           includes(analysis, &analysis->state, kept->state, NULL);
}

/*
 * Has the program come back to where it was, in a state that is no different?  The last states of the path are tried,
 * and, for longer ways round, the one whose number is the last power of two: as the path grows, it comes to lie on the
 * circle, and stays there for a whole round (R. Brent, "An improved Monte Carlo factorization algorithm", 1980).
 */
static int check_endless(struct analysis *analysis)
{
    uint32_t count = analysis->milestones.count, first = count > ENDLESS_TRIALS ? count - ENDLESS_TRIALS : 0;
    bool same = count > 0 && is_same(analysis, analysis->exploration.on_path[power_of_two(count) - 1]);

    for (uint32_t i = first; i < count && !same; i++)
        same = is_same(analysis, analysis->exploration.on_path[i]);
    if (!same)
        return 0;
    return message_refuse(analysis, "infinite-loop", "count the iterations, and end the loop at a constant number",
                          "the program comes here again in a state that is no different: the loop may never end");
}

/* Does one of these explored states cover this one?  *misses: add those that do not. */
static bool is_covered_by(struct analysis *analysis, struct kept **bucket, unsigned *misses)
{
    bool exact = analysis->options && analysis->options->exact;
    struct kept **link = bucket, *kept;
    unsigned trials = 0;

    while ((kept = *link) && trials < KEPT_TRIALS) {
        if (kept->at != analysis->at) {
            link = &kept->next;
            continue;
        }
        if (includes(analysis, kept->state, &analysis->state, exact ? NULL : &kept->demand)) {
            facts_note_cover(analysis, kept->state, &kept->demand);
            prune(analysis, kept, kept->demand);
            return true;
        }
        link = kept_table_miss(&analysis->exploration.kept, link);
        trials++;
        ++*misses;
    }
    return false;
}

static bool try_generalise(struct analysis *analysis, const struct kept *first)
{
    unsigned trials = 0;

    for (const struct kept *kept = first; kept && trials < GENERALISE_TRIALS; kept = kept->next)
        if (kept->at == analysis->at && trials++ < GENERALISE_TRIALS &&
            generalise(&analysis->control, analysis->at, kept->state, &kept->demand, &analysis->state)) {
            analysis->exploration.generalised = true;
            message_log(analysis, "generalised");
            return true;
        }
    return false;
}

/* Is the state explored already, perhaps after it was generalised? */
static bool is_explored(struct analysis *analysis)
{
    struct exploration *exploration = &analysis->exploration;
    struct kept **buckets[2];
    unsigned misses = 0;
    bool covered = false;

    kept_table_find(&exploration->kept, analysis->at, &analysis->state, buckets);
    for (int i = 1; i >= 0 && !covered; i--)
        covered = buckets[i] && is_covered_by(analysis, buckets[i], &misses);
    if (exploration->generalises && misses >= GENERALISE_MISSES)
        for (int i = 1; i >= 0 && !covered; i--)
            covered = buckets[i] && try_generalise(analysis, *buckets[i]) &&
                      is_covered_by(analysis, buckets[i], &misses);
    return covered;
}

static bool is_worth_keeping(const struct exploration *exploration)
{
    return exploration->instructions >= KEEP_INSTRUCTIONS && exploration->jumps >= KEEP_JUMPS;
}

/* Paths meet here.  1: this one ends.  0: it goes on. */
static int meet(struct analysis *analysis)
{
    bool calls_back = control_calls_back(analysis_instruction(analysis));
    struct kept *earlier = calls_back ? find_earlier_call(analysis) : NULL;
    int r;

    if (calls_back)
        prepare_call_back(analysis, earlier);
    if (earlier && includes(analysis, earlier->state, &analysis->state, NULL)) {
        prune_call(analysis, earlier);
        return 1;
    }
    if (is_explored(analysis))
        return 1;
    r = earlier ? 0 : check_endless(analysis);
    if (r < 0)
        return r;
    return calls_back || is_worth_keeping(&analysis->exploration) ? keep(analysis) : 0;
}

/* ---- the way ---- */

/* 0, or ANALYSIS_ENDS. */
static int step(struct analysis *analysis)
{
    const struct verifier_options *options = analysis->options;
    uint32_t max = analysis->exploration.instructions_max;
    int r;

    if (analysis->control.meets[analysis->at]) {
        r = meet(analysis);
        if (r != 0)
            return r < 0 ? r : ANALYSIS_ENDS;
    } else if (analysis->exploration.instructions >= KEEP_INSTRUCTIONS_MAX) {
        r = keep(analysis);
        if (r < 0)
            return r;
    }
    if (analysis->statistics.processed >= max)
        return message_limit(analysis, "make loops shorter, or use the helper bpf_loop",
                             "more than %u instructions to look at, over all paths", max);
    analysis->statistics.processed++;
    analysis->exploration.instructions++;
    analysis->exploration.jumps += instruction_is_jump(analysis_instruction(analysis));
    if (options && options->observe)
        options->observe(options->userdata, analysis->at, &analysis->state);
    message_log_state(analysis);
    r = history_append(&analysis->history, analysis->at, (uint8_t)analysis_frame(analysis));
    if (r < 0)
        return r;
    facts_note(analysis);
    return analysis_process(analysis);
}

int exploration_run(struct analysis *analysis)
{
    int r;

    do {
        do
            r = step(analysis);
        while (r == ANALYSIS_GOES_ON);
        r = r < 0 ? r : resume(analysis);
    } while (r > 0);
    return r;
}
