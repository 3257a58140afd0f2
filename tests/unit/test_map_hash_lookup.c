/* SPDX-License-Identifier: MIT */
/* Lookups in hash tables that are overtaken by changes, at any instruction. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <linux/bpf.h>
#include <string.h>
#include <sys/mman.h>

#include "maps/block.h"
#include "maps/fixture.h"
#include "runtime/hash.h"
#include "stepping.h"
#include "table_walker.h"

/* Keys of two words; all in the list of one bucket, but `elsewhere`. */
struct reader {
    struct fixture fixture, first;      /* first: as it is before the lookup */
    uint64_t leaves[2], stays[2], absent[2], elsewhere[2];
    const uint64_t *wanted;     /* what is looked up */
    bool *found;                /* shared */
};

static void begin_again(void *argument)
{
    struct reader *reader = argument;

    fixture_copy(&reader->first, &reader->fixture);
}

static void look_up(void *argument)
{
    struct reader *reader = argument;

    *reader->found = hash_lookup(reader->fixture.map, reader->wanted) != NULL;
}

static void insert_pair(const struct fixture *fixture, const uint64_t key[2], struct thread *thread)
{
    uint64_t number = 0;

    assert_int_equal(hash_update(fixture->map, key, &number, BPF_NOEXIST, 0, thread), 0);
}

/* The element of `leaves` becomes that of `elsewhere`: a thread takes first what it gave back last. */
static void overtake(void *argument)
{
    struct reader *reader = argument;
    struct thread thread = fixture_thread(0);

    assert_int_equal(hash_delete(reader->fixture.map, reader->leaves, 0, 0, 0, &thread), 0);
    insert_pair(&reader->fixture, reader->elsewhere, &thread);
}

static void check_found(void *argument)
{
    struct reader *reader = argument;

    assert_int_equal(*reader->found, reader->wanted == reader->stays);
}

/* A key in bucket 1 (or in any other) with this first or second word. */
static void choose_key(const struct map *map, bool in_bucket, unsigned fixed, uint64_t word, uint64_t key[2])
{
    key[fixed] = word;
    for (key[!fixed] = 1; (table_bucket(map, key) == 1) != in_bucket; key[!fixed]++)
        ;
}

/*
 * `absent` begins as `leaves` does and ends as `elsewhere` does, and is never there; `stays` always is, behind `leaves`
 * in the list.
 */
static void choose_keys(const struct map *map, struct reader *reader)
{
    uint64_t word = 200;

    do {
        choose_key(map, true, 0, word++, reader->leaves);
        choose_key(map, true, 0, word++, reader->stays);
    } while (table_hash(map, reader->leaves) >= table_hash(map, reader->stays));
    memcpy(reader->absent, reader->leaves, sizeof(reader->absent));
    do
        reader->absent[1]++;
    while (table_bucket(map, reader->absent) != 1);
    choose_key(map, false, 1, reader->absent[1], reader->elsewhere);
}

static void test_overtaken(void **state)
{
    struct map_definition definition = { BPF_MAP_TYPE_HASH, sizeof(uint64_t[2]), 8, 64, 0 };
    struct thread thread = fixture_thread(0);
    struct reader reader = { 0 };
    struct overtaking overtaking = { begin_again, look_up, overtake, check_found, &reader };

    if (!stepping_works())
        skip();
    fixture_make(&definition, &reader.fixture);
    fixture_make(&definition, &reader.first);
    for (unsigned i = 0; i < HASH_SLOTS; i++) {
        uint64_t key[2];

        choose_key(reader.first.map, true, 0, i, key);
        insert_pair(&reader.first, key, &thread);
    }
    choose_keys(reader.first.map, &reader);
    insert_pair(&reader.first, reader.leaves, &thread);
    insert_pair(&reader.first, reader.stays, &thread);
    reader.found = mmap(NULL, sizeof(bool), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    reader.wanted = reader.absent;
    assert_true(stepping_overtake(&overtaking) > 50);
    reader.wanted = reader.stays;
    assert_true(stepping_overtake(&overtaking) > 50);
    munmap(reader.found, sizeof(bool));
    fixture_clear(&reader.fixture);
    fixture_clear(&reader.first);
}

/* ---- a value that is copied while its element becomes another key's ---- */

/* Values of three words, each its key plus a number below 100. */
struct copier {
    struct fixture fixture, first;
    struct copied {
        int r;
        uint64_t value[3];
    } *copied;                  /* shared */
};

static void set(const struct fixture *fixture, uint64_t key, unsigned number, struct thread *thread)
{
    uint64_t value[3] = { key + number, key + number, key + number };

    assert_int_equal(hash_update(fixture->map, &key, value, BPF_ANY, 0, thread), 0);
}

static void copier_begin(void *argument)
{
    struct copier *copier = argument;

    fixture_copy(&copier->first, &copier->fixture);
}

static void copy_one(void *argument)
{
    struct copier *copier = argument;
    uint64_t key = 100;

    copier->copied->r = map_copy_value(copier->fixture.map, &key, hash_lookup(copier->fixture.map, &key), true,
                                       copier->copied->value);
}

/* What the first replaces is the spare element, which the second uses. */
static void replace_both(void *argument)
{
    struct copier *copier = argument;
    struct thread thread = fixture_thread(0);

    set(&copier->fixture, 100, 1, &thread);
    set(&copier->fixture, 200, 1, &thread);
}

static void check_copied(void *argument)
{
    struct copier *copier = argument;

    assert_int_equal(copier->copied->r, 0);
    for (unsigned i = 0; i < 3; i++)
        assert_in_range(copier->copied->value[i], 100, 101);
}

static void test_copied(void **state)
{
    struct map_definition definition = { BPF_MAP_TYPE_HASH, 8, sizeof(uint64_t[3]), 64, 0 };
    struct thread thread = fixture_thread(0);
    struct copier copier = { 0 };
    struct overtaking overtaking = { copier_begin, copy_one, replace_both, check_copied, &copier };

    if (!stepping_works())
        skip();
    fixture_make(&definition, &copier.fixture);
    fixture_make(&definition, &copier.first);
    set(&copier.first, 100, 0, &thread);
    set(&copier.first, 200, 0, &thread);
    copier.copied = mmap(NULL, sizeof(*copier.copied), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(stepping_overtake(&overtaking) > 50);
    munmap(copier.copied, sizeof(*copier.copied));
    fixture_clear(&copier.fixture);
    fixture_clear(&copier.first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_overtaken),
        cmocka_unit_test(test_copied),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
