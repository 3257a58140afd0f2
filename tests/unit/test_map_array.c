/* SPDX-License-Identifier: MIT */
/* Arrays, of both kinds: what the kernel's do, at any instruction of a killed update too, whatever journals say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>

#include "maps/block.h"
#include "maps/fixture.h"
#include "runtime/array.h"
#include "stepping.h"

#define ENTRIES 5
#define SIZE_MAX_TRIED (SEAT_BUFFER + 9)

static const uint32_t kinds[] = { BPF_MAP_TYPE_ARRAY, BPF_MAP_TYPE_PERCPU_ARRAY };

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static struct fixture new_map(uint32_t kind, uint32_t value_size)
{
    struct map_definition definition = { kind, sizeof(uint32_t), value_size, ENTRIES, 0 };
    struct fixture fixture;

    fixture_make(&definition, &fixture);
    return fixture;
}

static long update(const struct fixture *fixture, uint32_t index, unsigned number, uint64_t flags,
                   struct thread *thread)
{
    static uint8_t value[SIZE_MAX_TRIED];

    memset(value, (int)number, fixture->map->value_size);
    return fixture->kind->call_update(fixture->map, &index, value, flags, 0, thread);
}

/* The number that all bytes are; -1: they differ. */
static long number_of(const struct fixture *fixture, const uint8_t *value)
{
    for (uint32_t i = 1; i < fixture->map->value_size; i++)
        if (value[i] != value[0])
            return -1;
    return value[0];
}

static long lookup(const struct fixture *fixture, uint32_t index, struct thread *thread)
{
    const uint8_t *value = fixture->kind->call_lookup(fixture->map, &index, 0, 0, 0, thread);

    return value ? number_of(fixture, value) : -ENOENT;
}

/* ---- what they do ---- */

static void try_steps(const struct fixture *fixture, struct thread *thread)
{
    uint32_t index = 1;

    assert_int_equal(lookup(fixture, 0, thread), 0);
    assert_int_equal(lookup(fixture, ENTRIES - 1, thread), 0);
    assert_int_equal(lookup(fixture, ENTRIES, thread), -ENOENT);
    assert_int_equal(lookup(fixture, UINT32_MAX, thread), -ENOENT);
    assert_int_equal(update(fixture, 1, 11, BPF_ANY, thread), 0);
    assert_int_equal(update(fixture, 2, 12, BPF_EXIST, thread), 0);
    assert_int_equal(update(fixture, 1, 13, BPF_NOEXIST, thread), -EEXIST);
    assert_int_equal(update(fixture, 1, 13, BPF_F_LOCK, thread), -EINVAL);
    assert_int_equal(update(fixture, ENTRIES, 13, BPF_ANY, thread), -E2BIG);
    assert_int_equal(update(fixture, UINT32_MAX, 13, BPF_NOEXIST, thread), -E2BIG);
    assert_int_equal(lookup(fixture, 0, thread), 0);
    assert_int_equal(lookup(fixture, 1, thread), 11);
    assert_int_equal(lookup(fixture, 2, thread), 12);
    assert_int_equal(lookup(fixture, 3, thread), 0);
    assert_int_equal(fixture->kind->call_delete(fixture->map, &index, 0, 0, 0, thread), -EINVAL);
}

static void test_steps(void **state)
{
    static const uint32_t sizes[] = { 1, 2, 3, 4, 7, 8, 9, 64, 100, SEAT_BUFFER, SIZE_MAX_TRIED };

    for (size_t kind = 0; kind < KINDS; kind++)
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            struct fixture fixture = new_map(kinds[kind], sizes[i]);
            struct thread thread = fixture_thread(0);

            try_steps(&fixture, &thread);
            fixture_clear(&fixture);
        }
}

static void test_iteration(void **state)
{
    for (size_t kind = 0; kind < KINDS; kind++) {
        struct fixture fixture = new_map(kinds[kind], 12);
        struct thread thread = fixture_thread(0);
        struct map_cursor cursor = { 0 };
        const uint32_t *key;
        uint32_t expected = 0;
        void *value;

        for (uint32_t i = 0; i < ENTRIES; i++)
            assert_int_equal(update(&fixture, i, 10 + i, BPF_ANY, &thread), 0);
        while ((key = fixture.kind->call_next(fixture.map, &cursor, &value, 0, 0, &thread))) {
            assert_int_equal(*key, expected);
            assert_int_equal(number_of(&fixture, value), 10 + expected);
            expected++;
        }
        assert_int_equal(expected, ENTRIES);
        fixture_clear(&fixture);
    }
}

static void test_copies(void **state)
{
    struct fixture fixture = new_map(BPF_MAP_TYPE_PERCPU_ARRAY, 12);
    struct thread first = fixture_thread(0), second = fixture_thread(1), nobody = { 0 };
    uint32_t index = 3;
    const uint8_t *copies;

    assert_int_equal(update(&fixture, index, 1, BPF_ANY, &first), 0);
    assert_int_equal(lookup(&fixture, index, &second), 0);
    assert_int_equal(update(&fixture, index, 2, BPF_ANY, &second), 0);
    assert_int_equal(lookup(&fixture, index, &first), 1);
    assert_int_equal(lookup(&fixture, index, &nobody), -ENOENT);
    assert_int_equal(update(&fixture, index, 3, BPF_ANY, &nobody), -ENOSPC);
    copies = fixture.kind->call_copies(fixture.map, &index);
    assert_int_equal(copies[0], 1);
    assert_int_equal(copies[fixture.map->copy_stride], 2);
    assert_int_equal(fixture.map->copy_stride % 64, 0);
    fixture_clear(&fixture);
}

/* Words need no lock; of others, who holds it and does not go on keeps only its own from being updated. */
static void test_lock_is_held(void **state)
{
    struct fixture fixture = new_map(BPF_MAP_TYPE_ARRAY, 12), words = new_map(BPF_MAP_TYPE_ARRAY, 8);
    struct thread thread = fixture_thread(0);

    ((uint32_t *)(void *)(fixture.memory + ARRAY_LOCKS_AT(fixture.map)))[2] = 77;
    assert_int_equal(update(&fixture, 2, 1, BPF_ANY, &thread), -EBUSY);
    assert_int_equal(update(&fixture, 3, 1, BPF_ANY, &thread), 0);
    assert_int_equal(lookup(&fixture, 2, &thread), 0);
    ((uint32_t *)(void *)(words.memory + ARRAY_LOCKS_AT(words.map)))[2] = 77;
    assert_int_equal(update(&words, 2, 1, BPF_ANY, &thread), 0);
    fixture_clear(&fixture);
    fixture_clear(&words);
}

static void test_definitions(void **state)
{
    static const struct {
        struct map_definition definition;
        int r;
    } cases[] = {
        { { BPF_MAP_TYPE_ARRAY, 4, 1, 1, BPF_F_RDONLY_PROG }, 0 },
        { { BPF_MAP_TYPE_ARRAY, 4, 1 << 20, 200, 0 }, 0 },
        { { BPF_MAP_TYPE_ARRAY, 8, 8, 1, 0 }, -EINVAL },
        { { BPF_MAP_TYPE_ARRAY, 4, 0, 1, 0 }, -EINVAL },
        { { BPF_MAP_TYPE_ARRAY, 4, 8, 0, 0 }, -EINVAL },
        { { BPF_MAP_TYPE_ARRAY, 4, 8, UINT32_MAX, 0 }, -E2BIG },
        { { BPF_MAP_TYPE_ARRAY, 4, (1 << 20) + 1, 1, 0 }, -E2BIG },
        { { BPF_MAP_TYPE_ARRAY, 4, 8, 1, BPF_F_MMAPABLE }, -EOPNOTSUPP },
        { { BPF_MAP_TYPE_PERCPU_ARRAY, 4, 32 << 10, 1, 0 }, 0 },
        { { BPF_MAP_TYPE_PERCPU_ARRAY, 4, (32 << 10) + 1, 1, 0 }, -E2BIG },
        { { BPF_MAP_TYPE_PERCPU_ARRAY, 4, 8, 1 << 20, 0 }, -E2BIG },
        { { BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 8, 7, 0 }, 0 },
        { { BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 4, 7, 0 }, -EINVAL },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct jit_error error = { 0 };
        struct map map;
        int r = map_lay_out(&cases[i].definition, &map, &error);

        if (r != cases[i].r)
            fail_msg("definition %zu: %d, not %d: %s", i, r, cases[i].r, error.text);
    }
}

/* ---- maps of maps ---- */

static void test_inner(void **state)
{
    struct map_definition definition = { BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 8, ENTRIES, 0 };
    struct thread thread = fixture_thread(0);
    struct fixture outer, inner = new_map(BPF_MAP_TYPE_ARRAY, 8);
    int64_t distance;
    uint32_t index = 2;

    fixture_make(&definition, &outer);
    assert_null(map_array_lookup(outer.map, &index));
    distance = (const uint8_t *)inner.map - (const uint8_t *)outer.map;
    assert_int_equal(outer.kind->call_update(outer.map, &index, &distance, BPF_ANY, 0, &thread), 0);
    assert_ptr_equal(map_array_lookup(outer.map, &index), inner.map);
    index = ENTRIES;
    assert_null(map_array_lookup(outer.map, &index));
    fixture_clear(&outer);
    fixture_clear(&inner);
}

/* ---- an update that is killed at any instruction ---- */

struct killing {
    struct fixture fixture, copy;
    struct thread thread;
    bool done, torn;            /* torn: was it ever half written before recovery? */
};

static void act(void *argument)
{
    struct killing *killing = argument;

    update(&killing->fixture, 2, 7, BPF_ANY, &killing->thread);
}

static void look(void *argument)
{
    struct killing *killing = argument;
    uint8_t *value = killing->copy.memory + 2 * killing->copy.map->stride;
    struct thread next = fixture_thread(1);
    long now;

    fixture_copy(&killing->fixture, &killing->copy);
    killing->torn |= number_of(&killing->copy, value) < 0;
    fixture_recover(&killing->copy, 0);
    now = number_of(&killing->copy, value);
    if (now != (killing->done ? 7 : 6)) {
        assert_int_equal(now, 7);
        killing->done = true;
    }
    assert_int_equal(number_of(&killing->copy, value - killing->copy.map->stride), 1);
    assert_int_equal(number_of(&killing->copy, value + killing->copy.map->stride), 3);
    assert_int_equal(update(&killing->copy, 2, 9, BPF_ANY, &next), 0);
}

static void try_killing(uint32_t kind, uint32_t value_size)
{
    struct killing killing = { new_map(kind, value_size), new_map(kind, value_size), fixture_thread(0), false, false };

    for (uint32_t i = 0; i < ENTRIES; i++)
        assert_int_equal(update(&killing.fixture, i, i == 2 ? 6 : i, BPF_ANY, &killing.thread), 0);
    stepping_run(act, look, &killing);
    assert_true(killing.done);
    assert_int_equal(killing.torn, value_size > 8);
    fixture_clear(&killing.fixture);
    fixture_clear(&killing.copy);
}

static void test_killing(void **state)
{
    if (!stepping_works())
        skip();
    for (size_t kind = 0; kind < KINDS; kind++) {
        try_killing(kinds[kind], 8);
        try_killing(kinds[kind], 21);
        try_killing(kinds[kind], 256);
    }
}

/* What another has written since stays: the journal of one that has finished says nothing. */
static void test_no_late_redo(void **state)
{
    struct fixture fixture = new_map(BPF_MAP_TYPE_ARRAY, 12);
    struct thread first = fixture_thread(0), second = fixture_thread(1);

    assert_int_equal(update(&fixture, 1, 5, BPF_ANY, &first), 0);
    assert_int_equal(update(&fixture, 1, 6, BPF_ANY, &second), 0);
    fixture_seat(&fixture, 0)->journal.map = fixture.map->number;
    fixture_seat(&fixture, 0)->journal.size = 12;
    fixture_seat(&fixture, 0)->journal.lock = ARRAY_LOCKS_AT(fixture.map) + 4;
    fixture_recover(&fixture, 0);
    assert_int_equal(lookup(&fixture, 1, &second), 6);
    fixture_clear(&fixture);
}

/* ---- journals that say anything ---- */

static void test_hostile(void **state)
{
    srand(1);
    for (size_t kind = 0; kind < KINDS; kind++) {
        struct fixture fixture = new_map(kinds[kind], 100);
        struct seat *seat = &fixture.head->seat[0];

        for (unsigned turn = 0; turn < 200000; turn++) {
            uint32_t any = (uint32_t)rand() * 2u, lock = rand() % 3 ? any % (uint32_t)fixture.map->size : any;

            seat->journal.map = fixture.map->number;
            seat->journal.lock = rand() % 2 ? lock & ~3u : ARRAY_LOCKS_AT(fixture.map);
            if (seat->journal.lock <= fixture.map->size - 4)
                *(uint32_t *)(void *)(fixture.memory + (seat->journal.lock & ~3u)) = 1;
            seat->journal.size = rand() % 4 ? fixture.map->value_size : (uint32_t)rand();
            seat->journal.place = rand() % 2 ? (uint64_t)rand() % fixture.map->size : (uint64_t)rand() << 33;
            map_recover(fixture.map, seat);
            assert_int_equal(seat->journal.map, 0);
        }
        fixture_clear(&fixture);
    }
}

/* ---- a key that lies in the arena, where another process changes it ---- */

struct changing_key {
    struct fixture fixture;
    uint32_t *key;              /* in the map's last value */
};

static void begin_update(void *argument)
{
    struct changing_key *changing = argument;

    fixture_reset(&changing->fixture);
    *changing->key = 1;
}

static void update_by_key(void *argument)
{
    static const uint8_t value[8];
    struct changing_key *changing = argument;
    struct thread thread = fixture_thread(0);

    changing->fixture.kind->call_update(changing->fixture.map, changing->key, value, BPF_ANY, 0, &thread);
}

static void change_key(void *argument)
{
    struct changing_key *changing = argument;

    *changing->key = UINT32_MAX;
}

/* Whoever writes outside ends by the guard pages, or far behind them, which stepping_run() takes for a failure. */
static void check_key(void *argument)
{
    struct changing_key *changing = argument;

    assert_int_equal(*changing->key, UINT32_MAX);
}

static void try_changing_key(uint32_t kind)
{
    struct changing_key changing = { .fixture = new_map(kind, 8) };

    changing.key = (uint32_t *)(void *)(changing.fixture.memory + (ENTRIES - 1) * changing.fixture.map->stride);
    stepping_overtake(&(struct overtaking){ begin_update, update_by_key, change_key, check_key, &changing });
    fixture_clear(&changing.fixture);
}

static void test_changing_key(void **state)
{
    if (!stepping_works())
        skip();
    for (size_t kind = 0; kind < KINDS; kind++)
        try_changing_key(kinds[kind]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_iteration),
        cmocka_unit_test(test_copies),
        cmocka_unit_test(test_lock_is_held),
        cmocka_unit_test(test_definitions),
        cmocka_unit_test(test_inner),
        cmocka_unit_test(test_killing),
        cmocka_unit_test(test_no_late_redo),
        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_changing_key),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
