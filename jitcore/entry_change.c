/* SPDX-License-Identifier: MIT */
/* Changes of an entry: what all of them reserve and write beforehand, poke, and give back. */
#include "entry_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SWAP(a, b)                      \
    do {                                \
        __typeof__(a) swapped = (a);    \
        (a) = (b);                      \
        (b) = swapped;                  \
    } while (0)

enum change_kind {
    CHANGE_CODE,                /* new body, new head */
    CHANGE_REMOVAL,             /* filters, pokes in the body */
    CHANGE_EDIT,                /* pokes in the body, maybe a new head */
    CHANGE_SAMPLER,
};

/* Before its commit a change holds what is new, afterwards what it replaced. */
struct entry_change {
    struct image *image;
    struct entry *entry;        /* NULL: committed */
    enum change_kind kind;
    struct slot_change own, *poke;      /* poke: all pokes, in their order */
    size_t pokes;
    struct body *body;          /* NULL: the entry's stays */
    uint64_t copy;              /* IMAGE_NONE: none */
    bool has_room;              /* else the entry's stays */
    struct room room;
    uint64_t sampler;
    struct body_edit edit;
    struct body_removal removal;
};

/* ---- room for filters ---- */

static void room_abort(const struct room *room, struct image *image)
{
    if (room->offset != IMAGE_NONE)
        image_abort(image, room->offset);
}

static bool room_suffices(const struct room *room, size_t filters)
{
    return room->filters == 0 && room->size >= filters;
}

static bool room_is_large(const struct room *room, size_t filters)
{
    return room->size > 2 * filters + 4;
}

/* ---- preparing: new code ---- */

static int reserve_room(struct entry_change *change, size_t filters, size_t slack)
{
    const struct room *room = &change->entry->room;
    bool suffices = room_suffices(room, filters);
    int r;

    if (suffices && !room_is_large(room, filters))
        return 0;
    r = entry_room_new(change->image, filters + slack, &change->room);
    change->has_room = r >= 0;
    return suffices ? 0 : r;
}

static int reserve_head(struct entry_change *change, const struct body *body)
{
    size_t size = body_head_size(body);
    int r = image_reserve(change->image, size, IMAGE_FRESH, &change->copy);

    if (r < 0)
        return r;
    entry_emit_head(body, image_write(change->image, change->copy), size, change->copy);
    return 0;
}

/* What was reserved, if anything. */
static void drop_code(struct entry_change *change)
{
    if (change->copy != IMAGE_NONE)
        image_abort(change->image, change->copy);
    if (change->has_room)
        room_abort(&change->room, change->image);
    change->body = body_abort(change->body);
    change->copy = IMAGE_NONE;
    change->has_room = false;
}

static void poke_alone(struct entry_change *change, uint64_t target)
{
    change->own = entry_poke(change->entry, target);
    change->poke = &change->own;
    change->pokes = 1;
}

static int prepare_code(struct entry_change *change, const struct dispatcher *dispatcher)
{
    int r;

    change->kind = CHANGE_CODE;
    r = body_new(change->image, dispatcher, &change->body);
    if (r >= 0)
        r = reserve_head(change, change->body);
    if (r >= 0)
        r = reserve_room(change, body_filters(change->body), 0);
    if (r < 0)
        drop_code(change);
    else
        poke_alone(change, change->copy);
    return r;
}

/* ---- preparing: removal ---- */

/* Where the slot leads but for the sampler. */
static uint64_t target_without_sampler(const struct entry *entry)
{
    struct entry without = *entry;

    without.sampler = IMAGE_NONE;
    return entry_slot_target(&without);
}

/*
 * The newest filter stands before all others: what is executed now is not touched.  The room suffices, since it has a
 * place for each case that needs a filter.  A sampler is left out: behind a filter it
 * could not be taken out any more.
 */
static void write_filters(struct entry_change *change)
{
    const struct entry *entry = change->entry;
    struct fallback verdict = { .verdict = entry->body->otherwise.chain.verdict };
    const struct fallback *fallback = change->removal.otherwise ? &verdict : &entry->body->fallback;
    uint64_t next = target_without_sampler(entry), at;
    struct emitter emitter;

    assert(entry->room.filters + change->removal.filters <= entry->room.size);
    for (size_t i = 0; i < change->removal.filters; i++) {
        const struct branch *branch = &change->removal.filter[i];

        at = entry_filter_at(&entry->room, entry->room.filters + i);
        emitter_init(&emitter, image_write(entry->image, at), FILTER_SIZE, at);
        image_architecture(entry->image)->emit_filter(&emitter, branch->first, branch->last, fallback, next);
        assert(emitter.error == 0);
        next = at;
    }
    if (change->removal.filters > 0)
        change->removal.change[change->removal.changes++] = entry_poke(entry, next);
}

static int prepare_removal(struct entry_change *change, const struct dispatcher *dispatcher)
{
    int r = body_removal_new(change->entry->body, dispatcher, &change->removal);

    if (r < 0)
        return r;
    change->kind = CHANGE_REMOVAL;
    write_filters(change);
    change->poke = change->removal.change;
    change->pokes = change->removal.changes;
    return 0;
}

static void abort_filters(const struct entry_change *change)
{
    const struct room *room = &change->entry->room;

    for (size_t i = 0; i < change->removal.filters; i++)
        image_architecture(change->image)->poison(image_write(change->image, entry_filter_at(room, room->filters + i)),
                                                  FILTER_SIZE);
}

/* ---- preparing: edits ---- */

/* The new head: as the body will be, with other hot keys. */
static int reserve_edited_head(struct entry_change *change)
{
    struct body body = *change->entry->body;

    body.jump.hot = change->edit.hot;
    body.jump.hots = change->edit.hots;
    return reserve_head(change, &body);
}

static int prepare_edit(struct entry_change *change, const struct dispatcher_case *edits, size_t count)
{
    struct body_edit *edit = &change->edit;
    int r;

    change->kind = CHANGE_EDIT;
    r = body_edit_new(change->entry->body, edits, count, edit);
    if (r < 0)
        return r;
    if (edit->rest)
        r = reserve_room(change, edit->rests + edit->hots, edit->rests / 4 + 4);
    if (r >= 0 && edit->head)
        r = reserve_edited_head(change);
    if (r < 0) {
        body_edit_abort(edit, change->image);
        drop_code(change);
        return r;
    }
    if (edit->head)
        edit->change[edit->changes++] = entry_poke(change->entry, change->copy);
    change->poke = edit->change;
    change->pokes = edit->changes;
    return 0;
}

/* ---- preparing: the sampler ---- */

static int prepare_sampler(struct entry_change *change, bool on, int64_t counters_stub)
{
    struct entry *entry = change->entry;
    struct emitter emitter;
    int r;

    change->kind = CHANGE_SAMPLER;
    if (!on) {
        poke_alone(change, target_without_sampler(entry));
        return 0;
    }
    r = image_reserve(change->image, IMAGE_GRANULE, IMAGE_FRESH, &change->sampler);
    if (r < 0)
        return r;
    emitter_init(&emitter, image_write(change->image, change->sampler), IMAGE_GRANULE, change->sampler);
    image_architecture(change->image)->emit_sampler(&emitter, counters_stub, entry_slot_target(entry));
    assert(emitter.error == 0);
    poke_alone(change, change->sampler);
    return 0;
}

/* ---- changing ---- */

static struct entry_change *change_free(struct entry_change *change)
{
    body_removal_done(&change->removal);
    free(change);
    return NULL;
}

static int change_new(struct entry *entry, struct entry_change **ret)
{
    struct entry_change *change = calloc(1, sizeof(*change));

    assert(!entry->preparing);
    if (!change)
        return -ENOMEM;
    change->image = entry->image;
    change->entry = entry;
    change->copy = change->sampler = change->edit.rest_code = IMAGE_NONE;
    change->room = NO_ROOM;
    *ret = change;
    return 0;
}

/* With the result of preparing it. */
static int change_prepared(struct entry_change *change, int r, struct entry_change **ret)
{
    if (r < 0) {
        change_free(change);
        return r;
    }
    change->entry->preparing = true;
    *ret = change;
    return 0;
}

int entry_prepare(struct entry *entry, const struct dispatcher *dispatcher, struct entry_change **ret)
{
    struct entry_change *change;
    int r, removal;

    r = change_new(entry, &change);
    if (r < 0)
        return r;
    r = prepare_code(change, dispatcher);
    if (r < 0 && r != -ENOMEM) {
        removal = prepare_removal(change, dispatcher);
        r = removal == -ENOSPC ? r : removal;
    }
    return change_prepared(change, r, ret);
}

int entry_prepare_edit(struct entry *entry, const struct dispatcher_case *edits, size_t count,
                       struct entry_change **ret)
{
    struct entry_change *change;
    int r;

    if (entry->room.filters > 0)
        return -EOPNOTSUPP;
    r = change_new(entry, &change);
    if (r < 0)
        return r;
    return change_prepared(change, prepare_edit(change, edits, count), ret);
}

int entry_prepare_sample(struct entry *entry, bool on, int64_t counters_stub, struct entry_change **ret)
{
    struct entry_change *change;
    int r;

    if (on == entry_sampled(entry))
        return -EALREADY;
    if (entry_unsettled(entry) || entry->room.filters > 0)
        return -EBUSY;
    r = change_new(entry, &change);
    if (r < 0)
        return r;
    return change_prepared(change, prepare_sampler(change, on, counters_stub), ret);
}

static size_t granules(size_t size)
{
    return (size + IMAGE_GRANULE - 1) / IMAGE_GRANULE * IMAGE_GRANULE;
}

size_t entry_prepare_size(const struct entry *entry, const struct dispatcher *dispatcher)
{
    struct body_measure measure;
    size_t filters;

    if (body_measure(entry->image, dispatcher, &measure) < 0)
        return 0;
    filters = room_suffices(&entry->room, measure.filters) ? 0 : measure.filters;
    return granules(measure.body) + granules(measure.head) + granules(filters * FILTER_SIZE);
}

struct entry_change *entry_change_abort(struct entry_change *change)
{
    if (!change)
        return NULL;
    assert(change->entry);
    drop_code(change);
    abort_filters(change);
    if (change->kind == CHANGE_EDIT)
        body_edit_abort(&change->edit, change->image);
    if (change->sampler != IMAGE_NONE)
        image_abort(change->image, change->sampler);
    change->entry->preparing = false;
    return change_free(change);
}

/* The entry gets the change's copy, and the change what stood in front of the old code. */
static void commit_head(struct entry_change *change)
{
    struct entry *entry = change->entry;

    image_commit(change->image, change->copy);
    SWAP(entry->copy, change->copy);
    SWAP(entry->sampler, change->sampler);
    entry->state = ENTRY_MOVED;
}

static void commit_room(struct entry_change *change)
{
    if (!change->has_room)
        return;
    SWAP(change->entry->room, change->room);
    if (change->room.filters == 0) {
        room_abort(&change->room, change->image);       /* nobody was ever there */
        change->has_room = false;
    }
}

/* The copy of a RETURNED entry, which the slot led to no more, goes as if it had been replaced; so does a sampler. */
static void commit_removal(struct entry_change *change)
{
    struct entry *entry = change->entry;

    body_removal_apply(&change->removal, entry->body);
    if (change->removal.filters == 0)
        return;
    if (entry->room.filters == 0)
        image_commit(change->image, entry->room.offset);
    entry->room.filters += change->removal.filters;
    SWAP(entry->sampler, change->sampler);
    if (entry->state == ENTRY_RETURNED)
        SWAP(entry->copy, change->copy);
    entry->state = ENTRY_FILTERED;
}

static void commit_edit(struct entry_change *change)
{
    body_edit_apply(&change->edit, change->entry->body);
    commit_room(change);
    if (change->copy != IMAGE_NONE)
        commit_head(change);
}

static void commit_change(struct entry_change *change)
{
    struct entry *entry = change->entry;

    switch (change->kind) {
    case CHANGE_CODE:
        body_commit(change->body);
        SWAP(entry->body, change->body);
        commit_room(change);
        commit_head(change);
        break;
    case CHANGE_REMOVAL:
        commit_removal(change);
        break;
    case CHANGE_EDIT:
        commit_edit(change);
        break;
    case CHANGE_SAMPLER:
        if (change->sampler != IMAGE_NONE)
            image_commit(change->image, change->sampler);
        SWAP(entry->sampler, change->sampler);
        break;
    }
}

int entry_change_check(const struct entry_change *change)
{
    return poke_check_slots(change->image, change->poke, change->pokes);
}

int entry_change_commit(struct entry_change *change)
{
    int r = poke_slots(change->image, change->poke, change->pokes);

    if (r < 0) {
        entry_change_abort(change);
        return r;
    }
    commit_change(change);
    change->entry->preparing = false;
    change->entry = NULL;
    return 0;
}

struct entry_change *entry_change_release(struct entry_change *change)
{
    if (!change)
        return NULL;
    assert(!change->entry);
    if (change->copy != IMAGE_NONE)
        image_release(change->image, change->copy);
    if (change->sampler != IMAGE_NONE)
        image_release(change->image, change->sampler);
    if (change->has_room)
        image_release(change->image, change->room.offset);
    if (change->kind == CHANGE_EDIT)
        body_edit_release(&change->edit, change->image);
    body_release(change->body);
    return change_free(change);
}
