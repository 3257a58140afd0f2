/* SPDX-License-Identifier: MIT */
/*
 * A hook's entry.  Which bytes a thread may be executing, by state (the copy is that of the current
 * code):
 *
 *      state        home            copy            an older copy
 *      SETTLED      yes             there is none   released after a grace period
 *      MOVED        until a wait    yes             by the caller of
 *      WRITTEN      no              yes             entry_change_commit()
 *      RETURNED     yes             until a wait
 *
 * Home bytes are written in one place, write_home(), which only the step from MOVED calls: a wait
 * has passed since the slot was poked away from them.  The slot leads to them again in one place,
 * the step from WRITTEN: another wait has passed since they were written.  A change from WRITTEN
 * leaves the new bytes at home unexecuted and goes through both waits again, since MOVED does not
 * say whether the home was ever left.
 */
#include "entry.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "poke.h"

#define ENTRY_SLOT 8            /* offsets from the entry, bytes */
#define ENTRY_HOME 16
#define ENTRY_SIZE (ENTRY_HOME + ENTRY_HOME_SIZE)

_Static_assert(ENTRY_SIZE % IMAGE_GRANULE == 0, "no byte of the last granule is lost");
_Static_assert(ENTRY_SLOT % SLOT_SIZE == 0 && ENTRY_HOME == ENTRY_SLOT + SLOT_SIZE,
               "the home follows the slot");

/* A decision tree, and how many bytes it takes wherever it stands. */
struct code {
    struct dispatcher_case *cases;
    size_t count;
    size_t size;
};

struct entry {
    struct image *image;
    uint64_t offset;
    uint32_t default_verdict;
    enum entry_state state;
    struct code code;           /* what this entry runs */
    uint64_t copy;              /* where its copy is: all states but SETTLED */
    bool preparing;             /* a change is prepared */
};

struct entry_change {
    struct entry *entry;
    struct code code;
    uint64_t copy;
};

/* ---- code ---- */

/* Emit at image offset `at`; `buffer` NULL only counts.  Returns the bytes emitted. */
static size_t emit_code(const struct entry *entry, const struct code *code, void *buffer,
                        size_t capacity, uint64_t at)
{
    const struct architecture *architecture = image_architecture(entry->image);
    struct emitter emitter;

    emitter_init(&emitter, buffer, capacity, at);
    architecture->emit_tree(&emitter, code->cases, code->count, entry->default_verdict);
    /* It was sized before, and an image is smaller than the reach of a branch. */
    assert(emitter.error == 0);
    return emitter.size;
}

static int code_new(const struct entry *entry, const struct dispatcher_case *cases, size_t count,
                    struct code *ret)
{
    struct code code = { .count = count };

    if (count > 0) {
        code.cases = calloc(count, sizeof(*cases));
        if (!code.cases)
            return -ENOMEM;
        memcpy(code.cases, cases, count * sizeof(*cases));
    }
    code.size = emit_code(entry, &code, NULL, 0, entry->offset);
    *ret = code;
    return 0;
}

static void code_done(struct code *code)
{
    free(code->cases);
    *code = (struct code){ 0 };
}

static bool fits_home(const struct code *code)
{
    return code->size <= ENTRY_HOME_SIZE;
}

/* Poison first: what is left of longer code behind the new one must not look like code. */
static void write_home(struct entry *entry)
{
    uint64_t home = entry->offset + ENTRY_HOME;
    void *write = image_write(entry->image, home);

    image_architecture(entry->image)->poison(write, ENTRY_HOME_SIZE);
    emit_code(entry, &entry->code, write, ENTRY_HOME_SIZE, home);
}

/* ---- the entry ---- */

static uint64_t slot_value(const struct entry *entry, uint64_t copy)
{
    const struct architecture *architecture = image_architecture(entry->image);

    return copy == IMAGE_NONE ? architecture->slot_fall_through()
                              : architecture->slot_jump(entry->offset + ENTRY_SLOT, copy);
}

/* What the slot holds, unless somebody else wrote it. */
static uint64_t slot_current(const struct entry *entry)
{
    bool jumps = entry->state == ENTRY_MOVED || entry->state == ENTRY_WRITTEN;

    return slot_value(entry, jumps ? entry->copy : IMAGE_NONE);
}

static int poke_entry(struct entry *entry, uint64_t copy)
{
    return poke_slot(entry->image, entry->offset + ENTRY_SLOT, slot_current(entry),
                     slot_value(entry, copy));
}

int entry_new(struct image *image, uint32_t default_verdict, struct entry **ret)
{
    struct entry *entry = calloc(1, sizeof(*entry));
    struct emitter emitter;
    uint64_t slot;
    int r;

    if (!entry)
        return -ENOMEM;
    entry->image = image;
    entry->default_verdict = default_verdict;
    entry->copy = IMAGE_NONE;
    r = image_reserve(image, ENTRY_SIZE, IMAGE_FRESH, &entry->offset);
    if (r < 0) {
        free(entry);
        return r;
    }
    emitter_init(&emitter, image_write(image, entry->offset), ENTRY_SLOT, entry->offset);
    image_architecture(image)->emit_landing(&emitter);
    assert(emitter.error == 0 && emitter.size == ENTRY_SLOT);
    slot = slot_current(entry);
    memcpy(image_write(image, entry->offset + ENTRY_SLOT), &slot, sizeof(slot));
    entry->code.size = emit_code(entry, &entry->code, NULL, 0, entry->offset);
    write_home(entry);
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
    image_release(entry->image, entry->offset);
    code_done(&entry->code);
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
    return entry->code.size;
}

/* ---- changing ---- */

int entry_prepare(struct entry *entry, const struct dispatcher_case *cases, size_t count,
                  struct entry_change **ret)
{
    struct entry_change *change = calloc(1, sizeof(*change));
    int r;

    assert(!entry->preparing);
    if (!change)
        return -ENOMEM;
    r = code_new(entry, cases, count, &change->code);
    if (r >= 0)
        r = image_reserve(entry->image, change->code.size, IMAGE_FRESH, &change->copy);
    if (r < 0) {
        code_done(&change->code);
        free(change);
        return r;
    }
    emit_code(entry, &change->code, image_write(entry->image, change->copy), change->code.size,
              change->copy);
    change->entry = entry;
    entry->preparing = true;
    *ret = change;
    return 0;
}

struct entry_change *entry_change_abort(struct entry_change *change)
{
    if (!change)
        return NULL;
    image_abort(change->entry->image, change->copy);
    change->entry->preparing = false;
    code_done(&change->code);
    free(change);
    return NULL;
}

int entry_change_commit(struct entry_change *change, uint64_t *ret_replaced)
{
    struct entry *entry = change->entry;
    int r = poke_entry(entry, change->copy);

    if (r < 0) {
        entry_change_abort(change);
        return r;
    }
    image_commit(entry->image, change->copy);
    *ret_replaced = entry->copy;
    code_done(&entry->code);
    entry->code = change->code;
    entry->copy = change->copy;
    entry->state = ENTRY_MOVED;
    entry->preparing = false;
    free(change);
    return 0;
}

/* ---- settling ---- */

bool entry_unsettled(const struct entry *entry)
{
    return entry->state != ENTRY_SETTLED &&
           (entry->state != ENTRY_MOVED || fits_home(&entry->code));
}

int entry_settle(struct entry *entry)
{
    int r;

    if (!entry_unsettled(entry))
        return 0;
    switch (entry->state) {
    case ENTRY_SETTLED:
        break;
    case ENTRY_MOVED:
        write_home(entry);
        entry->state = ENTRY_WRITTEN;
        break;
    case ENTRY_WRITTEN:
        r = poke_entry(entry, IMAGE_NONE);
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
