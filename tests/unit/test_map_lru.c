/* SPDX-License-Identifier: MIT */
/* Hash tables that make room: what goes, and what stays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>

#include "maps/block.h"
#include "maps/fixture.h"
#include "runtime/hash.h"
#include "stepping.h"
#include "table_walker.h"

static struct fixture new_map(uint32_t entries)
{
    struct map_definition definition = { BPF_MAP_TYPE_LRU_HASH, sizeof(uint64_t), sizeof(uint64_t), entries, 0 };
    struct fixture fixture;

    fixture_make(&definition, &fixture);
    return fixture;
}

static long update(const struct fixture *fixture, uint64_t key, struct thread *thread)
{
    return lru_update(fixture->map, &key, &key, BPF_ANY, 0, thread);
}

static bool is_there(const struct fixture *fixture, uint64_t key)
{
    return table_value(fixture->map, &key) != NULL;
}

static void check(const struct fixture *fixture, uint32_t elements)
{
    uint32_t got = 0;
    const char *wrong = table_check(fixture->map, &got);

    if (wrong)
        fail_msg("%s", wrong);
    assert_int_equal(got, elements);
}

/* Never full, never more than max_entries, and what comes is there. */
static void test_never_full(void **state)
{
    static const uint32_t sizes[] = { 1, 2, 5, 64, 300 };

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct fixture fixture = new_map(sizes[i]);
        struct thread thread[2] = { fixture_thread(0), fixture_thread(1) };

        for (uint64_t key = 0; key < 5 * sizes[i]; key++) {
            assert_int_equal(update(&fixture, key, &thread[key % 2]), 0);
            assert_memory_equal(lru_lookup(fixture.map, &key), &key, sizeof(key));
        }
        check(&fixture, sizes[i]);
        fixture_clear(&fixture);
    }
}

/* What is looked up again and again stays while others pass through. */
static void test_looked_up_stays(void **state)
{
    struct fixture fixture = new_map(100);
    struct thread thread = fixture_thread(0);

    for (uint64_t key = 0; key < 100; key++)
        assert_int_equal(update(&fixture, key, &thread), 0);
    for (uint64_t key = 1000; key < 3000; key++) {
        for (uint64_t hot = 0; hot < 20; hot++)
            assert_non_null(lru_lookup(fixture.map, &hot));
        assert_int_equal(update(&fixture, key, &thread), 0);
    }
    for (uint64_t hot = 0; hot < 20; hot++)
        assert_true(is_there(&fixture, hot));
    for (uint64_t cold = 20; cold < 100; cold++)
        assert_false(is_there(&fixture, cold));
    check(&fixture, 100);
    fixture_clear(&fixture);
}

/* So does what is updated again and again, in place or by another element. */
static void test_updated_stays(void **state)
{
    static const uint32_t sizes[] = { sizeof(uint64_t), 3 * sizeof(uint64_t) };

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct map_definition definition = { BPF_MAP_TYPE_LRU_HASH, sizeof(uint64_t), sizes[i], 100, 0 };
        const uint64_t value[3] = { 1 };
        struct thread thread = fixture_thread(0);
        struct fixture fixture;

        fixture_make(&definition, &fixture);
        for (uint64_t key = 0; key < 100; key++)
            assert_int_equal(lru_update(fixture.map, &key, value, BPF_ANY, 0, &thread), 0);
        for (uint64_t key = 1000; key < 3000; key++) {
            for (uint64_t hot = 0; hot < 20; hot++)
                assert_int_equal(lru_update(fixture.map, &hot, value, BPF_EXIST, 0, &thread), 0);
            assert_int_equal(lru_update(fixture.map, &key, value, BPF_NOEXIST, 0, &thread), 0);
        }
        check(&fixture, 100);
        fixture_clear(&fixture);
    }
}

/* All were looked up: one goes all the same. */
static void test_all_looked_up(void **state)
{
    struct fixture fixture = new_map(400);
    struct thread thread = fixture_thread(0);

    for (uint64_t key = 0; key < 1000; key++) {
        assert_int_equal(update(&fixture, key, &thread), 0);
        for (uint64_t other = 0; other <= key; other++)
            lru_lookup(fixture.map, &other);
    }
    check(&fixture, 400);
    fixture_clear(&fixture);
}

/* A lookup of an element that was looked up already writes nothing. */
static void test_lookup_writes_once(void **state)
{
    struct fixture fixture = new_map(4);
    struct thread thread = fixture_thread(0);
    uint64_t key = 3;
    struct hash_element *element;

    assert_int_equal(update(&fixture, key, &thread), 0);
    element = (void *)((uint8_t *)hash_lookup(fixture.map, &key) - fixture.map->value_at);
    assert_int_equal(element->referenced, 0);
    lru_lookup(fixture.map, &key);
    assert_int_equal(element->referenced, 1);
    element->referenced = 2;
    lru_lookup(fixture.map, &key);
    assert_int_equal(element->referenced, 2);
    fixture_clear(&fixture);
}

/* A key that is there needs no room; flags are those of hash tables. */
static void test_flags(void **state)
{
    struct fixture fixture = new_map(2);
    struct thread thread = fixture_thread(0);
    uint64_t key = 1, absent = 9;

    assert_int_equal(update(&fixture, 1, &thread), 0);
    assert_int_equal(update(&fixture, 2, &thread), 0);
    assert_int_equal(lru_update(fixture.map, &key, &key, BPF_NOEXIST, 0, &thread), -EEXIST);
    assert_int_equal(lru_update(fixture.map, &key, &key, BPF_EXIST, 0, &thread), 0);
    assert_int_equal(lru_update(fixture.map, &absent, &key, BPF_EXIST, 0, &thread), -ENOENT);
    assert_int_equal(lru_update(fixture.map, &absent, &key, 3, 0, &thread), -EINVAL);
    assert_true(is_there(&fixture, 1) && is_there(&fixture, 2));
    assert_int_equal(lru_delete(fixture.map, &key, 0, 0, 0, &thread), 0);
    assert_int_equal(update(&fixture, 3, &thread), 0);
    assert_true(is_there(&fixture, 2));
    check(&fixture, 2);
    fixture_clear(&fixture);
}

/* A bucket whose lock is held keeps its elements; others go in their place. */
static void test_locked_bucket(void **state)
{
    struct fixture fixture = new_map(16);
    struct thread thread = fixture_thread(0);
    struct bucket *bucket = (void *)fixture.memory;

    for (uint64_t key = 0; key < 16; key++)
        assert_int_equal(update(&fixture, key, &thread), 0);
    bucket[0].lock = 77;
    for (uint64_t key = 100; key < 200; key++)
        assert_int_equal(update(&fixture, key, &thread), table_bucket(fixture.map, &key) == 0 ? -EBUSY : 0);
    for (uint64_t key = 0; key < 16; key++)
        assert_int_equal(is_there(&fixture, key), table_bucket(fixture.map, &key) == 0);
    bucket[0].lock = 0;
    check(&fixture, 16);
    fixture_clear(&fixture);
}

/* ---- what a full one costs ---- */

#define MILLION 1000000

/* An update of a key that is not there, with what it answers. */
struct insertion {
    struct fixture fixture;
    struct thread thread;
    long (*update)(const struct map *map, const void *key, const void *value, uint64_t flags, uint64_t unused,
                   struct thread *thread);
    long answer;
};

static void insert_one(void *argument)
{
    struct insertion *insertion = argument;
    uint64_t key = MILLION;

    if (insertion->update(insertion->fixture.map, &key, &key, BPF_ANY, 0, &insertion->thread) != insertion->answer)
        abort();
}

static void look_at_nothing(void *argument)
{
}

/* All owners of a million elements are 125,000 words; the second insert knows what the first has seen. */
static void try_full(uint32_t kind, long answer)
{
    struct map_definition definition = { kind, sizeof(uint64_t), sizeof(uint64_t), MILLION, 0 };
    struct insertion insertion = { .thread = fixture_thread(0), .answer = answer };
    uint64_t key = MILLION + 1;

    fixture_make(&definition, &insertion.fixture);
    insertion.update = insertion.fixture.kind->call_update;
    for (uint64_t i = 0; i < MILLION; i++)
        assert_int_equal(insertion.update(insertion.fixture.map, &i, &i, BPF_ANY, 0, &insertion.thread), 0);
    assert_int_equal(insertion.update(insertion.fixture.map, &key, &key, BPF_ANY, 0, &insertion.thread), answer);
    assert_in_range(stepping_run(insert_one, look_at_nothing, &insertion), 100, 100000);
    fixture_clear(&insertion.fixture);
}

static void test_full_million(void **state)
{
    if (!stepping_works())
        skip();
    try_full(BPF_MAP_TYPE_LRU_HASH, 0);
    try_full(BPF_MAP_TYPE_HASH, -E2BIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_never_full),
        cmocka_unit_test(test_looked_up_stays),
        cmocka_unit_test(test_updated_stays),
        cmocka_unit_test(test_all_looked_up),
        cmocka_unit_test(test_lookup_writes_once),
        cmocka_unit_test(test_flags),
        cmocka_unit_test(test_locked_bucket),
        cmocka_unit_test(test_full_million),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
