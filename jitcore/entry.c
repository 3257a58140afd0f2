/* SPDX-License-Identifier: MIT */
/*
 * A hook's entry.  Which bytes a thread may be executing, by state (the copy is that of the current head):
 *
 *      state        home            copy            filters     what was replaced
 *      SETTLED      yes             there is none   none        held by its change until a wait
 *      MOVED        until a wait    yes             none
 *      WRITTEN      no              yes             none
 *      RETURNED     yes             until a wait    none
 *      FILTERED     (1)             (2)             yes
 *
 *      (1) yes without a copy: the filters end there; with one as it was before, and no step is
 *      taken from here.  (2) yes, if there is one.
 *
 * Home bytes are written in one place, write_home(), which, where hooks lead to the entry, only the
 * step from MOVED calls: a wait has passed since the slot was poked away from them.  The slot leads to them again in
 * one place, the step from WRITTEN: another wait has passed since they were written.  A change from WRITTEN
 * leaves the new bytes at home unexecuted and goes through both waits again, since MOVED does not
 * say whether the home was ever left.  Nor does it when filters led there until now: from FILTERED
 * the only way on is a change, to MOVED, and its wait finds the home left.
 *
 * The room for filters is reserved and not committed until the first is written: nobody has executed what is unwritten,
 * so a slot may lead to a filter as soon as it is written.
 *
 * Data in a body may be poked at any time: threads read each quadword of it by one load.
 */
#include "entry_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ENTRY_SLOT 8            /* offsets from the entry, bytes */
#define ENTRY_HOME 16
#define ENTRY_SIZE (ENTRY_HOME + ENTRY_HOME_SIZE)

_Static_assert(ENTRY_SIZE % IMAGE_GRANULE == 0, "no byte of the last granule is lost");
_Static_assert(ENTRY_SLOT % SLOT_SIZE == 0 && ENTRY_HOME == ENTRY_SLOT + SLOT_SIZE,
               "the home follows the slot");

/* ---- filters ---- */

uint64_t entry_filter_at(const struct room *room, size_t i)
{
    return room->offset + i * FILTER_SIZE;
}

int entry_room_new(struct image *image, size_t size, struct room *ret)
{
    struct room room = { IMAGE_NONE, size, 0 };
    int r = size > 0 ? image_reserve(image, size * FILTER_SIZE, IMAGE_FRESH, &room.offset) : 0;

    if (r >= 0)
        *ret = room;
    return r;
}

/* ---- the entry ---- */

uint64_t entry_slot_target(const struct entry *entry)
{
    if (entry->room.filters > 0)
        return entry_filter_at(&entry->room, entry->room.filters - 1);
    if (entry->sampler != IMAGE_NONE)
        return entry->sampler;
    if (entry->state == ENTRY_MOVED || entry->state == ENTRY_WRITTEN)
        return entry->copy;
    return entry->offset + ENTRY_HOME;
}

static uint64_t slot_value(const struct entry *entry, uint64_t target)
{
    const struct architecture *architecture = image_architecture(entry->image);

    return target == entry->offset + ENTRY_HOME ? architecture->slot_fall_through()
                                                : architecture->slot_jump(entry->offset + ENTRY_SLOT, target);
}

struct slot_change entry_poke(const struct entry *entry, uint64_t target)
{
    return (struct slot_change){ entry->offset + ENTRY_SLOT, slot_value(entry, entry_slot_target(entry)),
                                 slot_value(entry, target) };
}

void entry_emit_head(const struct body *body, void *buffer, size_t size, uint64_t at)
{
    struct emitter emitter;

    emitter_init(&emitter, buffer, size, at);
    body_emit_head(body, &emitter);
    assert(emitter.error == 0);         /* it was sized before, and an image is smaller than the reach of a branch */
}

static bool fits_home(const struct body *body)
{
    return body_head_size(body) <= ENTRY_HOME_SIZE;
}

/* Poison first: what is left of longer code behind the new one must not look like code. */
static void write_home(struct entry *entry)
{
    uint64_t home = entry->offset + ENTRY_HOME;
    void *write = image_write(entry->image, home);

    image_architecture(entry->image)->poison(write, ENTRY_HOME_SIZE);
    entry_emit_head(entry->body, write, ENTRY_HOME_SIZE, home);
}

static void emit_entry(struct entry *entry)
{
    struct emitter emitter;
    uint64_t slot;

    emitter_init(&emitter, image_write(entry->image, entry->offset), ENTRY_SLOT, entry->offset);
    image_architecture(entry->image)->emit_landing(&emitter);
    assert(emitter.error == 0 && emitter.size == ENTRY_SLOT);
    slot = slot_value(entry, entry_slot_target(entry));
    memcpy(image_write(entry->image, entry->offset + ENTRY_SLOT), &slot, sizeof(slot));
    write_home(entry);
}

int entry_new(struct image *image, uint32_t default_verdict, struct entry **ret)
{
    struct dispatcher dispatcher = { .default_verdict = default_verdict };
    struct entry *entry = calloc(1, sizeof(*entry));
    int r;

    if (!entry)
        return -ENOMEM;
    *entry = (struct entry){ .image = image, .copy = IMAGE_NONE, .room = NO_ROOM, .sampler = IMAGE_NONE };
    r = body_new(image, &dispatcher, &entry->body);
    if (r >= 0)
        r = image_reserve(image, ENTRY_SIZE, IMAGE_FRESH, &entry->offset);
    if (r < 0) {
        body_abort(entry->body);
        free(entry);
        return r;
    }
    emit_entry(entry);
    image_commit(image, entry->offset);
    *ret = entry;
    return 0;
}

struct entry *entry_free(struct entry *entry)
{
    if (!entry)
        return NULL;
    assert(!entry->preparing);
    if (entry->copy != IMAGE_NONE)
        image_release(entry->image, entry->copy);
    if (entry->sampler != IMAGE_NONE)
        image_release(entry->image, entry->sampler);
    if (entry->room.filters > 0)
        image_release(entry->image, entry->room.offset);
    else if (entry->room.offset != IMAGE_NONE)
        image_abort(entry->image, entry->room.offset);
    image_release(entry->image, entry->offset);
    body_release(entry->body);
    free(entry);
    return NULL;
}

uint64_t entry_offset(const struct entry *entry)
{
    return entry->offset;
}

enum entry_state entry_state(const struct entry *entry)
{
    return entry->state;
}

size_t entry_code_size(const struct entry *entry)
{
    return body_head_size(entry->body) + entry->body->size;
}

enum dispatcher_shape entry_shape(const struct entry *entry)
{
    return entry->body->jump.shape;
}

bool entry_sampled(const struct entry *entry)
{
    return entry->sampler != IMAGE_NONE;
}

/* ---- starting ---- */

/* Its code at home at once: nobody is there, and nothing of the old code is in the image. */
static int start_at_home(struct entry *entry, struct body *body)
{
    struct room room;
    int r = entry_room_new(entry->image, body_filters(body), &room);

    if (r < 0)
        return r;
    body_commit(body);
    body_release(entry->body);
    entry->body = body;
    entry->room = room;
    write_home(entry);
    return 0;
}

int entry_start(struct entry *entry, const struct dispatcher *dispatcher)
{
    struct entry_change *change;
    struct body *body;
    int r;

    assert(entry->state == ENTRY_SETTLED && entry->room.offset == IMAGE_NONE);
    r = body_new(entry->image, dispatcher, &body);
    if (r < 0)
        return r;
    if (fits_home(body)) {
        r = start_at_home(entry, body);
        if (r < 0)
            body_abort(body);
        return r;
    }
    body_abort(body);
    r = entry_prepare(entry, dispatcher, &change);
    if (r >= 0)
        r = entry_change_commit(change);
    if (r >= 0)
        entry_change_release(change);
    return r;
}

/* ---- settling ---- */

bool entry_unsettled(const struct entry *entry)
{
    switch (entry->state) {
    case ENTRY_MOVED:
        return fits_home(entry->body);
    case ENTRY_WRITTEN:
    case ENTRY_RETURNED:
        return true;
    case ENTRY_SETTLED:
    case ENTRY_FILTERED:
        break;
    }
    return false;
}

int entry_settle(struct entry *entry)
{
    struct slot_change back;
    int r;

    if (!entry_unsettled(entry))
        return 0;
    switch (entry->state) {
    case ENTRY_SETTLED:
    case ENTRY_FILTERED:
        break;
    case ENTRY_MOVED:
        write_home(entry);
        entry->state = ENTRY_WRITTEN;
        break;
    case ENTRY_WRITTEN:
        back = entry_poke(entry, entry->offset + ENTRY_HOME);
        r = poke_slots(entry->image, &back, 1);
        if (r < 0)
            return r;
        entry->state = ENTRY_RETURNED;
        break;
    case ENTRY_RETURNED:
        image_release(entry->image, entry->copy);
        entry->copy = IMAGE_NONE;
        entry->state = ENTRY_SETTLED;
        break;
    }
    return 0;
}
