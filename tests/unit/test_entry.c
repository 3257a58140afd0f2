/* SPDX-License-Identifier: MIT */
/*
 * Entries: the states, and that no byte is written under a thread that may be executing it.
 *
 * Readers are simulated.  One enters by looking where the slot leads, and from then on executes
 * there, at either of two mappings, what it found: until it leaves, the code must answer as it did
 * when the reader entered.  Between looking and the first instruction a real thread can be stopped
 * for as long.  A grace period has passed when no reader is left that entered before it began.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "jitcore/entry.h"
#include "jitcore/poke.h"
#include "text.h"

#define DEFAULT_VERDICT 9999
#define TARGETS 32
#define KEYS 700                /* the longest trees do not fit in a home */
#define TEXT_SIZE (4 << 20)

static struct text text;
static struct dispatcher_target target[TARGETS];

/*
 * A tree and how it answers: version v sends key k to target (k + v) % TARGETS if k < count, and if
 * bit k % 64 of `removed` is not set.
 */
struct version {
    uint32_t number, count;
    uint64_t removed;
};

static bool has_key(struct version version, uint32_t key)
{
    return key < version.count && !(version.removed >> key % 64 & 1);
}

static uint32_t answer(struct version version, uint32_t key)
{
    return has_key(version, key) ? (key + version.number) % TARGETS + 1 : DEFAULT_VERDICT;
}

static size_t make_cases(struct version version, struct dispatcher_case *cases)
{
    size_t count = 0;

    for (uint32_t k = 0; k < version.count; k++)
        if (has_key(version, k))
            cases[count++] = (struct dispatcher_case){ k, k, &target[(k + version.number) % TARGETS], 1, 0 };
    return count;
}

static struct dispatcher make_dispatcher(struct version version, struct dispatcher_case *cases)
{
    return (struct dispatcher){
        .cases = cases, .count = make_cases(version, cases), .default_verdict = DEFAULT_VERDICT
    };
}

static size_t count_keys(struct version version)
{
    struct dispatcher_case cases[KEYS];

    return make_cases(version, cases);
}

static int prepare(struct entry *entry, struct version version, struct entry_change **ret)
{
    struct dispatcher_case cases[KEYS];
    struct dispatcher dispatcher = make_dispatcher(version, cases);

    return entry_prepare(entry, &dispatcher, ret);
}

/* Returns what was replaced, to be released. */
static struct entry_change *change(struct entry *entry, struct version version)
{
    struct entry_change *prepared;

    assert_int_equal(prepare(entry, version, &prepared), 0);
    assert_int_equal(entry_change_commit(prepared), 0);
    return prepared;
}

/* Nobody else executes: the wait is over at once. */
static void change_and_release(struct entry *entry, struct version version)
{
    assert_null(entry_change_release(change(entry, version)));
}

static size_t used(void)
{
    struct image_usage usage;

    image_usage(text.image, &usage);
    return usage.used;
}

static size_t granules(size_t size)
{
    return (size + IMAGE_GRANULE - 1) / IMAGE_GRANULE * IMAGE_GRANULE;
}

static bool answers_as(uint64_t offset, struct version version)
{
    static const uint32_t more[] = { KEYS, KEYS + 1, 0x80000000, UINT32_MAX };
    bool same = true;

    for (int mapping = 0; mapping < 2; mapping++) {
        for (uint32_t key = 0; key <= version.count; key++)
            same &= text_call(&text, mapping, offset, NULL, key) == answer(version, key);
        for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++)
            same &= text_call(&text, mapping, offset, NULL, more[i]) == answer(version, more[i]);
    }
    return same;
}

static void check_code(uint64_t offset, struct version version)
{
    assert_true(answers_as(offset, version));
}

/* ---- filling the image, looking at all of it ---- */

static uint64_t filler[TEXT_SIZE / IMAGE_GRANULE + 1];
static size_t fillers;

/* Leave `room` fresh bytes, at most, and those contiguous. */
static void fill(size_t room)
{
    uint64_t kept = IMAGE_NONE;

    assert_int_equal(fillers, 0);
    if (room > 0)
        assert_int_equal(image_reserve(text.image, room, IMAGE_FRESH, &kept), 0);
    for (size_t size = TEXT_SIZE; size >= IMAGE_GRANULE; size /= 2)
        while (image_reserve(text.image, size, IMAGE_FRESH, &filler[fillers]) == 0)
            fillers++;
    if (room > 0)
        image_abort(text.image, kept);
}

static void unfill(void)
{
    while (fillers > 0)
        image_abort(text.image, filler[--fillers]);
}

/* The image as it was: what it counts, and each byte. */
static struct snapshot {
    struct image_usage usage;
    char bytes[TEXT_SIZE];
} snapshot;

static void take_snapshot(void)
{
    image_usage(text.image, &snapshot.usage);
    memcpy(snapshot.bytes, text.write, TEXT_SIZE);
}

static size_t changed_granules(void)
{
    size_t changed = 0;

    for (size_t i = 0; i < TEXT_SIZE; i += IMAGE_GRANULE)
        changed += memcmp(snapshot.bytes + i, text.write + i, IMAGE_GRANULE) != 0;
    return changed;
}

static void check_unchanged(void)
{
    struct image_usage usage;

    image_usage(text.image, &usage);
    assert_memory_equal(&usage, &snapshot.usage, sizeof(usage));
    assert_int_equal(changed_granules(), 0);
}

/* ---- what all tests start from ---- */

static int setup(void **state)
{
    if (text_new(TEXT_SIZE, &text) < 0 || text_make_targets(&text, target, TARGETS) < 0)
        return -1;
    fill(0);            /* every page holds poison from here on */
    unfill();
    return 0;
}

static int teardown(void **state)
{
    text_done(&text);
    return 0;
}

static struct entry *new_entry(void)
{
    struct entry *entry;

    assert_int_equal(entry_new(text.image, DEFAULT_VERDICT, &entry), 0);
    return entry;
}

/* ---- the states ---- */

static const struct version none = { 0, 0, 0 }, first = { 1, 20, 0 }, second = { 2, 33, 0 },
                            large = { 3, KEYS, 0 };

static void test_new_entry_returns_its_default(void **state)
{
    struct entry *entry = new_entry();

    assert_int_equal(entry_state(entry), ENTRY_SETTLED);
    assert_false(entry_unsettled(entry));
    assert_int_equal(entry_settle(entry), 0);
    assert_int_equal(entry_offset(entry) % IMAGE_GRANULE, 0);
    check_code(entry_offset(entry), none);
    entry_free(entry);
}

static void test_settling(void **state)
{
    static const enum entry_state states[] = { ENTRY_MOVED, ENTRY_WRITTEN, ENTRY_RETURNED,
                                               ENTRY_SETTLED };
    struct entry *entry = new_entry();
    size_t before = used();

    change_and_release(entry, first);
    assert_int_equal(used(), before + granules(entry_code_size(entry)) + granules(20 * FILTER_SIZE));
    for (int i = 0; i < 4; i++) {
        assert_int_equal(entry_state(entry), states[i]);
        assert_int_equal(entry_unsettled(entry), states[i] != ENTRY_SETTLED);
        check_code(entry_offset(entry), first);
        assert_int_equal(entry_settle(entry), 0);
    }
    assert_int_equal(entry_state(entry), ENTRY_SETTLED);
    assert_int_equal(used(), before + granules(20 * FILTER_SIZE));      /* a filter a key */
    entry_free(entry);
}

/* In each state the copy that was there is what the change releases, and nothing else. */
static void test_change_in_any_state(void **state)
{
    size_t before = used();

    for (int steps = 0; steps <= 3; steps++) {
        struct entry *entry = new_entry();
        struct entry_change *replaced;
        size_t first_size, after;

        change_and_release(entry, first);
        for (int i = 0; i < steps; i++)
            assert_int_equal(entry_settle(entry), 0);
        first_size = entry_code_size(entry);
        replaced = change(entry, second);
        assert_int_equal(entry_state(entry), ENTRY_MOVED);
        check_code(entry_offset(entry), second);
        after = used();
        entry_change_release(replaced);
        assert_int_equal(after - used(), steps == 3 ? 0 : granules(first_size));
        while (entry_unsettled(entry)) {
            assert_int_equal(entry_settle(entry), 0);
            check_code(entry_offset(entry), second);
        }
        entry_free(entry);
    }
    assert_int_equal(used(), before);
}

static void test_large_code_stays_a_copy(void **state)
{
    struct entry *entry = new_entry();
    size_t before = used();

    change_and_release(entry, large);
    assert_true(entry_code_size(entry) > ENTRY_HOME_SIZE);
    assert_false(entry_unsettled(entry));
    assert_int_equal(entry_settle(entry), 0);
    assert_int_equal(entry_state(entry), ENTRY_MOVED);
    check_code(entry_offset(entry), large);
    change_and_release(entry, first);
    assert_true(entry_unsettled(entry));
    /* With the keys the room for their filters is gone. */
    assert_int_equal(used(), before + granules(entry_code_size(entry)) + granules(20 * FILTER_SIZE));
    entry_free(entry);
}

/* The first code comes without a copy where it fits, and its keys can be removed at once. */
static void test_start(void **state)
{
    struct entry *entry = new_entry();
    struct entry_change *prepared;
    struct version version = first;
    struct dispatcher_case cases[KEYS];
    struct dispatcher dispatcher = make_dispatcher(first, cases);
    size_t count = dispatcher.count, before = used();

    fill(granules(count * FILTER_SIZE) - IMAGE_GRANULE);
    take_snapshot();
    assert_int_equal(entry_start(entry, &dispatcher), -ENOSPC);
    check_unchanged();
    unfill();
    fill(granules(count * FILTER_SIZE));
    assert_int_equal(entry_start(entry, &dispatcher), 0);
    assert_int_equal(entry_state(entry), ENTRY_SETTLED);
    check_code(entry_offset(entry), first);
    for (uint64_t key = 1; key < UINT64_C(1) << first.count; key <<= 1) {
        version.removed |= key;
        assert_int_equal(prepare(entry, version, &prepared), 0);
        assert_int_equal(entry_change_commit(prepared), 0);
        check_code(entry_offset(entry), version);
        entry_change_release(prepared);
    }
    unfill();
    assert_int_equal(used(), before + granules(count * FILTER_SIZE));
    entry_free(entry);

    entry = new_entry();
    dispatcher = make_dispatcher(large, cases);
    assert_int_equal(entry_start(entry, &dispatcher), 0);
    assert_int_equal(entry_state(entry), ENTRY_MOVED);
    check_code(entry_offset(entry), large);
    entry_free(entry);
}

static void test_foreign_slot_changes_nothing(void **state)
{
    struct entry *entry = new_entry();
    struct entry_change *prepared;
    struct image_usage before, after;
    uint64_t *slot = image_write(text.image, entry_offset(entry) + SLOT_SIZE),
             good = *slot;

    image_usage(text.image, &before);
    assert_int_equal(prepare(entry, first, &prepared), 0);
    assert_int_equal(entry_change_check(prepared), 0);
    *slot = 12345;
    assert_int_equal(entry_change_check(prepared), -ESTALE);
    assert_int_equal(*slot, 12345);
    assert_int_equal(entry_change_commit(prepared), -ESTALE);
    assert_int_equal(*slot, 12345);
    assert_int_equal(entry_state(entry), ENTRY_SETTLED);
    image_usage(text.image, &after);
    assert_memory_equal(&before, &after, sizeof(before));
    *slot = good;
    change_and_release(entry, first);
    assert_int_equal(entry_settle(entry), 0);
    good = *slot;
    *slot = 12345;
    assert_int_equal(entry_settle(entry), -ESTALE);
    assert_int_equal(*slot, 12345);
    assert_int_equal(entry_state(entry), ENTRY_WRITTEN);
    *slot = good;
    check_code(entry_offset(entry), first);
    entry_free(entry);
}

/* ---- a full image ---- */

static void test_full_image_changes_nothing(void **state)
{
    struct entry *entry = new_entry(), *other = NULL;
    struct entry_change *prepared = NULL;

    change_and_release(entry, first);
    fill(IMAGE_GRANULE);
    take_snapshot();
    assert_int_equal(entry_new(text.image, DEFAULT_VERDICT, &other), -ENOSPC);
    assert_null(other);
    assert_int_equal(prepare(entry, second, &prepared), -ENOSPC);
    /* Equal code is no removal, and neither is a key that leads elsewhere. */
    assert_int_equal(prepare(entry, first, &prepared), -ENOSPC);
    assert_int_equal(prepare(entry, (struct version){ 2, 19, 0 }, &prepared), -ENOSPC);
    assert_null(prepared);
    check_unchanged();
    check_code(entry_offset(entry), first);
    /* The rest of the way home needs nothing. */
    while (entry_unsettled(entry)) {
        assert_int_equal(entry_settle(entry), 0);
        check_code(entry_offset(entry), first);
    }
    /* What is small enough goes on, and can be tried again after it was dropped. */
    assert_int_equal(prepare(entry, (struct version){ 1, 1, 0 }, &prepared), 0);
    assert_null(entry_change_abort(prepared));
    change_and_release(entry, (struct version){ 1, 1, 0 });
    assert_int_equal(entry_state(entry), ENTRY_MOVED);
    check_code(entry_offset(entry), (struct version){ 1, 1, 0 });
    unfill();
    entry_free(entry);
}

/* With any room that is too little nothing changes; with what suffices all does. */
static void test_each_reservation_that_fails(void **state)
{
    struct entry *entry = new_entry();
    struct entry_change *prepared = NULL;
    struct dispatcher_case cases[KEYS];
    struct dispatcher dispatcher = make_dispatcher(second, cases);
    size_t needed;

    change_and_release(entry, first);
    needed = entry_prepare_size(entry, &dispatcher);
    for (size_t room = 0; room < needed; room += IMAGE_GRANULE) {
        fill(room);
        take_snapshot();
        assert_int_equal(prepare(entry, second, &prepared), -ENOSPC);
        assert_null(prepared);
        check_unchanged();
        unfill();
    }
    fill(needed + 16 * IMAGE_GRANULE);          /* before each of two pieces a colour may leave up to eight granules */
    take_snapshot();
    assert_int_equal(prepare(entry, second, &prepared), 0);
    entry_change_abort(prepared);
    check_unchanged();
    change_and_release(entry, second);
    check_code(entry_offset(entry), second);
    unfill();
    entry_free(entry);
}

/* One removal without room: the slot and a filter a key are written, and no byte is taken. */
static void remove_keys(struct entry *entry, struct version *version, uint64_t removed)
{
    struct version next = { version->number, version->count, version->removed | removed };
    size_t keys = count_keys(*version) - count_keys(next), before = used();
    struct entry_change *prepared;

    take_snapshot();
    assert_int_equal(prepare(entry, next, &prepared), 0);
    entry_change_abort(prepared);
    check_unchanged();
    check_code(entry_offset(entry), *version);
    assert_int_equal(prepare(entry, next, &prepared), 0);
    assert_int_equal(entry_change_commit(prepared), 0);
    *version = next;
    assert_int_equal(entry_state(entry), ENTRY_FILTERED);
    assert_in_range(changed_granules(), granules(keys * FILTER_SIZE) / IMAGE_GRANULE + 1,
                    granules((keys + 1) * FILTER_SIZE) / IMAGE_GRANULE + 1);
    assert_int_equal(used(), before);
    check_code(entry_offset(entry), next);
    entry_change_release(prepared);
    check_code(entry_offset(entry), next);
    assert_false(entry_unsettled(entry));
    assert_int_equal(entry_settle(entry), 0);
}

/* All keys of an entry that has settled so far, `group` bits of `removed` at once; and back. */
static void remove_all(struct version version, int steps, int group)
{
    static struct snapshot empty;
    struct entry *entry = new_entry();
    struct entry_change *prepared = NULL;
    size_t copy_size, full;

    entry_free(entry);
    take_snapshot();
    empty = snapshot;
    entry = new_entry();
    change_and_release(entry, version);
    for (int i = 0; i < steps; i++)
        assert_int_equal(entry_settle(entry), 0);
    copy_size = steps == 2 ? granules(entry_code_size(entry)) : 0;
    fill(0);
    full = used();
    for (uint64_t bits = (UINT64_C(1) << group) - 1; count_keys(version) > 0; bits <<= group)
        remove_keys(entry, &version, bits);
    assert_int_equal(used(), full - copy_size);         /* the copy that was left already goes */
    take_snapshot();
    assert_int_equal(prepare(entry, first, &prepared), -ENOSPC);
    check_unchanged();
    unfill();
    change_and_release(entry, second);
    assert_int_equal(entry_state(entry), ENTRY_MOVED);
    check_code(entry_offset(entry), second);
    while (entry_unsettled(entry)) {
        assert_int_equal(entry_settle(entry), 0);
        check_code(entry_offset(entry), second);
    }
    assert_int_equal(used(), empty.usage.used + granules(16 + ENTRY_HOME_SIZE) +
                                 granules(second.count * FILTER_SIZE));
    entry_free(entry);
    assert_int_equal(used(), empty.usage.used);
    snapshot = empty;
    assert_int_equal(changed_granules(), 0);    /* all is poison again */
}

static void test_removal_in_a_full_image(void **state)
{
    static const int groups[] = { 1, 7, 63 };

    for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
        for (int steps = 0; steps <= 4; steps++)
            remove_all(first, steps, groups[i]);
        remove_all(large, 0, groups[i]);
    }
}

/* An entry that dies filtered gives everything back. */
static void test_free_while_filtered(void **state)
{
    size_t before = used();
    struct entry *entry = new_entry();
    struct version version = first;

    change_and_release(entry, first);
    fill(0);
    remove_keys(entry, &version, 0xff);
    unfill();
    entry_free(entry);
    assert_int_equal(used(), before);
}

/* A filter takes the sampler out, which gives its granule back; it comes again when there is new code. */
static void test_removal_takes_the_sampler_out(void **state)
{
    const int64_t stub = 0;             /* never called */
    struct entry *entry = new_entry();
    struct version version = first;
    struct entry_change *prepared;
    size_t before;

    change_and_release(entry, first);
    while (entry_unsettled(entry))
        assert_int_equal(entry_settle(entry), 0);
    before = used();
    assert_int_equal(entry_prepare_sample(entry, true, stub, &prepared), 0);
    assert_int_equal(entry_change_commit(prepared), 0);
    entry_change_release(prepared);
    assert_true(entry_sampled(entry));
    assert_int_equal(used(), before + IMAGE_GRANULE);
    fill(0);
    version.removed = 1;
    assert_int_equal(prepare(entry, version, &prepared), 0);
    entry_change_abort(prepared);
    assert_true(entry_sampled(entry));
    assert_int_equal(prepare(entry, version, &prepared), 0);
    assert_int_equal(entry_change_commit(prepared), 0);
    assert_int_equal(entry_state(entry), ENTRY_FILTERED);
    assert_false(entry_sampled(entry));
    check_code(entry_offset(entry), version);           /* none of which goes by way of the stub */
    unfill();
    assert_int_equal(used(), before + IMAGE_GRANULE);
    entry_change_release(prepared);
    assert_int_equal(used(), before);
    check_code(entry_offset(entry), version);
    assert_int_equal(entry_prepare_sample(entry, false, stub, &prepared), -EALREADY);
    assert_int_equal(entry_prepare_sample(entry, true, stub, &prepared), -EBUSY);
    entry_free(entry);
}

/* Settling in an image without a free byte: nothing but the entry itself may be written. */
static void test_settling_stays_at_home(void **state)
{
    static uint64_t filled[TEXT_SIZE / IMAGE_GRANULE + 1];
    static char pattern[IMAGE_GRANULE];
    struct entry *entry = new_entry();
    size_t count = 0;

    memset(pattern, 0x90, sizeof(pattern));
    change_and_release(entry, first);
    while (image_reserve(text.image, IMAGE_GRANULE, IMAGE_ANY, &filled[count]) == 0)
        memset(image_write(text.image, filled[count++]), 0x90, IMAGE_GRANULE);
    while (entry_unsettled(entry))
        assert_int_equal(entry_settle(entry), 0);
    for (size_t i = 0; i < count; i++) {
        assert_memory_equal(image_write(text.image, filled[i]), pattern, sizeof(pattern));
        image_abort(text.image, filled[i]);
    }
    check_code(entry_offset(entry), first);
    entry_free(entry);
}

/* ---- random changes and steps under simulated readers ---- */

#define READERS 4
#define GARBAGE 64

struct reader {
    bool inside;
    uint64_t location;          /* where the slot led when it entered */
    struct version version;
    unsigned long entered;
};

struct world {
    struct entry *entry;
    struct version version;
    unsigned long now, changed; /* time of the last change or step of the entry */
    struct reader reader[READERS];
    struct { struct entry_change *change; unsigned long replaced; } garbage[GARBAGE];
    size_t garbages;
    unsigned steps[ENTRY_RETURNED + 1], refused, filtered[ENTRY_FILTERED + 1], rebuilt;
    bool careless;              /* negative control: waits are left out */
    unsigned wrong;
};

/* Has a grace period begun after `since` and ended? */
static bool grace_has_passed(const struct world *world, unsigned long since)
{
    for (int i = 0; i < READERS && !world->careless; i++)
        if (world->reader[i].inside && world->reader[i].entered <= since)
            return false;
    return true;
}

static uint64_t slot_target(const struct entry *entry)
{
    uint64_t slot = entry_offset(entry) + SLOT_SIZE, value;
    int32_t distance;

    memcpy(&value, image_write(text.image, slot), sizeof(value));
    if (value == architecture_native()->slot_fall_through())
        return slot + SLOT_SIZE;
    memcpy(&distance, (char *)image_write(text.image, slot) + 1, sizeof(distance));
    assert_int_equal(
        value, architecture_native()->slot_jump(slot, slot + 5 + (uint64_t)(int64_t)distance));
    return slot + 5 + (uint64_t)(int64_t)distance;
}

static void reader_step(struct world *world, struct reader *reader)
{
    if (!reader->inside) {
        *reader = (struct reader){ true, slot_target(world->entry), world->version, ++world->now };
        return;
    }
    world->wrong += !answers_as(reader->location, reader->version);
    if (rand() % 2 == 0)
        reader->inside = false;
}

/* Most of them only remove, one key at least. */
static struct version random_version(const struct world *world)
{
    struct version version = world->version;

    version.removed |= UINT64_C(1) << rand() % 64;
    if (rand() % 4 == 0)
        version.removed |= (uint64_t)rand() << 32 | (uint64_t)rand();
    if (rand() % 4 && count_keys(version) < count_keys(world->version))
        return version;
    return (struct version){ world->version.number + 1,
                             (uint32_t)rand() % (rand() % 4 ? 60 : KEYS), 0 };
}

/* The image is full, or nearly so, half of the time. */
static void fill_step(void)
{
    if (fillers > 0)
        unfill();
    else
        fill((size_t)rand() % 12 * IMAGE_GRANULE);
}

static void change_step(struct world *world)
{
    struct version version = random_version(world);
    enum entry_state before = entry_state(world->entry);
    struct entry_change *prepared;
    struct image_usage usage[2];
    int r;

    image_usage(text.image, &usage[0]);
    r = prepare(world->entry, version, &prepared);
    if (r < 0) {
        assert_int_equal(r, -ENOSPC);
        assert_false(version.number == world->version.number);  /* no removal */
        world->refused++;
    } else if (rand() % 4 == 0) {
        entry_change_abort(prepared);
        r = -ECANCELED;
    }
    if (r < 0) {
        image_usage(text.image, &usage[1]);
        assert_memory_equal(&usage[0], &usage[1], sizeof(usage[0]));
        return;
    }
    assert_int_equal(entry_change_commit(prepared), 0);
    world->filtered[before] += entry_state(world->entry) == ENTRY_FILTERED;
    world->rebuilt += before == ENTRY_FILTERED && entry_state(world->entry) == ENTRY_MOVED;
    world->version = version;
    world->changed = ++world->now;
    assert_true(world->garbages < GARBAGE);
    world->garbage[world->garbages].change = prepared;
    world->garbage[world->garbages++].replaced = world->now;
}

static void settle_step(struct world *world)
{
    if (!entry_unsettled(world->entry) || !grace_has_passed(world, world->changed))
        return;
    world->steps[entry_state(world->entry)]++;
    assert_int_equal(entry_settle(world->entry), 0);
    world->changed = ++world->now;
}

static void release_step(struct world *world)
{
    for (size_t i = 0; i < world->garbages;) {
        if (!grace_has_passed(world, world->garbage[i].replaced)) {
            i++;
            continue;
        }
        entry_change_release(world->garbage[i].change);
        world->garbage[i] = world->garbage[--world->garbages];
    }
}

static void run_world(struct world *world)
{
    srand(1);
    for (int i = 0; i < 40000; i++) {
        int what = rand() % 32;

        if (what == 0 && world->garbages < GARBAGE)
            change_step(world);
        else if (what < 12)
            settle_step(world);
        else if (what < 13)
            release_step(world);
        else if (what < 14 && rand() % 4 == 0)
            fill_step();
        else
            reader_step(world, &world->reader[rand() % READERS]);
        world->wrong += !answers_as(entry_offset(world->entry), world->version);
        /* A moment without readers is a grace period, however short. */
        if (grace_has_passed(world, world->now) && image_refresh_begin(text.image))
            image_refresh_end(text.image);
    }
    unfill();
}

static void test_random_changes_under_readers(void **state)
{
    struct world world = { .entry = new_entry() };

    run_world(&world);
    assert_int_equal(world.wrong, 0);
    for (int s = ENTRY_MOVED; s <= ENTRY_RETURNED; s++)
        assert_true(world.steps[s] > 50);
    print_message("# filtered from each state: %u %u %u %u %u, rebuilt %u, refused %u\n",
                  world.filtered[0], world.filtered[1], world.filtered[2], world.filtered[3],
                  world.filtered[4], world.rebuilt, world.refused);
    for (int s = ENTRY_SETTLED; s <= ENTRY_FILTERED; s++)
        assert_true(world.filtered[s] > 2);
    assert_true(world.refused > 50 && world.rebuilt > 20);
    for (size_t i = 0; i < world.garbages; i++)
        entry_change_release(world.garbage[i].change);
    entry_free(world.entry);
}

/* Without waits a reader must meet poison (and die of it) or other code than it entered. */
static void test_readers_find_a_missing_wait(void **state)
{
    struct world world = { .entry = new_entry(), .careless = true };
    pid_t child = fork();
    int status;

    assert_true(child >= 0);
    if (child == 0) {
        prctl(PR_SET_DUMPABLE, 0);
        signal(SIGTRAP, SIG_DFL);
        run_world(&world);
        _exit(world.wrong > 0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) != 0);
    entry_free(world.entry);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_new_entry_returns_its_default),
        cmocka_unit_test(test_settling),
        cmocka_unit_test(test_change_in_any_state),
        cmocka_unit_test(test_large_code_stays_a_copy),
        cmocka_unit_test(test_start),
        cmocka_unit_test(test_foreign_slot_changes_nothing),
        cmocka_unit_test(test_full_image_changes_nothing),
        cmocka_unit_test(test_each_reservation_that_fails),
        cmocka_unit_test(test_removal_in_a_full_image),
        cmocka_unit_test(test_free_while_filtered),
        cmocka_unit_test(test_removal_takes_the_sampler_out),
        cmocka_unit_test(test_settling_stays_at_home),
        cmocka_unit_test(test_random_changes_under_readers),
        cmocka_unit_test(test_readers_find_a_missing_wait),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
