/* SPDX-License-Identifier: MIT */
/*
 * Dispatching less without image memory: cases of a tree, hot keys and the rest are filtered; keys of a table are poked
 * out of it; targets of chains are skipped.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "body.h"

/* ---- comparing ---- */

static bool target_equal(const struct dispatcher_target *a, const struct dispatcher_target *b)
{
    return a->code == b->code && a->proceeds == b->proceeds && a->counters == b->counters && a->counted == b->counted &&
           a->jumped_to == b->jumped_to &&
           memcmp(a->proceed, b->proceed, a->proceeds * sizeof(a->proceed[0])) == 0;
}

/* Which of the chain's targets are none of `target`?  False: these are others, or more. */
static bool chain_gone(const struct chain_record *record, const struct dispatcher_target *target, size_t targets,
                       bool **ret, size_t *ret_count)
{
    size_t kept = 0;

    for (size_t i = 0; i < record->chain.targets; i++) {
        if (record->gone[i])
            continue;
        if (kept < targets && target_equal(&record->chain.target[i], &target[kept]))
            kept++;
        else
            ret[(*ret_count)++] = &record->gone[i];
    }
    return kept == targets;
}

static const struct dispatcher_case *find_case(const struct dispatcher *dispatcher, uint32_t first)
{
    for (size_t low = 0, high = dispatcher->count; low < high;) {
        size_t middle = (low + high) / 2;

        if (dispatcher->cases[middle].first == first)
            return &dispatcher->cases[middle];
        if (dispatcher->cases[middle].first < first)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* ---- collecting ---- */

struct removing {
    const struct body *body;
    const struct dispatcher *dispatcher;
    struct body_removal *removal;
    size_t matched;             /* cases of the dispatcher that the body has */
    bool differs;               /* something is not only gone */
};

static void change_slot(struct removing *r, uint64_t slot, uint64_t expect, uint64_t want)
{
    r->removal->change[r->removal->changes++] = (struct slot_change){ slot, expect, want };
}

/* One of the body's cases, single key or range, that leads to `code`: kept?  Notes which of its targets are gone. */
static bool keep(struct removing *r, uint32_t first, uint32_t last, int64_t code)
{
    const struct dispatcher_case *c = find_case(r->dispatcher, first);
    const struct chain_record *record = body_chain(r->body, code);

    if (!c)
        return false;
    r->matched++;
    if (c->last != last)
        r->differs = true;
    else if (record)
        r->differs |= !chain_gone(record, c->target, c->targets, r->removal->gone, &r->removal->gones);
    else
        r->differs |= c->targets != 1 || c->target->code != code || target_is_counted(c->target);
    return true;
}

static void keep_branches(struct removing *r)
{
    const struct body *body = r->body;

    for (size_t i = 0; i < body->branches; i++) {
        if (keep(r, body->branch[i].first, body->branch[i].last, body->branch[i].code))
            continue;
        r->removal->branch_gone[i] = true;
        r->removal->filter[r->removal->filters++] = body->branch[i];
    }
}

static void keep_key(struct removing *r, uint32_t key, uint64_t slot)
{
    const struct body *body = r->body;
    uint64_t value = body_place_read(body, slot);
    int64_t code = body_place_code(body, slot, value, key);

    if (code == (int64_t)body->miss || keep(r, key, key, code))
        return;
    r->removal->keys++;
    change_slot(r, slot, value, body_place_value(body, slot, key, (int64_t)body->miss));
}

static void keep_table(struct removing *r)
{
    const struct jump *jump = &r->body->jump;
    uint64_t slot = jump->table;

    for (uint64_t k = jump->first; jump->shape == DISPATCHER_DENSE && k <= jump->last; k++, slot += SLOT_SIZE)
        keep_key(r, (uint32_t)k, slot);
    for (uint64_t i = 0; jump->shape == DISPATCHER_HASH && i < UINT64_C(1) << jump->hash.bits; i++, slot += SLOT_SIZE)
        keep_key(r, (uint32_t)body_place_read(r->body, slot), slot);
}

static void keep_hot(struct removing *r)
{
    const struct jump *jump = &r->body->jump;

    for (size_t i = 0; i < jump->hots; i++) {
        if (find_case(r->dispatcher, jump->hot[i].first))
            continue;
        r->removal->hot_gone[i] = true;
        r->removal->filter[r->removal->filters++] = jump->hot[i];
    }
}

/* Targets that are gone, one chain after another. */
static void skip_targets(struct removing *r, const struct chain_record *record, size_t begin, size_t end,
                         struct skip *skip)
{
    const struct architecture *architecture = image_architecture(r->body->image);
    struct emitter emitter;

    if (begin == end)
        return;
    emitter_init(&emitter, NULL, 0, (uint64_t)record->code);
    architecture->emit_chain(&emitter, &record->chain, skip);
    for (size_t i = begin; i < end; i++) {
        size_t target = (size_t)(r->removal->gone[i] - record->gone);

        assert(skip[target].slot != 0);
        change_slot(r, skip[target].slot, architecture->slot_fall_through(),
                    architecture->slot_jump(skip[target].slot, skip[target].to));
    }
}

static bool is_gone_of(const struct chain_record *record, const bool *gone)
{
    return gone >= record->gone && gone < record->gone + record->chain.targets;
}

static void skip_chains(struct removing *r, struct skip *skip)
{
    size_t begin = 0, end;

    for (size_t c = 0; begin < r->removal->gones;) {
        /* Both are in the order of the cases, but for those of a table. */
        while (!is_gone_of(&r->body->chain[c], r->removal->gone[begin]))
            c = (c + 1) % r->body->chains;
        for (end = begin; end < r->removal->gones && is_gone_of(&r->body->chain[c], r->removal->gone[end]);)
            end++;
        skip_targets(r, &r->body->chain[c], begin, end, skip);
        begin = end;
    }
}

/* What all other keys run: some of it gone, or all. */
static void keep_otherwise(struct removing *r, struct skip *skip)
{
    const struct chain_record *record = &r->body->otherwise;
    struct body_removal *removal = r->removal;
    const struct architecture *architecture = image_architecture(r->body->image);
    size_t begin = removal->gones, left = 0;
    struct emitter emitter;

    for (size_t i = 0; i < record->chain.targets; i++)
        left += !record->gone[i];
    r->differs |= !chain_gone(record, r->dispatcher->otherwise, r->dispatcher->otherwises, removal->gone,
                              &removal->gones);
    if (removal->gones == begin || removal->gones - begin < left) {
        skip_targets(r, record, begin, removal->gones, skip);
        return;
    }
    if (!r->body->otherwise_emitted) {
        removal->otherwise = true;
        removal->filter[removal->filters++] = (struct branch){ 0, UINT32_MAX, 0, 0 };
        return;
    }
    emitter_init(&emitter, NULL, 0, (uint64_t)record->code);
    architecture->emit_chain(&emitter, &record->chain, skip);
    change_slot(r, skip[record->chain.targets].slot, architecture->slot_fall_through(),
                architecture->slot_jump(skip[record->chain.targets].slot, skip[record->chain.targets].to));
}

/* ---- making ---- */

static size_t count_targets(const struct body *body)
{
    size_t targets = body->otherwise.chain.targets;

    for (size_t c = 0; c < body->chains; c++)
        targets += body->chain[c].chain.targets;
    return targets;
}

/*
 * Cases first: where one is not only gone, or added, its chain may have none of the slots by which targets are skipped
 * (a single target that is counted stands behind none).
 */
static int collect(struct removing *r, struct skip *skip)
{
    const struct body *body = r->body;

    r->differs = r->dispatcher->default_verdict != body->otherwise.chain.verdict ||
                 r->dispatcher->miss_counters != body->miss_counters ||
                 (r->dispatcher->no_indirect && body->jump.shape != DISPATCHER_TREE);
    keep_branches(r);
    keep_table(r);
    keep_hot(r);
    if (r->differs || r->matched != r->dispatcher->count)
        return -ENOSPC;
    skip_chains(r, skip);
    keep_otherwise(r, skip);
    return r->differs || r->removal->filters + r->removal->changes == 0 ? -ENOSPC : 0;
}

int body_removal_new(const struct body *body, const struct dispatcher *dispatcher, struct body_removal *ret)
{
    size_t targets = count_targets(body);
    struct body_removal removal = {
        .filter = calloc(body_filters(body) + 1, sizeof(*removal.filter)),
        .change = calloc(body->keys + targets + 1, sizeof(*removal.change)),
        .branch_gone = calloc(body->branches + 1, sizeof(*removal.branch_gone)),
        .gone = calloc(targets + 1, sizeof(*removal.gone)),
    };
    struct removing r = { .body = body, .dispatcher = dispatcher, .removal = &removal };
    struct skip *skip = calloc(targets + 1, sizeof(*skip));
    int error = -ENOMEM;

    if (removal.filter && removal.change && removal.branch_gone && removal.gone && skip)
        error = collect(&r, skip);
    free(skip);
    if (error < 0)
        body_removal_done(&removal);
    else
        *ret = removal;
    return error;
}

void body_removal_apply(const struct body_removal *removal, struct body *body)
{
    size_t kept = 0;

    for (size_t i = 0; i < removal->gones; i++)
        *removal->gone[i] = true;
    for (size_t i = 0; i < body->branches; i++)
        if (!removal->branch_gone[i])
            body->branch[kept++] = body->branch[i];
    body->branches = kept;
    kept = 0;
    for (size_t i = 0; i < body->jump.hots; i++)
        if (!removal->hot_gone[i])
            body->hot[kept++] = body->hot[i];
    body->jump.hots = kept;
    body->keys -= removal->keys;
    if (removal->otherwise)
        body->fallback = (struct fallback){ .verdict = body->otherwise.chain.verdict };
}

void body_removal_done(struct body_removal *removal)
{
    free(removal->filter);
    free(removal->change);
    free(removal->branch_gone);
    free(removal->gone);
    *removal = (struct body_removal){ 0 };
}
