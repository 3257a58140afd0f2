/* SPDX-License-Identifier: MIT */
/*
 * Editing a table in place: a key whose place in the table is free, or its own, costs one poke.  One whose place is
 * taken goes to the rest, which is emitted anew; when too many have gone there, the table is better built again.
 *
 * Pokes are made in this order, so that a key which goes from one place to another, or from a range to a case of its
 * own, is never without its old or its new target: what is set in the table, the rest, what leaves the table.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "body.h"

#define EDITS_MAX 256           /* at once: beyond, a new table is not much dearer */

/* Keys in the rest for want of a place: they are emitted again with each that comes, a new table costs all keys. */
#define REST_MAX(keys) (32 + (keys) / 64)

static bool is_removal(const struct dispatcher_case *edit)
{
    return edit->targets == 0;
}

static bool is_plain(const struct dispatcher_case *edit)
{
    return edit->first == edit->last &&
           (is_removal(edit) || (edit->targets == 1 && !target_is_counted(edit->target)));
}

/* ---- the rest ---- */

/* Where `key` is in the rest, or would be. */
static size_t find_rest(const struct branch *rest, size_t count, uint32_t key)
{
    size_t low = 0, high = count;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (rest[middle].last < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool is_at(const struct branch *rest, size_t count, size_t i, uint32_t key)
{
    return i < count && rest[i].first == key && rest[i].last == key;
}

/* Its own copy, with room for each edit. */
static int copy_rest(const struct body *body, struct body_edit *edit, size_t edits)
{
    if (edit->rest)
        return 0;
    edit->rest = malloc((body->branches + edits) * sizeof(*edit->rest));
    if (!edit->rest)
        return -ENOMEM;
    if (body->branches > 0)
        memcpy(edit->rest, body->branch, body->branches * sizeof(*edit->rest));
    edit->rests = body->branches;
    return 0;
}

static int set_rest(const struct body *body, struct body_edit *edit, size_t edits, const struct dispatcher_case *c)
{
    int r = copy_rest(body, edit, edits);
    size_t i;

    if (r < 0)
        return r;
    i = find_rest(edit->rest, edit->rests, c->first);
    if (is_removal(c)) {
        memmove(&edit->rest[i], &edit->rest[i + 1], (--edit->rests - i) * sizeof(*edit->rest));
        return 0;
    }
    if (!is_at(edit->rest, edit->rests, i, c->first)) {
        memmove(&edit->rest[i + 1], &edit->rest[i], (edit->rests++ - i) * sizeof(*edit->rest));
        if (edit->rests > body->rest_begin + REST_MAX(body->keys))
            return -EOPNOTSUPP;
    }
    edit->rest[i] = (struct branch){ c->first, c->first, c->weight, c->target->code };
    return 0;
}

static int emit_rest(const struct body *body, struct body_edit *edit)
{
    const struct architecture *architecture = image_architecture(body->image);
    struct emitter emitter;
    uint64_t old = body->rest == IMAGE_NONE ? architecture->slot_fall_through()
                                            : architecture->slot_jump(body->miss, body->rest);
    int r;

    if (!edit->rest)
        return 0;
    emitter_init(&emitter, NULL, 0, 0);
    body_emit_rest(edit->rest, edit->rests, body, &emitter);
    r = image_reserve(body->image, emitter.size, IMAGE_FRESH, &edit->rest_code);
    if (r < 0)
        return r;
    emitter_init(&emitter, image_write(body->image, edit->rest_code), emitter.size, edit->rest_code);
    body_emit_rest(edit->rest, edit->rests, body, &emitter);
    assert(emitter.error == 0);
    edit->change[edit->changes++] =
        (struct slot_change){ body->miss, old, architecture->slot_jump(body->miss, edit->rest_code) };
    return 0;
}

/* ---- the table ---- */

/* What the slot will hold after the changes so far. */
static uint64_t read_slot(const struct body *body, const struct body_edit *edit, uint64_t slot)
{
    for (size_t i = edit->changes; i-- > 0;)
        if (edit->change[i].slot == slot)
            return edit->change[i].want;
    return body_place_read(body, slot);
}

/* Does the slot lead nowhere, or lead `key` somewhere? */
static bool has_room(const struct body *body, uint64_t slot, uint64_t value, uint32_t key)
{
    return body_place_code(body, slot, value, key) != (int64_t)body->miss ||
           body_place_code(body, slot, value, (uint32_t)value) == (int64_t)body->miss;
}

static void poke_place(const struct body *body, struct body_edit *edit, uint64_t slot, uint32_t key, int64_t code)
{
    uint64_t value = read_slot(body, edit, slot), want = body_place_value(body, slot, key, code);
    bool was = body_place_code(body, slot, value, key) != (int64_t)body->miss, is = code != (int64_t)body->miss;

    if (value != want)
        edit->change[edit->changes++] = (struct slot_change){ slot, value, want };
    edit->keys = edit->keys + is - was;
}

static int set_key(const struct body *body, struct body_edit *edit, size_t edits, const struct dispatcher_case *c)
{
    size_t i = find_rest(body->branch, body->branches, c->first);
    uint64_t slot;

    if (is_at(body->branch, body->branches, i, c->first))
        return set_rest(body, edit, edits, c);
    if (i < body->branches && body->branch[i].first <= c->first)
        return -EOPNOTSUPP;             /* a range has it */
    if (!body_place(body, c->first, &slot) || !has_room(body, slot, read_slot(body, edit, slot), c->first))
        return set_rest(body, edit, edits, c);
    poke_place(body, edit, slot, c->first, c->target->code);
    return 0;
}

/* A key that is nowhere is removed already. */
static int remove_key(const struct body *body, struct body_edit *edit, size_t edits, const struct dispatcher_case *c)
{
    uint64_t slot;

    if (is_at(body->branch, body->branches, find_rest(body->branch, body->branches, c->first), c->first))
        return set_rest(body, edit, edits, c);
    return body_place(body, c->first, &slot) ? 0 : -EOPNOTSUPP;
}

static void poke_removals(const struct body *body, struct body_edit *edit, const struct dispatcher_case *edits,
                          size_t count)
{
    uint64_t slot;

    for (size_t i = 0; i < count; i++)
        if (is_removal(&edits[i]) && body_place(body, edits[i].first, &slot) &&
            body_place_code(body, slot, read_slot(body, edit, slot), edits[i].first) != (int64_t)body->miss)
            poke_place(body, edit, slot, edits[i].first, (int64_t)body->miss);
}

/* A hot key that is replaced stays hot; one that is removed is none. */
static void edit_hot(struct body_edit *edit, const struct dispatcher_case *c)
{
    for (size_t i = 0; i < edit->hots; i++) {
        if (edit->hot[i].first != c->first)
            continue;
        edit->head = true;
        if (!is_removal(c))
            edit->hot[i].code = c->target->code;
        else
            memmove(&edit->hot[i], &edit->hot[i + 1], (--edit->hots - i) * sizeof(edit->hot[0]));
        return;
    }
}

/* ---- making ---- */

static int make_edit(const struct body *body, const struct dispatcher_case *edits, size_t count, struct body_edit *edit)
{
    int r = 0;

    for (size_t i = 0; i < count && r >= 0; i++) {
        if (!is_plain(&edits[i]))
            return -EOPNOTSUPP;
        r = is_removal(&edits[i]) ? remove_key(body, edit, count, &edits[i]) : set_key(body, edit, count, &edits[i]);
        edit_hot(edit, &edits[i]);
    }
    if (r >= 0)
        r = emit_rest(body, edit);
    if (r >= 0)
        poke_removals(body, edit, edits, count);
    if (r >= 0 && edit->keys == 0)
        return -EOPNOTSUPP;             /* an empty table is a tree */
    return r;
}

int body_edit_new(const struct body *body, const struct dispatcher_case *edits, size_t count, struct body_edit *ret)
{
    struct body_edit edit = { .rest_code = IMAGE_NONE, .hots = body->jump.hots, .keys = body->keys };
    int r;

    if (body->jump.shape == DISPATCHER_TREE || count > EDITS_MAX)
        return -EOPNOTSUPP;
    edit.change = calloc(2 * count + 2, sizeof(*edit.change));
    if (!edit.change)
        return -ENOMEM;
    memcpy(edit.hot, body->hot, sizeof(edit.hot));
    r = make_edit(body, edits, count, &edit);
    if (r < 0)
        body_edit_abort(&edit, body->image);
    else
        *ret = edit;
    return r;
}

static void edit_done(struct body_edit *edit)
{
    free(edit->change);
    free(edit->rest);
    *edit = (struct body_edit){ .rest_code = IMAGE_NONE };
}

void body_edit_abort(struct body_edit *edit, struct image *image)
{
    if (edit->rest_code != IMAGE_NONE)
        image_abort(image, edit->rest_code);
    edit_done(edit);
}

void body_edit_apply(struct body_edit *edit, struct body *body)
{
    uint64_t old_code = body->rest;
    struct branch *old = body->branch;

    if (edit->rest) {
        image_commit(body->image, edit->rest_code);
        body->rest = edit->rest_code;
        body->branch = edit->rest;
        body->branches = edit->rests;
        edit->rest_code = old_code;
        edit->rest = old;
    }
    memcpy(body->hot, edit->hot, sizeof(body->hot));
    body->jump.hots = edit->hots;
    body->keys = edit->keys;
}

void body_edit_release(struct body_edit *edit, struct image *image)
{
    if (edit->rest_code != IMAGE_NONE)
        image_release(image, edit->rest_code);
    edit_done(edit);
}
