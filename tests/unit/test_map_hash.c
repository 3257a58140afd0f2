/* SPDX-License-Identifier: MIT */
/*
 * Hash tables, of all kinds: what the kernel's do, at any instruction of a killed change too, whatever lies in the
 * memory.
 */
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
#include "runtime/element.h"
#include "runtime/hash.h"
#include "stepping.h"
#include "table_walker.h"

#define VALUE_SIZE 20           /* bytes: more than one store writes */
#define ENTRIES 16
#define CROWD 10                /* keys of one bucket: more than it has slots */

struct value {
    uint8_t byte[VALUE_SIZE];
};

static struct value value(unsigned number)
{
    struct value value;

    memset(&value, (int)number, sizeof(value));
    return value;
}

static struct fixture new_map(uint32_t kind, uint32_t entries)
{
    struct map_definition definition = { kind, sizeof(uint64_t), VALUE_SIZE, entries, 0 };
    struct fixture fixture;

    fixture_make(&definition, &fixture);
    return fixture;
}

static long update(const struct fixture *fixture, uint64_t key, unsigned number, uint64_t flags, struct thread *thread)
{
    struct value written = value(number);

    return fixture->kind->call_update(fixture->map, &key, &written, flags, 0, thread);
}

static long delete(const struct fixture *fixture, uint64_t key, struct thread *thread)
{
    return fixture->kind->call_delete(fixture->map, &key, 0, 0, 0, thread);
}

/* The number of the value, -ENOENT. */
static long lookup(const struct fixture *fixture, uint64_t key, struct thread *thread)
{
    const struct value *got = fixture->kind->call_lookup(fixture->map, &key, 0, 0, 0, thread);
    struct value wanted = value(got ? got->byte[0] : 0);

    if (!got)
        return -ENOENT;
    assert_memory_equal(got, &wanted, sizeof(wanted));
    return got->byte[0];
}

static void check(const struct fixture *fixture, uint32_t elements)
{
    uint32_t got = 0;
    const char *wrong = table_check(fixture->map, &got);

    if (wrong)
        fail_msg("%s: %s", fixture->kind->name, wrong);
    assert_int_equal(got, elements);
    assert_int_equal(fixture->kind->call_count(fixture->map), elements);
}

/* The `number`th key of all that belong in this bucket. */
static uint64_t key_of_bucket(const struct fixture *fixture, uint32_t bucket, unsigned number)
{
    uint64_t key = 0;

    for (;; key++)
        if (table_bucket(fixture->map, &key) == bucket && number-- == 0)
            return key;
}

/* ---- what they do ---- */

static const uint32_t kinds[] = { BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_LRU_HASH, BPF_MAP_TYPE_PERCPU_HASH };

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static const struct step {
    enum { UPDATE, DELETE, LOOKUP } what;
    uint64_t key;
    unsigned number;
    uint64_t flags;
    long result;
} steps[] = {
    { LOOKUP, 1, 0, 0, -ENOENT },
    { DELETE, 1, 0, 0, -ENOENT },
    { UPDATE, 1, 10, BPF_EXIST, -ENOENT },
    { UPDATE, 1, 10, BPF_F_LOCK, -EINVAL },
    { UPDATE, 1, 10, UINT64_C(1) << 32, -EINVAL },
    { LOOKUP, 1, 0, 0, -ENOENT },
    { UPDATE, 1, 10, BPF_ANY, 0 },
    { LOOKUP, 1, 0, 0, 10 },
    { UPDATE, 1, 11, BPF_NOEXIST, -EEXIST },
    { LOOKUP, 1, 0, 0, 10 },
    { UPDATE, 1, 12, BPF_EXIST, 0 },
    { LOOKUP, 1, 0, 0, 12 },
    { UPDATE, 2, 20, BPF_NOEXIST, 0 },
    { UPDATE, 1, 13, BPF_ANY, 0 },
    { LOOKUP, 1, 0, 0, 13 },
    { LOOKUP, 2, 0, 0, 20 },
    { DELETE, 1, 0, 0, 0 },
    { DELETE, 1, 0, 0, -ENOENT },
    { LOOKUP, 1, 0, 0, -ENOENT },
    { LOOKUP, 2, 0, 0, 20 },
    { DELETE, 2, 0, 0, 0 },
};

static void run_step(const struct fixture *fixture, size_t i, struct thread *thread)
{
    const struct step *step = &steps[i];
    long r = step->what == UPDATE ? update(fixture, step->key, step->number, step->flags, thread) :
             step->what == DELETE ? delete(fixture, step->key, thread) :
                                    lookup(fixture, step->key, thread);

    if (r != step->result)
        fail_msg("%s, step %zu: %ld, not %ld", fixture->kind->name, i, r, step->result);
}

static void test_steps(void **state)
{
    for (size_t kind = 0; kind < KINDS; kind++) {
        struct fixture fixture = new_map(kinds[kind], ENTRIES);
        struct thread thread = fixture_thread(0);

        for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
            run_step(&fixture, i, &thread);
        check(&fixture, 0);
        fixture_clear(&fixture);
    }
}

/* Exactly max_entries, however often they were replaced, by whomever; one more is refused, and fits after a delete. */
static void test_full(void **state)
{
    static const uint32_t sizes[] = { 1, 7, 8, 61, 500 };

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct fixture fixture = new_map(BPF_MAP_TYPE_HASH, sizes[i]);
        struct thread thread[3] = { fixture_thread(0), fixture_thread(1), fixture_thread(2) };

        for (unsigned round = 0; round < 3; round++) {
            for (uint64_t key = 0; key < sizes[i]; key++)
                assert_int_equal(update(&fixture, key, 1, BPF_NOEXIST, &thread[key % 3]), 0);
            assert_int_equal(update(&fixture, 1000, 1, BPF_ANY, &thread[0]), -E2BIG);
            for (uint64_t key = 0; key < sizes[i]; key++)
                for (unsigned t = 0; t < 3; t++)
                    assert_int_equal(update(&fixture, key, 2 + t, BPF_EXIST, &thread[t]), 0);
            assert_int_equal(update(&fixture, 1000, 1, BPF_ANY, &thread[1]), -E2BIG);
            check(&fixture, sizes[i]);
            assert_int_equal(delete(&fixture, sizes[i] / 2, &thread[2]), 0);
            assert_int_equal(update(&fixture, 1000, 9, BPF_ANY, &thread[1]), 0);
            assert_int_equal(lookup(&fixture, 1000, &thread[0]), 9);
            assert_int_equal(delete(&fixture, 1000, &thread[0]), 0);
            for (uint64_t key = 0; key < sizes[i]; key++)
                assert_int_equal(delete(&fixture, key, &thread[key % 2]), key == sizes[i] / 2 ? -ENOENT : 0);
            check(&fixture, 0);
        }
        fixture_clear(&fixture);
    }
}

/* More keys in a bucket than it has slots, which come and go in all orders. */
static void test_overflow(void **state)
{
    for (size_t kind = 0; kind < KINDS; kind++) {
        struct fixture fixture = new_map(kinds[kind], 3 * CROWD);
        struct thread thread = fixture_thread(0);
        bool there[CROWD] = { false };
        uint64_t key[CROWD];
        uint32_t count = 0;

        for (unsigned i = 0; i < CROWD; i++)
            key[i] = key_of_bucket(&fixture, 1, i);
        srand(1);
        for (unsigned turn = 0; turn < 3000; turn++) {
            unsigned i = (unsigned)rand() % CROWD, number = (unsigned)rand() % 200;

            if (rand() % 5 < 3) {
                assert_int_equal(update(&fixture, key[i], number, BPF_ANY, &thread), 0);
                assert_int_equal(lookup(&fixture, key[i], &thread), number);
                count += !there[i];
                there[i] = true;
            } else {
                assert_int_equal(delete(&fixture, key[i], &thread), there[i] ? 0 : -ENOENT);
                count -= there[i];
                there[i] = false;
            }
            check(&fixture, count);
        }
        fixture_clear(&fixture);
    }
}

/* Keys that differ in one byte anywhere, of all lengths. */
static void test_keys(void **state)
{
    for (uint32_t size = 1; size <= 40; size++) {
        struct map_definition definition = { BPF_MAP_TYPE_HASH, size, 8, 64, 0 };
        struct thread thread = fixture_thread(0);
        uint8_t key[41] = { 0 }, *unaligned = key + 1;
        struct fixture fixture;
        uint64_t number;

        fixture_make(&definition, &fixture);
        for (number = 0; number < size; number++) {
            unaligned[number] = 1;
            assert_int_equal(hash_update(fixture.map, unaligned, &number, BPF_NOEXIST, 0, &thread), 0);
            unaligned[number] = 0;
        }
        assert_null(hash_lookup(fixture.map, unaligned));
        for (number = 0; number < size; number++) {
            unaligned[number] = 1;
            assert_memory_equal(hash_lookup(fixture.map, unaligned), &number, sizeof(number));
            unaligned[number] = 0;
        }
        check(&fixture, size);
        fixture_clear(&fixture);
    }
}

/* ---- iteration ---- */

/* Keys below 2 * CROWD stay, and are replaced; others come and go between the calls, in the same buckets. */
static void test_iteration(void **state)
{
    struct fixture fixture = new_map(BPF_MAP_TYPE_HASH, 100);
    struct thread thread = fixture_thread(0);
    uint64_t stays[2 * CROWD];

    srand(2);
    for (unsigned i = 0; i < 2 * CROWD; i++) {
        stays[i] = key_of_bucket(&fixture, i % 2, i / 2);
        assert_int_equal(update(&fixture, stays[i], i, BPF_ANY, &thread), 0);
    }
    for (unsigned turn = 0; turn < 300; turn++) {
        struct map_cursor cursor = { 0 };
        unsigned seen[2 * CROWD] = { 0 }, calls = 0;
        const uint64_t *key;
        void *got;

        while ((key = fixture.kind->call_next(fixture.map, &cursor, &got, 0, 0, &thread))) {
            uint64_t other = key_of_bucket(&fixture, (unsigned)rand() % 2, CROWD + (unsigned)rand() % 8);

            for (unsigned i = 0; i < 2 * CROWD; i++)
                seen[i] += stays[i] == *key;
            if (rand() % 2)
                update(&fixture, other, 1, BPF_ANY, &thread);
            else
                delete(&fixture, other, &thread);
            assert_int_equal(update(&fixture, stays[rand() % (2 * CROWD)], 2, BPF_EXIST, &thread), 0);
            assert_true(calls++ < 1000);
        }
        for (unsigned i = 0; i < 2 * CROWD; i++)
            assert_int_equal(seen[i], 1);
    }
    assert_null(table_check(fixture.map, NULL));
    fixture_clear(&fixture);
}

/* By skips of one place, `next` comes to the same elements; and a walk over nothing is as long as skips say. */
static void test_skip(void **state)
{
    for (size_t i = 0; i < KINDS; i++) {
        struct fixture fixture = new_map(kinds[i], 1000);
        struct thread thread = fixture_thread(0);
        struct map_cursor cursor = { 0 };
        unsigned seen = 0, skips = 0;
        void *got;

        for (;;) {
            while (!fixture.kind->call_skip(fixture.map, &cursor, 1))
                assert_true(skips++ < 8 * fixture.map->buckets);
            if (!fixture.kind->call_next(fixture.map, &cursor, &got, 0, 0, &thread))
                break;
        }
        assert_int_equal(skips, (HASH_SLOTS + 1) * fixture.map->buckets - 1);
        for (unsigned number = 0; number < 800; number++)
            assert_int_equal(update(&fixture, number, 1, BPF_ANY, &thread), 0);
        for (cursor = (struct map_cursor){ 0 };; seen++) {
            uint64_t position = cursor.position;

            while (!fixture.kind->call_skip(fixture.map, &cursor, 3))
                assert_true(cursor.position <= position + 3 && (position = cursor.position));
            if (!fixture.kind->call_next(fixture.map, &cursor, &got, 0, 0, &thread))
                break;
        }
        assert_int_equal(seen, 800);
        fixture_clear(&fixture);
    }
}

/* ---- locks and seats ---- */

static void test_lock_is_held(void **state)
{
    struct fixture fixture = new_map(BPF_MAP_TYPE_HASH, ENTRIES);
    struct thread thread = fixture_thread(0), nobody = { 0 };
    struct bucket *bucket = (void *)fixture.memory;

    assert_int_equal(update(&fixture, 1, 10, BPF_ANY, &thread), 0);
    bucket += table_bucket(fixture.map, &(uint64_t){ 1 });
    bucket->lock = 77;
    assert_int_equal(update(&fixture, 1, 11, BPF_ANY, &thread), -EBUSY);
    assert_int_equal(delete(&fixture, 1, &thread), -EBUSY);
    assert_int_equal(lookup(&fixture, 1, &thread), 10);
    assert_int_equal(update(&fixture, key_of_bucket(&fixture, table_bucket(fixture.map, &(uint64_t){ 1 }) ^ 1, 0), 12,
                            BPF_ANY, &thread), 0);
    bucket->lock = 0;
    assert_int_equal(update(&fixture, 1, 11, BPF_ANY, &nobody), -ENOSPC);
    assert_int_equal(update(&fixture, 1, 11, BPF_ANY, &thread), 0);
    check(&fixture, 2);
    fixture_clear(&fixture);
}

/* Each seat has its own; a key that was deleted and is there again has zeros for all who did not write it. */
static void test_copies(void **state)
{
    struct fixture fixture = new_map(BPF_MAP_TYPE_PERCPU_HASH, ENTRIES);
    struct thread first = fixture_thread(0), second = fixture_thread(1), nobody = { 0 };
    uint64_t key = 1;
    uint8_t *copies;

    assert_int_equal(update(&fixture, key, 5, BPF_ANY, &first), 0);
    assert_int_equal(lookup(&fixture, key, &second), 0);
    assert_int_equal(update(&fixture, key, 6, BPF_ANY, &second), 0);
    assert_int_equal(lookup(&fixture, key, &first), 5);
    copies = fixture.kind->call_copies(fixture.map, &key);
    assert_int_equal(copies[0], 5);
    assert_int_equal(copies[fixture.map->copy_stride], 6);
    assert_int_equal(lookup(&fixture, key, &nobody), -ENOENT);
    assert_int_equal(delete(&fixture, key, &first), 0);
    for (uint64_t other = 0; other < ENTRIES; other++)
        assert_int_equal(update(&fixture, other, 7, BPF_ANY, &first), 0);
    for (uint64_t other = 0; other < ENTRIES; other++)
        assert_int_equal(lookup(&fixture, other, &second), 0);
    check(&fixture, ENTRIES);
    fixture_clear(&fixture);
}

static long assign(const struct fixture *fixture, uint64_t key, unsigned number, uint64_t flags, struct thread *thread)
{
    struct value written = value(number);

    return fixture->kind->call_assign(fixture->map, &key, &written, flags, thread);
}

/* The value for all: what others have is zeros then, but only where the flags let it be written, and of this key. */
static void test_assigning(void **state)
{
    struct fixture fixture = new_map(BPF_MAP_TYPE_PERCPU_HASH, ENTRIES);
    struct thread first = fixture_thread(0), second = fixture_thread(1), nobody = { 0 };
    struct bucket *bucket = (struct bucket *)(void *)fixture.memory + table_bucket(fixture.map, &(uint64_t){ 1 });

    assert_int_equal(update(&fixture, 1, 5, BPF_ANY, &second), 0);
    assert_int_equal(update(&fixture, 2, 6, BPF_ANY, &second), 0);
    assert_int_equal(assign(&fixture, 1, 9, BPF_NOEXIST, &first), -EEXIST);
    assert_int_equal(assign(&fixture, 3, 9, BPF_EXIST, &first), -ENOENT);
    assert_int_equal(assign(&fixture, 1, 9, BPF_EXIST + 1, &first), -EINVAL);
    assert_int_equal(assign(&fixture, 1, 9, BPF_ANY, &nobody), -ENOSPC);
    bucket->lock = 77;
    assert_int_equal(assign(&fixture, 1, 9, BPF_ANY, &first), -EBUSY);
    bucket->lock = 0;
    assert_int_equal(lookup(&fixture, 1, &second), 5);
    assert_int_equal(assign(&fixture, 1, 9, BPF_EXIST, &first), 0);
    assert_int_equal(lookup(&fixture, 1, &first), 9);
    assert_int_equal(lookup(&fixture, 1, &second), 0);
    assert_int_equal(lookup(&fixture, 2, &second), 6);
    assert_int_equal(assign(&fixture, 3, 8, BPF_ANY, &first), 0);
    assert_int_equal(lookup(&fixture, 3, &first), 8);
    assert_int_equal(lookup(&fixture, 3, &second), 0);
    check(&fixture, 3);
    fixture_clear(&fixture);
}

static void test_definitions(void **state)
{
    static const struct {
        struct map_definition definition;
        int r;
    } cases[] = {
        { { BPF_MAP_TYPE_HASH, 1, 1, 1, BPF_F_RDONLY_PROG }, 0 },
        { { BPF_MAP_TYPE_LRU_HASH, 512, 100000, 10, BPF_F_WRONLY_PROG }, 0 },
        { { BPF_MAP_TYPE_HASH_OF_MAPS, 4, 8, 10, 0 }, 0 },
        { { BPF_MAP_TYPE_HASH_OF_MAPS, 4, 4, 10, 0 }, -EINVAL },
        { { BPF_MAP_TYPE_HASH, 0, 8, 1, 0 }, -EINVAL },
        { { BPF_MAP_TYPE_HASH, 513, 8, 1, 0 }, -E2BIG },
        { { BPF_MAP_TYPE_HASH, 8, 0, 1, 0 }, -EINVAL },
        { { BPF_MAP_TYPE_HASH, 8, UINT32_MAX, 1, 0 }, -E2BIG },
        { { BPF_MAP_TYPE_HASH, 8, 8, 0, 0 }, -EINVAL },
        { { BPF_MAP_TYPE_HASH, 8, 8, UINT32_MAX, 0 }, -E2BIG },
        { { BPF_MAP_TYPE_HASH, 512, 1 << 20, UINT32_MAX, 0 }, -E2BIG },
        { { BPF_MAP_TYPE_PERCPU_HASH, 8, 32 << 10, 100, 0 }, -E2BIG },
        { { BPF_MAP_TYPE_PERCPU_HASH, 8, 64 << 10, 1, 0 }, -E2BIG },
        { { BPF_MAP_TYPE_HASH, 8, 8, 1, BPF_F_NO_PREALLOC }, -EOPNOTSUPP },
        { { BPF_MAP_TYPE_HASH, 8, 8, 1, BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG }, -EINVAL },
        { { BPF_MAP_TYPE_HASH, 8, 8, 1, 1u << 31 }, -EOPNOTSUPP },
        { { BPF_MAP_TYPE_SOCKMAP, 8, 8, 1, 0 }, -EOPNOTSUPP },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct jit_error error = { 0 };
        struct map map;
        int r = map_lay_out(&cases[i].definition, &map, &error);

        if (r != cases[i].r)
            fail_msg("definition %zu: %d, not %d: %s", i, r, cases[i].r, error.text);
        assert_true(r < 0 || map.elements_at + (uint64_t)element_count(&map) * map.stride <= map.size);
    }
}

/* ---- a change that is killed at any instruction ---- */

struct killing {
    struct fixture fixture, copy;
    struct thread thread;
    void (*act)(struct killing *killing);
    uint64_t key, victim;       /* what is changed; what an eviction may take */
    long before, after;         /* the key's value, -ENOENT */
    bool done;
    uint32_t least, most;       /* elements at any time */
};

static void act(void *argument)
{
    struct killing *killing = argument;

    killing->act(killing);
}

static long value_in(const struct fixture *fixture, uint64_t key)
{
    const struct value *got = table_value(fixture->map, &key);
    struct value wanted = value(got ? got->byte[0] : 0);

    if (!got)
        return -ENOENT;
    assert_memory_equal(got, &wanted, sizeof(wanted));
    return got->byte[0];
}

/*
 * Killed now: the key's value is as before the change or as after it, all others are as they were, nothing is lost, and
 * others go on.  Lookups that come before the recovery see the same.
 */
static void look(void *argument)
{
    struct killing *killing = argument;
    struct thread other = fixture_thread(1);
    const char *wrong;
    uint32_t elements;
    long now;

    fixture_copy(&killing->fixture, &killing->copy);
    fixture_recover(&killing->copy, 0);
    wrong = table_check(killing->copy.map, &elements);
    if (wrong)
        fail_msg("%s", wrong);
    now = value_in(&killing->copy, killing->key);
    if (now != (killing->done ? killing->after : killing->before)) {
        assert_int_equal(now, killing->after);
        killing->done = true;
    }
    assert_true(elements >= killing->least && elements <= killing->most);
    if (killing->fixture.map->kind == BPF_MAP_TYPE_HASH)
        assert_int_equal(lookup(&killing->fixture, killing->key, NULL), now);
    assert_int_equal(update(&killing->copy, killing->key, 99, BPF_ANY, &other), 0);
    assert_null(table_check(killing->copy.map, NULL));
}

static void update_one(struct killing *killing)
{
    update(&killing->fixture, killing->key, (unsigned)killing->after, BPF_ANY, &killing->thread);
}

static void delete_one(struct killing *killing)
{
    delete(&killing->fixture, killing->key, &killing->thread);
}

/* `others` keys of the bucket are there before: from 6 on, the change is in the list. */
static void try_killing(uint32_t kind, unsigned others, unsigned position, void (*act_of)(struct killing *killing),
                        long before, long after)
{
    struct killing killing = { new_map(kind, ENTRIES), new_map(kind, ENTRIES), fixture_thread(0), act_of,
                               .before = before, .after = after };
    unsigned instructions;

    killing.key = key_of_bucket(&killing.fixture, 1, position);
    for (unsigned i = 0; i < others; i++)
        assert_int_equal(update(&killing.fixture, key_of_bucket(&killing.fixture, 1, i), 50 + i, BPF_ANY,
                                &killing.thread), 0);
    if (before >= 0)
        assert_int_equal(update(&killing.fixture, killing.key, (unsigned)before, BPF_ANY, &killing.thread), 0);
    killing.most = others + (position >= others);
    killing.least = killing.most - (before < 0 || after < 0);
    instructions = stepping_run(act, look, &killing);
    assert_true(instructions > 50);
    assert_true(killing.done);
    for (unsigned i = 0; i < others; i++)
        if (i != position)
            assert_int_equal(value_in(&killing.fixture, key_of_bucket(&killing.fixture, 1, i)), 50 + i);
    fixture_clear(&killing.fixture);
    fixture_clear(&killing.copy);
}

static void test_killing(void **state)
{
    if (!stepping_works())
        skip();
    for (unsigned others = 0; others <= 10; others += 5) {
        try_killing(BPF_MAP_TYPE_HASH, others, others, update_one, -ENOENT, 7);
        try_killing(BPF_MAP_TYPE_HASH, others, others, update_one, 6, 7);
        try_killing(BPF_MAP_TYPE_HASH, others, others, delete_one, 6, -ENOENT);
    }
    /* In the middle of the list. */
    try_killing(BPF_MAP_TYPE_HASH, 10, 7, update_one, 6, 7);
    try_killing(BPF_MAP_TYPE_HASH, 10, 7, delete_one, 6, -ENOENT);
    try_killing(BPF_MAP_TYPE_PERCPU_HASH, 3, 3, update_one, -ENOENT, 7);
    try_killing(BPF_MAP_TYPE_PERCPU_HASH, 3, 3, update_one, 6, 7);
    try_killing(BPF_MAP_TYPE_PERCPU_HASH, 8, 8, delete_one, 6, -ENOENT);
}

/* In a full one, an insert evicts: each step takes one element or brings one. */
static void test_killing_eviction(void **state)
{
    struct killing killing = { new_map(BPF_MAP_TYPE_LRU_HASH, 5), new_map(BPF_MAP_TYPE_LRU_HASH, 5), fixture_thread(0),
                               update_one, .key = 1000, .before = -ENOENT, .after = 7, .least = 4, .most = 5 };

    if (!stepping_works())
        skip();
    for (unsigned key = 0; key < 5; key++)
        assert_int_equal(update(&killing.fixture, key, key, BPF_ANY, &killing.thread), 0);
    stepping_run(act, look, &killing);
    assert_true(killing.done);
    check(&killing.fixture, 5);
    fixture_clear(&killing.fixture);
    fixture_clear(&killing.copy);
}

/* ---- memory that says anything ---- */

static void scribble(const struct fixture *fixture)
{
    uint32_t *word = (void *)fixture->memory;

    for (uint64_t i = 0; i < fixture->map->size / 4; i++)
        word[i] = rand() % 3 ? (uint32_t)rand() % 200 : (uint32_t)rand() * 2654435761u;
    for (unsigned i = 0; i < fixture->map->buckets; i++)
        ((struct bucket *)(void *)fixture->memory)[i].lock = rand() % 4 ? 0 : (uint32_t)rand() % 3;
    word = (uint32_t *)fixture->head->seat;
    for (unsigned i = 0; i < sizeof(fixture->head->seat[0]) / 4; i++)
        word[i] = rand() % 2 ? (uint32_t)rand() % 200 : (uint32_t)rand();
    fixture->head->seat[0].owner = fixture_thread(0).line;
    fixture->head->seat[0].journal.map = rand() % 2;
}

static void check_inside(const struct fixture *fixture, const void *got)
{
    const uint8_t *place = got;

    if (got)
        assert_true(place >= fixture->memory && place + VALUE_SIZE <= fixture->memory + fixture->map->size);
}

/* Nothing outside the map is read or written (there are no pages), and all comes to an end. */
static void test_hostile(void **state)
{
    srand(3);
    for (size_t kind = 0; kind < KINDS; kind++) {
        struct fixture fixture = new_map(kinds[kind], ENTRIES);
        struct thread thread = fixture_thread(0);

        for (unsigned turn = 0; turn < 300; turn++) {
            struct map_cursor cursor = { 0 };
            void *got = NULL;

            scribble(&fixture);
            for (uint64_t key = 0; key < 20; key++) {
                struct value written = value(1);

                check_inside(&fixture, fixture.kind->call_lookup(fixture.map, &key, 0, 0, 0, &thread));
                fixture.kind->call_update(fixture.map, &key, &written, BPF_ANY, 0, &thread);
                fixture.kind->call_delete(fixture.map, &key, 0, 0, 0, &thread);
            }
            for (unsigned i = 0; i < 1000 && fixture.kind->call_next(fixture.map, &cursor, &got, 0, 0, &thread); i++)
                check_inside(&fixture, got);
            map_recover(fixture.map, &fixture.head->seat[0]);
            assert_int_equal(fixture.head->seat[0].journal.map, 0);
            assert_true(fixture.kind->call_count(fixture.map) <= ENTRIES);
        }
        fixture_clear(&fixture);
    }
}

/* ---- copies that are torn ---- */

/* The bucket reaches its first element twice, if it has room. */
static void reach_twice(struct bucket *bucket)
{
    for (int i = 1; i < HASH_SLOTS; i++)
        if (bucket->slot[i] == 0) {
            bucket->slot[i] = bucket->slot[0];
            return;
        }
}

/* Elements that are reached and count as free, or are reached twice; others that are not and count as used; a lock. */
static void tear(const struct fixture *fixture)
{
    struct bucket *bucket = (void *)fixture->memory;

    for (uint32_t i = 0; i < fixture->map->buckets; i++)
        reach_twice(&bucket[i]);
    for (uint32_t link = 1; link <= element_count(fixture->map); link++)
        *element_owner(fixture->map, link) = link % 3 ? ELEMENT_FREE : ELEMENT_USED;
    bucket->lock = 5;
}

/* An element that comes has zeros for `other`, who had a value of the key that was there, and has not looked since. */
static void check_new_copies(const struct fixture *fixture, struct thread *other)
{
    struct thread thread = fixture_thread(0);
    static const struct value zero;
    uint64_t key = 100;

    assert_int_equal(delete(fixture, 7, &thread), 0);
    assert_int_equal(update(fixture, key, 1, BPF_NOEXIST, &thread), 0);
    assert_memory_equal(fixture->kind->call_lookup(fixture->map, &key, 0, 0, 0, other), &zero, sizeof(zero));
}

static void test_renewal(void **state)
{
    for (size_t i = 0; i < KINDS; i++) {
        struct fixture fixture = new_map(kinds[i], ENTRIES);
        struct thread thread = fixture_thread(0), other = fixture_thread(1);
        bool copies = fixture.map->copy_stride > 0;
        uint64_t size = map_renewed_size(fixture.map);
        uint8_t *copy = malloc(size);

        for (unsigned key = 0; key < ENTRIES; key++)
            assert_int_equal(update(&fixture, key, key, BPF_ANY, &thread), 0);
        for (unsigned key = 0; key < ENTRIES; key += 2)         /* elements and spares change places */
            assert_int_equal(update(&fixture, key, key + 1, BPF_ANY, &thread), 0);
        for (unsigned key = 5; key < 9; key += 2)
            assert_int_equal(update(&fixture, key, copies ? 77 : key, BPF_ANY, &other), 0);
        assert_int_equal(delete(&fixture, 3, &thread), 0);
        tear(&fixture);
        assert_non_null(table_check(fixture.map, NULL));
        memcpy(copy, fixture.memory, size);
        map_renew(fixture.map, copy, &thread);
        check(&fixture, ENTRIES - 1);
        for (unsigned key = 0; key < ENTRIES; key++)
            assert_int_equal(lookup(&fixture, key, &thread), key == 3 ? -ENOENT : (long)(key | 1));
        assert_int_equal(update(&fixture, 3, 3, BPF_NOEXIST, &thread), 0);
        check(&fixture, ENTRIES);
        if (copies) {
            check_new_copies(&fixture, &other);
            assert_int_equal(lookup(&fixture, 5, &other), 77);
        }
        free(copy);
        fixture_clear(&fixture);
    }
}

/* ---- a key that lies in the arena, where another process changes it ---- */

struct changing_key {
    struct fixture fixture;
    bool deletes;               /* both keys are there, and one is deleted; else one is inserted */
    uint64_t first, second;     /* of two buckets */
    uint64_t *key;              /* in the value of another element */
};

#define OTHER 1000u             /* that element's key */

static void begin_change(void *argument)
{
    struct changing_key *changing = argument;
    struct thread thread = fixture_thread(0);
    uint64_t other = OTHER;

    fixture_reset(&changing->fixture);
    assert_int_equal(update(&changing->fixture, OTHER, 0, BPF_ANY, &thread), 0);
    if (changing->deletes) {
        assert_int_equal(update(&changing->fixture, changing->first, 1, BPF_ANY, &thread), 0);
        assert_int_equal(update(&changing->fixture, changing->second, 2, BPF_ANY, &thread), 0);
    }
    changing->key = changing->fixture.kind->call_lookup(changing->fixture.map, &other, 0, 0, 0, &thread);
    *changing->key = changing->first;
}

static void change_by_key(void *argument)
{
    struct changing_key *changing = argument;
    struct thread thread = fixture_thread(0);
    struct value written = value(3);

    if (changing->deletes)
        changing->fixture.kind->call_delete(changing->fixture.map, changing->key, 0, 0, 0, &thread);
    else
        changing->fixture.kind->call_update(changing->fixture.map, changing->key, &written, BPF_ANY, 0, &thread);
}

static void change_key(void *argument)
{
    struct changing_key *changing = argument;

    *changing->key = changing->second;
}

/* It was the one or the other, and no element is where its key does not lead. */
static void check_change(void *argument)
{
    struct changing_key *changing = argument;
    struct thread thread = fixture_thread(0);
    bool first = lookup(&changing->fixture, changing->first, &thread) >= 0;
    bool second = lookup(&changing->fixture, changing->second, &thread) >= 0;

    check(&changing->fixture, 2);
    assert_true(first != second);
}

static void test_changing_key(void **state)
{
    if (!stepping_works())
        skip();
    for (size_t i = 0; i < 2 * KINDS; i++) {
        struct changing_key changing = { .fixture = new_map(kinds[i / 2], ENTRIES), .deletes = i % 2 };
        struct overtaking overtaking = { begin_change, change_by_key, change_key, check_change, &changing };

        changing.first = key_of_bucket(&changing.fixture, 0, 0);
        changing.second = key_of_bucket(&changing.fixture, 1, 0);
        assert_true(stepping_overtake(&overtaking) > 50);
        fixture_clear(&changing.fixture);
    }
}

/* ---- an element that becomes another key's as soon as its copies are cleared ---- */

struct assignment {
    struct fixture fixture;     /* of one entry */
    bool held, inserted;        /* the lock; the other key, in the place of the first */
};

static void assign_one(void *argument)
{
    struct assignment *assignment = argument;
    struct thread thread = fixture_thread(0);

    assign(&assignment->fixture, 1, 9, BPF_ANY, &thread);
}

/* When the lock was held, and is not any more. */
static void insert_another(void *argument)
{
    struct assignment *assignment = argument;
    const struct bucket *bucket = (void *)assignment->fixture.memory;
    struct thread other = fixture_thread(1);

    assignment->held |= bucket->lock != 0;
    if (assignment->inserted || !assignment->held || bucket->lock != 0)
        return;
    assert_int_equal(delete(&assignment->fixture, 1, &other), 0);
    assert_int_equal(update(&assignment->fixture, 2, 7, BPF_ANY, &other), 0);
    assignment->inserted = true;
}

static void test_overtaken_assignment(void **state)
{
    struct assignment assignment = { .fixture = new_map(BPF_MAP_TYPE_PERCPU_HASH, 1) };
    struct thread other = fixture_thread(1);

    if (!stepping_works())
        skip();
    assert_int_equal(update(&assignment.fixture, 1, 5, BPF_ANY, &other), 0);
    stepping_run(assign_one, insert_another, &assignment);
    assert_true(assignment.inserted);
    assert_int_equal(lookup(&assignment.fixture, 2, &other), 7);
    check(&assignment.fixture, 1);
    fixture_clear(&assignment.fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_overflow),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_iteration),
        cmocka_unit_test(test_skip),
        cmocka_unit_test(test_lock_is_held),
        cmocka_unit_test(test_copies),
        cmocka_unit_test(test_assigning),
        cmocka_unit_test(test_definitions),
        cmocka_unit_test(test_killing),
        cmocka_unit_test(test_killing_eviction),
        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_renewal),
        cmocka_unit_test(test_changing_key),
        cmocka_unit_test(test_overtaken_assignment),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
