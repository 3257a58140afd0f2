/* SPDX-License-Identifier: MIT */
/*
 * Bodies.  Emitted twice, as all code: first to size, from position 0, then in place; so each part begins at a multiple
 * of what it needs, and sizes do not depend on where targets are.
 *
 *      (verdict counter) (chains) (what all other keys run) | miss: slot, rest | table
 */
#include "body.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TABLE_ALIGN 64          /* bytes: data that is poked shares no cache line with code */
#define SLOTS_MAX 1024          /* a dense table of more keys holds distances */

/* ---- table ---- */

static uint64_t *quadword(const struct body *body, uint64_t slot)
{
    return image_write(body->image, slot);
}

bool body_place(const struct body *body, uint32_t key, uint64_t *ret_slot)
{
    switch (body->jump.shape) {
    case DISPATCHER_TREE:
        return false;
    case DISPATCHER_HASH:
        *ret_slot = body->jump.table + (uint64_t)perfect_hash_slot(&body->jump.hash, key) * SLOT_SIZE;
        return true;
    case DISPATCHER_DENSE:
        if (key < body->jump.first || key > body->jump.last)
            return false;
        *ret_slot = body->jump.table + (uint64_t)(key - body->jump.first) * SLOT_SIZE;
        return true;
    }
    return false;
}

/* Of a table of slots; else of distances. */
static bool has_slots(const struct jump *jump)
{
    return jump->shape == DISPATCHER_DENSE && !jump->large;
}

uint64_t body_place_value(const struct body *body, uint64_t slot, uint32_t key, int64_t code)
{
    uint64_t distance = (uint64_t)code - body->jump.table;

    if (has_slots(&body->jump))
        return image_architecture(body->image)->slot_jump(slot, (uint64_t)code);
    return body->jump.shape == DISPATCHER_HASH ? distance << 32 | key : distance;
}

int64_t body_place_code(const struct body *body, uint64_t slot, uint64_t value, uint32_t key)
{
    if (has_slots(&body->jump))
        return (int64_t)image_architecture(body->image)->slot_target(slot, value);
    if (body->jump.shape == DISPATCHER_DENSE)
        return (int64_t)(body->jump.table + value);
    return (uint32_t)value == key ? (int64_t)body->jump.table + (int32_t)(value >> 32) : (int64_t)body->miss;
}

uint64_t body_place_read(const struct body *body, uint64_t slot)
{
    return *quadword(body, slot);
}

static size_t table_slots(const struct jump *jump)
{
    return jump->shape == DISPATCHER_HASH ? (size_t)1 << jump->hash.bits : (size_t)(jump->last - jump->first) + 1;
}

static size_t table_size(const struct jump *jump)
{
    if (jump->shape == DISPATCHER_TREE)
        return 0;
    return table_slots(jump) * SLOT_SIZE +
           (jump->hash.bucket_bits > 0 ? sizeof(uint32_t) << jump->hash.bucket_bits : 0);
}

/* A free slot of a hash has key 0, which finds its way as all that miss do. */
static void clear_table(struct body *body)
{
    const struct jump *jump = &body->jump;
    size_t slots = table_slots(jump);

    for (uint64_t i = 0, at = jump->table; i < slots; i++, at += SLOT_SIZE)
        *quadword(body, at) = body_place_value(body, at, 0, (int64_t)body->miss);
    if (jump->hash.bucket_bits > 0)
        memcpy(quadword(body, jump->table + slots * SLOT_SIZE), jump->hash.displacement,
               sizeof(uint32_t) << jump->hash.bucket_bits);
}

static void enter_key(struct body *body, uint32_t key, int64_t code)
{
    uint64_t slot = 0;
    bool found = body_place(body, key, &slot);

    assert(found);
    *quadword(body, slot) = body_place_value(body, slot, key, code);
}

/* ---- chains ---- */

static bool case_has_chain(const struct dispatcher_case *c)
{
    return c->targets > 1 || target_is_counted(c->target);
}

/* So that the last target can be taken out, what other keys run stands behind a slot; alone it can be filtered. */
static bool otherwise_has_chain(const struct dispatcher *dispatcher)
{
    return dispatcher->miss_counters > 0 || dispatcher->otherwises > 1 ||
           (dispatcher->otherwises == 1 && (dispatcher->count > 0 || target_is_counted(dispatcher->otherwise)));
}

static void record_chain(struct body *body, size_t *used, const struct dispatcher_target *target, size_t targets,
                         struct chain_record *ret)
{
    *ret = (struct chain_record){ .gone = body->gone + *used };
    ret->chain.target = body->target + *used;
    ret->chain.targets = targets;
    ret->chain.counters_stub = body->counters_stub;
    if (targets > 0)
        memcpy(body->target + *used, target, targets * sizeof(*target));
    *used += targets;
}

static int record_chains(struct body *body, const struct dispatcher *dispatcher)
{
    size_t targets = dispatcher->otherwises, used = 0;

    for (size_t i = 0; i < dispatcher->count; i++)
        if (case_has_chain(&dispatcher->cases[i])) {
            body->chains++;
            targets += dispatcher->cases[i].targets;
        }
    body->chain = calloc(body->chains + 1, sizeof(*body->chain));
    body->target = calloc(targets + 1, sizeof(*body->target));
    body->gone = calloc(targets + 1, sizeof(*body->gone));
    if (!body->chain || !body->target || !body->gone)
        return -ENOMEM;
    for (size_t i = 0, c = 0; i < dispatcher->count; i++)
        if (case_has_chain(&dispatcher->cases[i]))
            record_chain(body, &used, dispatcher->cases[i].target, dispatcher->cases[i].targets, &body->chain[c++]);
    record_chain(body, &used, dispatcher->otherwise, dispatcher->otherwises, &body->otherwise);
    body->otherwise.chain.is_fallback = true;
    body->otherwise.chain.verdict = dispatcher->default_verdict;
    body->otherwise.chain.miss_counters = dispatcher->miss_counters;
    return 0;
}

static bool counts_verdicts(const struct chain *chain)
{
    for (size_t i = 0; i < chain->targets; i++)
        if (chain->target[i].counted & COUNT_VERDICTS)
            return true;
    return false;
}

const struct chain_record *body_chain(const struct body *body, int64_t code)
{
    for (size_t low = 0, high = body->chains; low < high;) {
        size_t middle = (low + high) / 2;

        if (body->chain[middle].code == code)
            return &body->chain[middle];
        if (body->chain[middle].code < code)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* ---- emitting ---- */

static void align(struct emitter *emitter, size_t to)
{
    while (emitter_position(emitter) % to != 0)
        emit_8(emitter, 0xcc);
}

static void emit_record(const struct body *body, struct emitter *emitter, uint64_t verdict_counter,
                        struct chain_record *record)
{
    align(emitter, SLOT_SIZE);
    record->chain.verdict_counter = verdict_counter;
    record->code = (int64_t)emitter_position(emitter);
    image_architecture(body->image)->emit_chain(emitter, &record->chain, NULL);
}

static void emit_chains(struct body *body, struct emitter *emitter)
{
    uint64_t verdict_counter = emitter_position(emitter);
    bool verdicts = counts_verdicts(&body->otherwise.chain);

    for (size_t c = 0; c < body->chains && !verdicts; c++)
        verdicts = counts_verdicts(&body->chain[c].chain);
    if (verdicts)
        image_architecture(body->image)->emit_verdict_counter(emitter);
    for (size_t c = 0; c < body->chains; c++)
        emit_record(body, emitter, verdict_counter, &body->chain[c]);
    if (!body->otherwise_emitted)
        return;
    emit_record(body, emitter, verdict_counter, &body->otherwise);
    body->fallback = (struct fallback){ .runs = true, .code = body->otherwise.code };
}

void body_emit_rest(const struct branch *rest, size_t count, const struct body *body, struct emitter *emitter)
{
    image_architecture(body->image)->emit_tree(emitter, rest, count, &body->fallback);
}

/* Codes of cases follow from where their chains are. */
static void resolve(struct body *body, const struct dispatcher *dispatcher, size_t i, size_t *chain, struct branch *ret)
{
    const struct dispatcher_case *c = &dispatcher->cases[i];

    *ret = (struct branch){ c->first, c->last, c->weight,
                            case_has_chain(c) ? body->chain[(*chain)++].code : c->target->code };
}

static bool in_table(const struct body *body, const struct dispatcher_case *c)
{
    if (body->jump.shape == DISPATCHER_TREE || c->first != c->last)
        return false;
    return body->jump.shape != DISPATCHER_HASH || !perfect_hash_left(&body->jump.hash, c->first);
}

static void emit_body(struct body *body, const struct dispatcher *dispatcher, struct emitter *emitter)
{
    struct branch branch;
    size_t chain = 0;

    emit_chains(body, emitter);
    body->branches = 0;
    for (size_t i = 0; i < dispatcher->count; i++) {
        resolve(body, dispatcher, i, &chain, &branch);
        if (!in_table(body, &dispatcher->cases[i]))
            body->branch[body->branches++] = branch;
    }
    if (body->jump.shape == DISPATCHER_TREE)
        return;
    align(emitter, SLOT_SIZE);
    body->miss = body->jump.miss = emitter_position(emitter);
    emit_64(emitter, image_architecture(body->image)->slot_fall_through());
    body_emit_rest(body->branch, body->branches, body, emitter);
    align(emitter, TABLE_ALIGN);
    body->jump.table = emitter_position(emitter);
}

static void fill_table(struct body *body, const struct dispatcher *dispatcher)
{
    struct branch branch;
    size_t chain = 0;

    clear_table(body);
    for (size_t i = 0; i < dispatcher->count; i++) {
        resolve(body, dispatcher, i, &chain, &branch);
        if (!in_table(body, &dispatcher->cases[i]))
            continue;
        enter_key(body, branch.first, branch.code);
        body->keys++;
    }
}

/* A hot key whose case is none of the table's is not compared. */
static void choose_hot(struct body *body, const struct dispatcher_plan *plan)
{
    uint64_t slot;
    int64_t code;

    for (unsigned i = 0; i < plan->hot; i++) {
        if (!body_place(body, plan->hot_key[i], &slot))
            continue;
        code = body_place_code(body, slot, body_place_read(body, slot), plan->hot_key[i]);
        if (code != (int64_t)body->miss)
            body->hot[body->jump.hots++] = (struct branch){ plan->hot_key[i], plan->hot_key[i], 0, code };
    }
    body->jump.hot = body->hot;
}

void body_emit_head(const struct body *body, struct emitter *emitter)
{
    if (body->jump.shape == DISPATCHER_TREE)
        body_emit_rest(body->branch, body->branches, body, emitter);
    else
        image_architecture(body->image)->emit_jump(emitter, &body->jump);
}

size_t body_head_size(const struct body *body)
{
    struct emitter emitter;

    emitter_init(&emitter, NULL, 0, body->offset == IMAGE_NONE ? 0 : body->offset);
    body_emit_head(body, &emitter);
    assert(emitter.error == 0);         /* an image is smaller than the reach of a branch */
    return emitter.size;
}

size_t body_filters(const struct body *body)
{
    bool otherwise = body->otherwise.chain.targets > 0 && !body->otherwise_emitted;

    return body->branches + body->jump.hots + otherwise;
}

/* ---- making ---- */

/* The plan's shape, unless the keys do not allow it. */
static int choose_shape(struct body *body, const struct dispatcher *dispatcher)
{
    struct jump *jump = &body->jump;
    size_t keys = 0;
    uint32_t *key;
    int r = 0;

    jump->shape = DISPATCHER_TREE;
    if (dispatcher->plan.shape == DISPATCHER_TREE)
        return 0;
    key = malloc((dispatcher->count + 1) * sizeof(*key));
    if (!key)
        return -ENOMEM;
    for (size_t i = 0; i < dispatcher->count; i++)
        if (dispatcher->cases[i].first == dispatcher->cases[i].last)
            key[keys++] = dispatcher->cases[i].first;
    if (keys > 0) {
        jump->first = key[0];
        jump->last = key[keys - 1];
        jump->shape = dispatcher_is_dense(jump->first, jump->last, keys) ? dispatcher->plan.shape : DISPATCHER_HASH;
    }
    jump->large = jump->last - jump->first >= SLOTS_MAX;
    if (jump->shape == DISPATCHER_HASH)
        r = perfect_hash_new(key, keys, &jump->hash);
    free(key);
    return r;
}

static struct body *body_free(struct body *body)
{
    if (!body)
        return NULL;
    perfect_hash_done(&body->jump.hash);
    free(body->branch);
    free(body->chain);
    free(body->target);
    free(body->gone);
    free(body);
    return NULL;
}

/* All but its place in the image. */
static int body_size_new(struct image *image, const struct dispatcher *dispatcher, struct body **ret)
{
    struct body *body = calloc(1, sizeof(*body));
    struct emitter emitter;
    int r;

    if (!body)
        return -ENOMEM;
    body->image = image;
    body->offset = body->rest = IMAGE_NONE;
    body->counters_stub = dispatcher->counters_stub;
    body->miss_counters = dispatcher->miss_counters;
    body->fallback = (struct fallback){ .verdict = dispatcher->default_verdict };
    body->otherwise_emitted = otherwise_has_chain(dispatcher);
    if (dispatcher->otherwises == 1)
        body->fallback = (struct fallback){ .runs = true, .code = dispatcher->otherwise->code };
    body->branch = malloc((dispatcher->count + 1) * sizeof(*body->branch));
    r = body->branch ? record_chains(body, dispatcher) : -ENOMEM;
    if (r >= 0)
        r = choose_shape(body, dispatcher);
    if (r < 0) {
        body_free(body);
        return r;
    }
    emitter_init(&emitter, NULL, 0, 0);
    emit_body(body, dispatcher, &emitter);
    body->size = emitter.size + table_size(&body->jump);
    *ret = body;
    return 0;
}

int body_new(struct image *image, const struct dispatcher *dispatcher, struct body **ret)
{
    struct body *body;
    struct emitter emitter;
    uint64_t offset = 0;
    int r;

    r = body_size_new(image, dispatcher, &body);
    if (r >= 0 && body->size > 0) {
        r = image_reserve(image, body->size, IMAGE_FRESH, &offset);
        if (r < 0)
            body_free(body);
    }
    if (r < 0)
        return r;
    if (body->size > 0) {
        body->offset = offset;
        emitter_init(&emitter, image_write(image, offset), body->size, offset);
        emit_body(body, dispatcher, &emitter);
        assert(emitter.error == 0);     /* it was sized before */
    }
    if (body->jump.shape != DISPATCHER_TREE) {
        body->rest_begin = body->branches;
        fill_table(body, dispatcher);
        choose_hot(body, &dispatcher->plan);
    }
    *ret = body;
    return 0;
}

/* Which hot keys it has is known when the table is; here those of the plan are taken for hot that may be. */
int body_measure(struct image *image, const struct dispatcher *dispatcher, struct body_measure *ret)
{
    struct body *body;
    int r;

    r = body_size_new(image, dispatcher, &body);
    if (r < 0)
        return r;
    if (body->jump.shape != DISPATCHER_TREE)
        for (unsigned i = 0; i < dispatcher->plan.hot; i++)
            body->hot[body->jump.hots++].first = dispatcher->plan.hot_key[i];
    body->jump.hot = body->hot;
    *ret = (struct body_measure){ body->size, body_head_size(body), body_filters(body) };
    body_free(body);
    return 0;
}

struct body *body_abort(struct body *body)
{
    if (body && body->offset != IMAGE_NONE)
        image_abort(body->image, body->offset);
    return body_free(body);
}

void body_commit(struct body *body)
{
    if (body->offset != IMAGE_NONE)
        image_commit(body->image, body->offset);
}

struct body *body_release(struct body *body)
{
    if (body && body->rest != IMAGE_NONE)
        image_release(body->image, body->rest);
    if (body && body->offset != IMAGE_NONE)
        image_release(body->image, body->offset);
    return body_free(body);
}
