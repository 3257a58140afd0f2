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
static uint64_t target[TARGETS];

/* A tree and how it answers: version v sends key k to target (k + v) % TARGETS if k < count. */
struct version {
    uint32_t number, count;
};

static uint32_t answer(struct version version, uint32_t key)
{
    return key < version.count ? (key + version.number) % TARGETS + 1 : DEFAULT_VERDICT;
}

static int prepare(struct entry *entry, struct version version, struct entry_change **ret)
{
    static struct dispatcher_case cases[KEYS];

    for (uint32_t k = 0; k < version.count; k++)
        cases[k] =
            (struct dispatcher_case){ .key = k, .target = target[(k + version.number) % TARGETS] };
    return entry_prepare(entry, cases, version.count, ret);
}

/* Returns what was replaced. */
static uint64_t change(struct entry *entry, struct version version)
{
    struct entry_change *prepared;
    uint64_t replaced;

    assert_int_equal(prepare(entry, version, &prepared), 0);
    assert_int_equal(entry_change_commit(prepared, &replaced), 0);
    return replaced;
}

static bool answers_as(uint64_t offset, struct version version)
{
    static const uint32_t more[] = { KEYS, KEYS + 1, 0x80000000, UINT32_MAX };
    bool same = true;

    for (int mapping = 0; mapping < 2; mapping++) {
        for (uint32_t key = 0; key <= version.count; key += 1 + version.count / 16)
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

static int setup(void **state)
{
    struct emitter emitter;

    if (text_new(TEXT_SIZE, &text) < 0)
        return -1;
    for (uint32_t i = 0; i < TARGETS; i++) {
        assert_int_equal(image_reserve(text.image, IMAGE_GRANULE, IMAGE_FRESH, &target[i]), 0);
        emitter_init(&emitter, image_write(text.image, target[i]), IMAGE_GRANULE, target[i]);
        architecture_native()->emit_tree(&emitter, NULL, 0, i + 1);
        image_commit(text.image, target[i]);
    }
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

static const struct version none = { 0, 0 }, first = { 1, 20 }, second = { 2, 33 },
                            large = { 3, KEYS };

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
    struct image_usage before, after;

    image_usage(text.image, &before);
    assert_int_equal(change(entry, first), IMAGE_NONE);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(entry_state(entry), states[i]);
        assert_int_equal(entry_unsettled(entry), states[i] != ENTRY_SETTLED);
        check_code(entry_offset(entry), first);
        assert_int_equal(entry_settle(entry), 0);
    }
    assert_int_equal(entry_state(entry), ENTRY_SETTLED);
    image_usage(text.image, &after);
    assert_int_equal(before.used, after.used);
    entry_free(entry);
}

/* In each state the copy that was there is handed to the caller, and nothing else. */
static void test_change_in_any_state(void **state)
{
    struct image_usage before, after;

    image_usage(text.image, &before);
    for (int steps = 0; steps <= 3; steps++) {
        struct entry *entry = new_entry();
        uint64_t replaced;

        change(entry, first);
        for (int i = 0; i < steps; i++)
            assert_int_equal(entry_settle(entry), 0);
        replaced = change(entry, second);
        assert_int_equal(replaced == IMAGE_NONE, steps == 3);
        assert_int_equal(entry_state(entry), ENTRY_MOVED);
        check_code(entry_offset(entry), second);
        if (replaced != IMAGE_NONE)
            image_release(text.image, replaced);
        while (entry_unsettled(entry)) {
            assert_int_equal(entry_settle(entry), 0);
            check_code(entry_offset(entry), second);
        }
        entry_free(entry);
    }
    image_usage(text.image, &after);
    assert_int_equal(before.used, after.used);
}

static void test_large_code_stays_a_copy(void **state)
{
    struct entry *entry = new_entry();
    uint64_t replaced;

    change(entry, large);
    assert_true(entry_code_size(entry) > ENTRY_HOME_SIZE);
    assert_false(entry_unsettled(entry));
    assert_int_equal(entry_settle(entry), 0);
    assert_int_equal(entry_state(entry), ENTRY_MOVED);
    check_code(entry_offset(entry), large);
    replaced = change(entry, first);
    assert_true(entry_unsettled(entry));
    image_release(text.image, replaced);
    entry_free(entry);
}

static void test_foreign_slot_changes_nothing(void **state)
{
    struct entry *entry = new_entry();
    struct entry_change *prepared;
    struct image_usage before, after;
    uint64_t replaced = 12345, *slot = image_write(text.image, entry_offset(entry) + SLOT_SIZE),
             good = *slot;

    image_usage(text.image, &before);
    assert_int_equal(prepare(entry, first, &prepared), 0);
    *slot = 12345;
    assert_int_equal(entry_change_commit(prepared, &replaced), -ESTALE);
    assert_int_equal(*slot, 12345);
    assert_int_equal(replaced, 12345);
    assert_int_equal(entry_state(entry), ENTRY_SETTLED);
    image_usage(text.image, &after);
    assert_memory_equal(&before, &after, sizeof(before));
    *slot = good;
    change(entry, first);
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

/* Leave `room` bytes, at most, and those contiguous and fresh. */
static size_t fill(uint64_t *filled, size_t size, size_t room)
{
    size_t count = 0;

    while (count < size && image_reserve(text.image, count == 0 ? room : IMAGE_GRANULE, IMAGE_FRESH,
                                         &filled[count]) == 0)
        count++;
    assert_true(count < size);
    image_abort(text.image, filled[0]);
    return count;
}

static void test_full_image_changes_nothing(void **state)
{
    static uint64_t filled[TEXT_SIZE / IMAGE_GRANULE + 1];
    struct entry *entry = new_entry(), *other = NULL;
    struct entry_change *prepared = NULL;
    struct image_usage before, after;
    size_t count;

    change(entry, first);
    count = fill(filled, sizeof(filled) / sizeof(filled[0]), IMAGE_GRANULE);
    image_usage(text.image, &before);
    assert_int_equal(entry_new(text.image, DEFAULT_VERDICT, &other), -ENOSPC);
    assert_null(other);
    assert_int_equal(prepare(entry, second, &prepared), -ENOSPC);
    assert_null(prepared);
    image_usage(text.image, &after);
    assert_memory_equal(&before, &after, sizeof(before));
    check_code(entry_offset(entry), first);
    /* The rest of the way home needs nothing. */
    while (entry_unsettled(entry)) {
        assert_int_equal(entry_settle(entry), 0);
        check_code(entry_offset(entry), first);
    }
    /* What is small enough goes on, and can be tried again after it was dropped. */
    assert_int_equal(prepare(entry, (struct version){ 1, 1 }, &prepared), 0);
    assert_null(entry_change_abort(prepared));
    change(entry, (struct version){ 1, 1 });
    check_code(entry_offset(entry), (struct version){ 1, 1 });
    for (size_t i = 1; i < count; i++)
        image_abort(text.image, filled[i]);
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
    change(entry, first);
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
    struct { uint64_t offset; unsigned long replaced; } garbage[GARBAGE];
    size_t garbages;
    unsigned steps[ENTRY_RETURNED + 1];
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

static void change_step(struct world *world)
{
    struct version version = { world->version.number + 1,
                               (uint32_t)rand() % (rand() % 4 ? 60 : KEYS) };
    struct entry_change *prepared;
    uint64_t replaced;

    assert_int_equal(prepare(world->entry, version, &prepared), 0);
    if (rand() % 4 == 0) {
        entry_change_abort(prepared);
        return;
    }
    assert_int_equal(entry_change_commit(prepared, &replaced), 0);
    world->version = version;
    world->changed = ++world->now;
    if (replaced == IMAGE_NONE)
        return;
    assert_true(world->garbages < GARBAGE);
    world->garbage[world->garbages].offset = replaced;
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
        image_release(text.image, world->garbage[i].offset);
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
        else
            reader_step(world, &world->reader[rand() % READERS]);
        world->wrong += !answers_as(entry_offset(world->entry), world->version);
        /* A moment without readers is a grace period, however short. */
        if (grace_has_passed(world, world->now) && image_refresh_begin(text.image))
            image_refresh_end(text.image);
    }
}

static void test_random_changes_under_readers(void **state)
{
    struct world world = { .entry = new_entry() };

    run_world(&world);
    assert_int_equal(world.wrong, 0);
    for (int s = ENTRY_MOVED; s <= ENTRY_RETURNED; s++)
        assert_true(world.steps[s] > 50);
    for (size_t i = 0; i < world.garbages; i++)
        image_release(text.image, world.garbage[i].offset);
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
        cmocka_unit_test(test_foreign_slot_changes_nothing),
        cmocka_unit_test(test_full_image_changes_nothing),
        cmocka_unit_test(test_settling_stays_at_home),
        cmocka_unit_test(test_random_changes_under_readers),
        cmocka_unit_test(test_readers_find_a_missing_wait),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
