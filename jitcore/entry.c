/* SPDX-License-Identifier: MIT */
/*
 * A hook's entry.  Which bytes a thread may be executing, by state (the copy is that of the current
 * code):
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
 * step from MOVED calls: a wait has passed since the slot was poked away from them.  The slot leads to them again in one place,
 * the step from WRITTEN: another wait has passed since they were written.  A change from WRITTEN
 * leaves the new bytes at home unexecuted and goes through both waits again, since MOVED does not
 * say whether the home was ever left.  Nor does it when filters led there until now: from FILTERED
 * the only way on is a change, to MOVED, and its wait finds the home left.
 *
 * Spares are reserved and not committed: nobody has executed them, so a slot may lead to a filter
 * as soon as it is written.
 */
#include "entry.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "poke.h"

#define SWAP(a, b)                      \
    do {                                \
        __typeof__(a) swapped = (a);    \
        (a) = (b);                      \
        (b) = swapped;                  \
    } while (0)

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
    uint64_t copy;              /* where its copy is, IMAGE_NONE: there is none */
    uint64_t *granule;          /* first the filters, oldest first, then the spares */
    size_t filters;             /* committed */
    size_t spares;              /* reserved; at least one for each case of `code` */
    bool preparing;             /* a change is prepared */
};

/* Before its commit a change holds what is new, afterwards what it replaced. */
struct entry_change {
    struct image *image;
    struct entry *entry;        /* NULL: committed */
    struct code code;
    uint64_t copy;              /* IMAGE_NONE: filters before the commit, nothing afterwards */
    uint64_t *granule;          /* before: the entry's spares to be; after: begins with filters */
    size_t spares, kept;        /* before: that many; the first of them are the entry's already */
    size_t filters;             /* before: written to the entry's first spares; after: in granule */
};

/* ---- code ---- */

static size_t emit_cases(const struct entry *entry, const struct dispatcher_case *cases,
                         size_t count, void *buffer, size_t capacity, uint64_t at)
{
    const struct architecture *architecture = image_architecture(entry->image);
    struct emitter emitter;

    emitter_init(&emitter, buffer, capacity, at);
    architecture->emit_tree(&emitter, cases, count, entry->default_verdict);
    /* It was sized before, and an image is smaller than the reach of a branch. */
    assert(emitter.error == 0);
    return emitter.size;
}

static size_t tree_size(const struct entry *entry, const struct dispatcher_case *cases,
                        size_t count)
{
    return emit_cases(entry, cases, count, NULL, 0, entry->offset);
}

/* Emit at image offset `at`. */
static void emit_code(const struct entry *entry, const struct code *code, void *buffer,
                      size_t capacity, uint64_t at)
{
    emit_cases(entry, code->cases, code->count, buffer, capacity, at);
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
    code.size = tree_size(entry, cases, count);
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

/* Where the slot leads, unless somebody else wrote it. */
static uint64_t slot_target(const struct entry *entry)
{
    switch (entry->state) {
    case ENTRY_MOVED:
    case ENTRY_WRITTEN:
        return entry->copy;
    case ENTRY_FILTERED:
        return entry->granule[entry->filters - 1];
    case ENTRY_SETTLED:
    case ENTRY_RETURNED:
        break;
    }
    return entry->offset + ENTRY_HOME;
}

static uint64_t slot_value(const struct entry *entry, uint64_t target)
{
    const struct architecture *architecture = image_architecture(entry->image);

    return target == entry->offset + ENTRY_HOME
        ? architecture->slot_fall_through()
        : architecture->slot_jump(entry->offset + ENTRY_SLOT, target);
}

static int poke_entry(struct entry *entry, uint64_t target)
{
    return poke_slot(entry->image, entry->offset + ENTRY_SLOT,
                     slot_value(entry, slot_target(entry)), slot_value(entry, target));
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
    slot = slot_value(entry, slot_target(entry));
    memcpy(image_write(image, entry->offset + ENTRY_SLOT), &slot, sizeof(slot));
    entry->code.size = tree_size(entry, NULL, 0);
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
    for (size_t i = 0; i < entry->filters; i++)
        image_release(entry->image, entry->granule[i]);
    for (size_t i = 0; i < entry->spares; i++)
        image_abort(entry->image, entry->granule[entry->filters + i]);
    image_release(entry->image, entry->offset);
    code_done(&entry->code);
    free(entry->granule);
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

/* ---- changing: a copy ---- */

static uint64_t *first_spare(const struct entry *entry)
{
    return entry->granule + entry->filters;
}

static size_t spares_kept(const struct entry *entry, size_t count)
{
    return entry->spares < count ? entry->spares : count;
}

static void abort_spares(const struct entry_change *change)
{
    for (size_t i = change->kept; i < change->spares; i++)
        image_abort(change->image, change->granule[i]);
}

/* A spare for each case: those that the entry has, and new ones for the rest. */
static int reserve_spares(struct entry_change *change)
{
    size_t count = change->code.count;
    int r = 0;

    if (count == 0)
        return 0;
    change->granule = calloc(count, sizeof(*change->granule));
    if (!change->granule)
        return -ENOMEM;
    change->kept = change->spares = spares_kept(change->entry, count);
    if (change->kept > 0)           /* an entry without spares has no array to copy from */
        memcpy(change->granule, first_spare(change->entry), change->kept * sizeof(*change->granule));
    while (r >= 0 && change->spares < count) {
        r = image_reserve(change->image, IMAGE_GRANULE, IMAGE_FRESH,
                          &change->granule[change->spares]);
        change->spares += r >= 0;
    }
    if (r < 0) {
        abort_spares(change);
        free(change->granule);
        change->granule = NULL;
        change->kept = change->spares = 0;
    }
    return r;
}

static int prepare_copy(struct entry_change *change)
{
    struct entry *entry = change->entry;
    uint64_t copy;
    int r;

    r = image_reserve(change->image, change->code.size, IMAGE_FRESH, &copy);
    if (r < 0)
        return r;
    r = reserve_spares(change);
    if (r < 0) {
        image_abort(change->image, copy);
        return r;
    }
    emit_code(entry, &change->code, image_write(change->image, copy), change->code.size, copy);
    change->copy = copy;
    return 0;
}

/* The entry gets the change's spares, the change its filters. */
static void commit_spares(struct entry_change *change)
{
    struct entry *entry = change->entry;

    for (size_t i = change->kept; i < entry->spares; i++)
        image_abort(change->image, first_spare(entry)[i]);
    SWAP(entry->granule, change->granule);
    entry->spares = change->spares;
    change->filters = entry->filters;
    entry->filters = 0;
}

static void commit_copy(struct entry_change *change)
{
    image_commit(change->image, change->copy);
    commit_spares(change);
    SWAP(change->entry->copy, change->copy);
    change->entry->state = ENTRY_MOVED;
}

/* ---- changing: filters ---- */

static bool case_equal(const struct dispatcher_case *a, const struct dispatcher_case *b)
{
    return a->key == b->key && a->target == b->target;
}

/* Does nothing differ but that keys are gone, one at least? */
static bool only_removes(const struct code *old, const struct code *new)
{
    size_t kept = 0;

    for (size_t i = 0; i < old->count && kept < new->count; i++)
        kept += case_equal(&old->cases[i], &new->cases[kept]);
    return kept == new->count && new->count < old->count;
}

static void emit_filter(const struct entry *entry, uint32_t key, uint64_t at, uint64_t next)
{
    struct emitter emitter;

    emitter_init(&emitter, image_write(entry->image, at), IMAGE_GRANULE, at);
    image_architecture(entry->image)->emit_filter(&emitter, key, entry->default_verdict, next);
    assert(emitter.error == 0);
}

/*
 * The newest filter stands before all others: what is executed now is not touched.  The spares
 * suffice, since there is one for each key.
 */
static void prepare_filters(struct entry_change *change)
{
    const struct entry *entry = change->entry;
    const struct code *old = &entry->code, *new = &change->code;
    uint64_t next = slot_target(entry);

    for (size_t i = 0, kept = 0; i < old->count; i++) {
        if (kept < new->count && old->cases[i].key == new->cases[kept].key) {
            kept++;
            continue;
        }
        assert(change->filters < entry->spares);
        emit_filter(entry, old->cases[i].key, first_spare(entry)[change->filters], next);
        next = first_spare(entry)[change->filters++];
    }
}

static void abort_filters(const struct entry_change *change)
{
    for (size_t i = 0; i < change->filters; i++)
        image_architecture(change->image)->poison(
            image_write(change->image, first_spare(change->entry)[i]), IMAGE_GRANULE);
}

/* The copy of a RETURNED entry, which the slot led to no more, goes as if it had been replaced. */
static void commit_filters(struct entry_change *change)
{
    struct entry *entry = change->entry;

    for (size_t i = 0; i < change->filters; i++)
        image_commit(change->image, first_spare(entry)[i]);
    entry->filters += change->filters;
    entry->spares -= change->filters;
    change->filters = 0;
    if (entry->state == ENTRY_RETURNED)
        SWAP(entry->copy, change->copy);
    entry->state = ENTRY_FILTERED;
}

/* ---- changing ---- */

static struct entry_change *change_free(struct entry_change *change)
{
    code_done(&change->code);
    free(change->granule);
    free(change);
    return NULL;
}

static int change_new(struct entry *entry, const struct dispatcher_case *cases, size_t count,
                      struct entry_change **ret)
{
    struct entry_change *change = calloc(1, sizeof(*change));
    int r;

    assert(!entry->preparing);
    if (!change)
        return -ENOMEM;
    change->image = entry->image;
    change->entry = entry;
    change->copy = IMAGE_NONE;
    r = code_new(entry, cases, count, &change->code);
    if (r < 0) {
        change_free(change);
        return r;
    }
    *ret = change;
    return 0;
}

int entry_prepare(struct entry *entry, const struct dispatcher_case *cases, size_t count,
                  struct entry_change **ret)
{
    struct entry_change *change;
    int r;

    r = change_new(entry, cases, count, &change);
    if (r < 0)
        return r;
    r = prepare_copy(change);
    if (r < 0 && !only_removes(&entry->code, &change->code)) {
        change_free(change);
        return r;
    }
    if (r < 0)
        prepare_filters(change);
    entry->preparing = true;
    *ret = change;
    return 0;
}

size_t entry_prepare_size(const struct entry *entry, const struct dispatcher_case *cases,
                          size_t count)
{
    size_t size = tree_size(entry, cases, count);

    size += (IMAGE_GRANULE - size % IMAGE_GRANULE) % IMAGE_GRANULE;
    return size + (count - spares_kept(entry, count)) * IMAGE_GRANULE;
}

struct entry_change *entry_change_abort(struct entry_change *change)
{
    if (!change)
        return NULL;
    assert(change->entry);
    if (change->copy != IMAGE_NONE)
        image_abort(change->image, change->copy);
    abort_spares(change);
    abort_filters(change);
    change->entry->preparing = false;
    return change_free(change);
}

int entry_change_commit(struct entry_change *change)
{
    struct entry *entry = change->entry;
    bool filters = change->copy == IMAGE_NONE;
    int r = poke_entry(entry, filters ? first_spare(entry)[change->filters - 1] : change->copy);

    if (r < 0) {
        entry_change_abort(change);
        return r;
    }
    if (filters)
        commit_filters(change);
    else
        commit_copy(change);
    SWAP(entry->code, change->code);
    entry->preparing = false;
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
    for (size_t i = 0; i < change->filters; i++)
        image_release(change->image, change->granule[i]);
    return change_free(change);
}

/* ---- starting ---- */

int entry_start(struct entry *entry, const struct dispatcher_case *cases, size_t count)
{
    struct entry_change *change;
    int r;

    assert(entry->state == ENTRY_SETTLED && entry->code.count == 0);
    r = change_new(entry, cases, count, &change);
    if (r < 0)
        return r;
    r = fits_home(&change->code) ? reserve_spares(change) : prepare_copy(change);
    if (r < 0) {
        change_free(change);
        return r;
    }
    if (change->copy != IMAGE_NONE) {
        r = entry_change_commit(change);
        if (r >= 0)
            entry_change_release(change);
        return r;
    }
    commit_spares(change);
    SWAP(entry->code, change->code);
    write_home(entry);
    change_free(change);
    return 0;
}

/* ---- settling ---- */

bool entry_unsettled(const struct entry *entry)
{
    switch (entry->state) {
    case ENTRY_MOVED:
        return fits_home(&entry->code);
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
        r = poke_entry(entry, entry->offset + ENTRY_HOME);
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
