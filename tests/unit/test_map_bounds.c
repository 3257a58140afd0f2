/* SPDX-License-Identifier: MIT */
/*
 * Everything ends: whoever holds a lock and does not go on, and whatever the memory says.  Counted in instructions of
 * the code that workers run, so that no time matters; what would go on for ever has more than stepping_run() lets pass.
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
#include <sys/mman.h>

#include "maps/block.h"
#include "maps/fixture.h"
#include "stepping.h"
#include "table_walker.h"

#define WAIT_MAX 30000          /* instructions of an operation that waits in vain: some microseconds, and yields */
#define VALUE_SIZE 64           /* bytes: more than one store writes, so that all changes take the lock */

#define ENTRIES 64

/* Sanitizers make ten instructions of one, and see nothing of the block. */
static bool counting_works(void)
{
    return !BLOCK_IS_LIBRARY && stepping_works();
}

/* A key, an index, or a prefix of 32 bits, all 0. */
static const uint64_t one_key = 32;

static struct fixture new_map(uint32_t kind)
{
    bool keyed = kind != BPF_MAP_TYPE_QUEUE && kind != BPF_MAP_TYPE_STACK && kind != BPF_MAP_TYPE_RINGBUF;
    bool array = kind == BPF_MAP_TYPE_ARRAY || kind == BPF_MAP_TYPE_PERCPU_ARRAY;
    struct map_definition definition = { kind, !keyed ? 0 : array ? 4 : 8, VALUE_SIZE, ENTRIES, 0 };
    struct fixture fixture;

    if (kind == BPF_MAP_TYPE_RINGBUF)
        definition = (struct map_definition){ .kind = kind, .max_entries = 4096 };
    fixture_make(&definition, &fixture);
    return fixture;
}

static void look_away(void *argument)
{
}

/* ---- a lock whose holder does not go on ---- */

static long put(const struct fixture *fixture, struct thread *thread)
{
    static const uint8_t value[VALUE_SIZE] = { 1 };

    if (fixture->kind->call_update)
        return fixture->kind->call_update(fixture->map, &one_key, value, BPF_ANY, 0, thread);
    if (fixture->kind->call_push)
        return fixture->kind->call_push(fixture->map, value, BPF_ANY, 0, 0, thread);
    return ring_output(fixture->map, value, sizeof(value), 0, 0, thread);
}

static long take(const struct fixture *fixture, struct thread *thread)
{
    uint8_t value[VALUE_SIZE];

    if (fixture->kind->call_pop)
        return fixture->kind->call_pop(fixture->map, value, 0, 0, 0, thread);
    return fixture->kind->call_delete(fixture->map, &one_key, 0, 0, 0, thread);
}

/* 0: they take no lock. */
static long look_up(const struct fixture *fixture, struct thread *thread)
{
    uint8_t value[VALUE_SIZE];

    if (fixture->kind->call_lookup)
        fixture->kind->call_lookup(fixture->map, &one_key, 0, 0, 0, thread);
    if (fixture->kind->call_peek)
        fixture->kind->call_peek(fixture->map, value, 0, 0, 0, thread);
    return 0;
}

struct waiting {
    struct fixture fixture, left;       /* left: what there is when the holder has gone no further */
    struct thread holder, other;
    bool held;
    long (*act)(const struct fixture *fixture, struct thread *thread);
    long *result;               /* shared */
};

static void hold(void *argument)
{
    struct waiting *waiting = argument;

    put(&waiting->fixture, &waiting->holder);
}

static void keep_if_held(void *argument)
{
    struct waiting *waiting = argument;
    const struct fixture *fixture = &waiting->fixture;
    const struct seat *seat = fixture_seat(fixture, 0);
    uint32_t lock;

    if (waiting->held || !seat || seat->journal.map == 0)
        return;
    memcpy(&lock, fixture->memory + seat->journal.lock, sizeof(lock));
    if (lock != 1 + (uint32_t)(seat - fixture->head->seat))
        return;
    fixture_copy(fixture, &waiting->left);
    waiting->held = true;
}

static void act_behind(void *argument)
{
    struct waiting *waiting = argument;

    *waiting->result = waiting->act(&waiting->left, &waiting->other);
}

static void expect(struct waiting *waiting, long (*act)(const struct fixture *fixture, struct thread *thread),
                   long result)
{
    waiting->act = act;
    assert_true(stepping_run(act_behind, look_away, waiting) <= WAIT_MAX);
    assert_int_equal(*waiting->result, result);
}

/* `put` and `take` are what these say behind the lock; 1: there is no such operation. */
static const struct waiting_case {
    uint32_t kind;
    long put, take;
} waiting_cases[] = {
    { BPF_MAP_TYPE_ARRAY, -EBUSY, 1 },
    { BPF_MAP_TYPE_PERCPU_ARRAY, 0, 1 },        /* each seat has a lock of its own */
    { BPF_MAP_TYPE_HASH, -EBUSY, -EBUSY },
    { BPF_MAP_TYPE_LRU_HASH, -EBUSY, -EBUSY },
    { BPF_MAP_TYPE_PERCPU_HASH, -EBUSY, -EBUSY },
    { BPF_MAP_TYPE_LPM_TRIE, -EBUSY, -EBUSY },
    { BPF_MAP_TYPE_QUEUE, -EBUSY, -EBUSY },
    { BPF_MAP_TYPE_STACK, -EBUSY, -EBUSY },
    { BPF_MAP_TYPE_RINGBUF, -EBUSY, 1 },
};

static void try_waiting(const struct waiting_case *of, long *result)
{
    struct waiting waiting = { new_map(of->kind), new_map(of->kind), fixture_thread(0), fixture_thread(1),
                               .result = result };

    stepping_run(hold, keep_if_held, &waiting);
    assert_true(waiting.held);
    expect(&waiting, put, of->put);
    if (of->take != 1)
        expect(&waiting, take, of->take);
    expect(&waiting, look_up, 0);
    fixture_clear(&waiting.fixture);
    fixture_clear(&waiting.left);
}

static void test_waiting(void **state)
{
    long *result = mmap(NULL, sizeof(*result), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    assert_true(result != MAP_FAILED);
    if (!counting_works())
        skip();
    for (size_t i = 0; i < sizeof(waiting_cases) / sizeof(waiting_cases[0]); i++)
        try_waiting(&waiting_cases[i], result);
    munmap(result, sizeof(*result));
}

/* ---- memory that leads in a circle ---- */

/* All that programs do, and iteration: what walks lists. */
static void do_all(void *argument)
{
    const struct fixture *fixture = argument;
    struct thread thread = fixture_thread(0);
    struct map_cursor cursor = { 0 };
    void *value;

    look_up(fixture, &thread);
    put(fixture, &thread);
    take(fixture, &thread);
    while (fixture->kind->call_next && fixture->kind->call_next(fixture->map, &cursor, &value, 0, 0, &thread))
        ;
}

/* Where nothing is counted, it ends all the same. */
static void expect_end(struct fixture *fixture)
{
    if (counting_works())
        stepping_run(do_all, look_away, fixture);
    else
        do_all(fixture);
}

static void *element(const struct fixture *fixture, uint32_t link)
{
    return fixture->memory + fixture->map->elements_at + (size_t)(link - 1) * fixture->map->stride;
}

/* Each bucket is full of what leads nowhere, and each list is one element, again and again, of another key. */
static void make_circle(const struct fixture *fixture)
{
    struct bucket *bucket = (void *)fixture->memory;
    struct hash_element *first = element(fixture, 1);

    for (uint32_t i = 0; i < fixture->map->buckets; i++) {
        for (unsigned slot = 0; slot < HASH_SLOTS; slot++)
            bucket[i].slot[slot] = UINT32_MAX;
        bucket[i].overflow = 1;
    }
    first->next = 1;
    first->key[0] = 7;
}

static void test_circle_of_table(void **state)
{
    static const uint32_t kinds[] = { BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_PERCPU_HASH };

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        struct fixture fixture = new_map(kinds[i]);

        make_circle(&fixture);
        expect_end(&fixture);
        fixture_clear(&fixture);
    }
}

/* ---- a list that others fill as fast as it is walked ---- */

#define RISING 4096             /* keys, in the order of their hashes */

static const struct map *rising_map;

static int compare_hashes(const void *one, const void *other)
{
    uint64_t a = table_hash(rising_map, one), b = table_hash(rising_map, other);

    return a < b ? -1 : a > b;
}

/*
 * The list's one element leads to itself, and whenever a walk has got it, it has another key, of a greater hash: that
 * takes the seed, which workers can read.  All that the walk gives is what one list may have at most.
 */
static void test_rising_list(void **state)
{
    struct fixture fixture = new_map(BPF_MAP_TYPE_HASH);
    struct thread thread = fixture_thread(0);
    struct map_cursor cursor = { 0 };
    static uint64_t key[RISING];
    unsigned given = 0;
    void *value;

    ((struct bucket *)(void *)fixture.memory)->overflow = 1;
    ((struct hash_element *)element(&fixture, 1))->next = 1;
    for (uint64_t i = 0; i < RISING; i++)
        key[i] = i;
    rising_map = fixture.map;
    qsort(key, RISING, sizeof(key[0]), compare_hashes);
    do
        memcpy(((struct hash_element *)element(&fixture, 1))->key, &key[given], sizeof(key[0]));
    while (fixture.kind->call_next(fixture.map, &cursor, &value, 0, 0, &thread) && ++given < RISING);
    assert_int_equal(given, HASH_WALK);
    fixture_clear(&fixture);
}

/* All elements are in use, and no bucket reaches one: there is nothing to evict. */
static void test_nothing_to_evict(void **state)
{
    struct fixture fixture = new_map(BPF_MAP_TYPE_LRU_HASH);

    memset(fixture.memory + fixture.map->owners_at, ELEMENT_USED, element_count(fixture.map));
    expect_end(&fixture);
    fixture_clear(&fixture);
}

/* The root is its own child, on both sides; and the key goes on behind it. */
static void test_circle_of_trie(void **state)
{
    struct fixture fixture = new_map(BPF_MAP_TYPE_LPM_TRIE);
    struct trie_memory *memory = (void *)fixture.memory;
    struct trie_node *node = element(&fixture, 1);

    memory->root = 1;
    node->key.length = 4;
    node->child[0] = node->child[1] = 1;
    expect_end(&fixture);
    fixture_clear(&fixture);
}

/* ---- versions that never stand still ---- */

static void look_up_shared(void *argument)
{
    const struct fixture *fixture = argument;
    struct thread thread = fixture_thread(0);
    struct map_cursor cursor = { 0 };
    void *value;

    look_up(fixture, &thread);
    if (fixture->kind->call_next)
        fixture->kind->call_next(fixture->map, &cursor, &value, 0, 0, &thread);
}

static void change_versions(void *argument)
{
    const struct fixture *fixture = argument;
    uint8_t *memory = fixture->memory;

    for (uint32_t i = 0; i < fixture->map->buckets; i++)
        ((struct bucket *)(void *)memory)[i].version++;
    if (fixture->map->kind == BPF_MAP_TYPE_LPM_TRIE)
        ((struct trie_memory *)(void *)memory)->version++;
    if (fixture->map->kind == BPF_MAP_TYPE_QUEUE)
        ((struct queue_memory *)(void *)memory)->version++;
}

/* Before each instruction of a lookup. */
static void test_moving_versions(void **state)
{
    static const uint32_t kinds[] = { BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_LPM_TRIE, BPF_MAP_TYPE_QUEUE };

    if (!counting_works())
        skip();
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        struct fixture fixture = new_map(kinds[i]);

        if (fixture.map->buckets)
            make_circle(&fixture);
        stepping_run(look_up_shared, change_versions, &fixture);
        fixture_clear(&fixture);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_waiting),
        cmocka_unit_test(test_circle_of_table),
        cmocka_unit_test(test_rising_list),
        cmocka_unit_test(test_nothing_to_evict),
        cmocka_unit_test(test_circle_of_trie),
        cmocka_unit_test(test_moving_versions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
