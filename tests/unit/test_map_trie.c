/* SPDX-License-Identifier: MIT */
/*
 * Tries: the longest prefix, as a list of all of them has it; the same after a kill at any instruction of a change; and
 * whatever lies in the memory.
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
#include "runtime/element.h"
#include "runtime/trie.h"
#include "stepping.h"
#include "trie_walker.h"

#define DATA_MAX 16             /* bytes of keys here */
#define ENTRIES_MAX 64

struct key {
    uint32_t length;
    uint8_t data[DATA_MAX];
};

/* The model: all entries, in no order. */
struct list {
    uint32_t data_size;         /* bytes of a key behind its length; for walk() */
    uint32_t count;
    struct list_entry {
        struct key key;
        uint64_t value;
    } entry[ENTRIES_MAX];
};

static struct fixture new_trie(uint32_t data_size, uint32_t entries)
{
    struct map_definition definition = { BPF_MAP_TYPE_LPM_TRIE, 4 + data_size, 8, entries, BPF_F_NO_PREALLOC };
    struct fixture fixture;

    fixture_make(&definition, &fixture);
    return fixture;
}

/* Bits as text: "1010". */
static struct key key(const char *bits)
{
    struct key key = { 0 };

    for (; *bits; bits++, key.length++)
        if (*bits == '1')
            key.data[key.length / 8] |= (uint8_t)(0x80 >> key.length % 8);
    return key;
}

/* ---- the model ---- */

static struct list_entry *list_find(struct list *list, const struct key *key)
{
    for (uint32_t i = 0; i < list->count; i++)
        if (list->entry[i].key.length == key->length &&
            trie_begins_with(list->entry[i].key.data, key->data, key->length))
            return &list->entry[i];
    return NULL;
}

static const struct list_entry *list_longest(const struct list *list, const struct key *key)
{
    const struct list_entry *found = NULL;

    for (uint32_t i = 0; i < list->count; i++) {
        const struct list_entry *entry = &list->entry[i];

        if (entry->key.length <= key->length && trie_begins_with(key->data, entry->key.data, entry->key.length) &&
            (!found || entry->key.length > found->key.length))
            found = entry;
    }
    return found;
}

static long list_update(struct list *list, const struct key *key, uint64_t value, uint64_t flags, uint32_t max)
{
    struct list_entry *entry = list_find(list, key);

    if (flags > BPF_EXIST)
        return -EINVAL;
    if (entry && flags == BPF_NOEXIST)
        return -EEXIST;
    if (!entry && flags == BPF_EXIST)
        return -ENOENT;
    if (!entry && list->count == max)
        return -ENOSPC;
    if (!entry)
        entry = &list->entry[list->count++];
    *entry = (struct list_entry){ *key, value };
    return 0;
}

static long list_delete(struct list *list, const struct key *key)
{
    struct list_entry *entry = list_find(list, key);

    if (!entry)
        return -ENOENT;
    *entry = list->entry[--list->count];
    return 0;
}

static bool list_same(struct list *a, struct list *b)
{
    for (uint32_t i = 0; i < a->count; i++) {
        const struct list_entry *other = list_find(b, &a->entry[i].key);

        if (!other || other->value != a->entry[i].value)
            return false;
    }
    return a->count == b->count;
}

static void list_append(void *argument, const struct trie_key *key, const void *value)
{
    struct list *list = argument;
    struct list_entry *entry = &list->entry[list->count];

    assert_true(list->count++ < ENTRIES_MAX);
    entry->key.length = key->length;
    memcpy(entry->key.data, key->data, list->data_size);
    memcpy(&entry->value, value, sizeof(entry->value));
}

/* All entries; and all is as it should be. */
static void walk(const struct fixture *fixture, struct list *ret)
{
    const char *wrong;

    *ret = (struct list){ .data_size = fixture->map->key_size - 4 };
    wrong = trie_check(fixture->map, list_append, ret);
    if (wrong)
        fail_msg("%s", wrong);
}

/* ---- what they do ---- */

static long update(const struct fixture *fixture, const struct key *key, uint64_t value, uint64_t flags,
                   struct thread *thread)
{
    return trie_update(fixture->map, key, &value, flags, 0, thread);
}

/* The value; -ENOENT. */
static long lookup(const struct fixture *fixture, const struct key *key)
{
    const uint64_t *value = trie_lookup(fixture->map, key);

    return value ? (long)*value : -ENOENT;
}

/* Short ones often, so that prefixes meet; bits behind the length are anything. */
static struct key random_key(uint32_t data_size)
{
    struct key key = { .length = (uint32_t)rand() % (8 * data_size + 1) };

    for (uint32_t i = 0; i < data_size; i++)
        key.data[i] = rand() % 3 ? 0 : (uint8_t)(rand() % 4 << rand() % 7);
    return key;
}

static const struct trie_key *next_after_skips(const struct map *map, struct map_cursor *cursor, void **ret_value)
{
    for (uint32_t skips = 0; !trie_skip(map, cursor, 1); skips++)
        assert_true(skips < map->elements);
    return trie_next(map, cursor, ret_value);
}

static void compare_all(const struct fixture *fixture, struct list *list)
{
    struct map_cursor cursor = { 0 };
    struct list now;
    uint32_t seen = 0;
    void *value;

    walk(fixture, &now);
    assert_true(list_same(&now, list));
    assert_int_equal(trie_count(fixture->map), list->count);
    for (const struct trie_key *next; (next = next_after_skips(fixture->map, &cursor, &value)); seen++) {
        struct key copy = { .length = next->length };
        const struct list_entry *entry;

        memcpy(copy.data, next->data, fixture->map->key_size - 4);
        entry = list_find(list, &copy);
        assert_non_null(entry);
        assert_memory_equal(value, &entry->value, sizeof(entry->value));
    }
    assert_int_equal(seen, list->count);
}

static void compare_with_list(uint32_t data_size, uint32_t entries)
{
    struct fixture fixture = new_trie(data_size, entries);
    struct thread thread = fixture_thread(0);
    struct list list = { 0 };

    for (unsigned i = 0; i < 20000; i++) {
        struct key key = random_key(data_size);
        const struct list_entry *longest = list_longest(&list, &key);
        uint64_t flags = (uint64_t)(rand() % 8 < 6 ? BPF_ANY : rand() % 4);

        assert_int_equal(lookup(&fixture, &key), longest ? (long)longest->value : -ENOENT);
        if (rand() % 100 < (i / 1000 % 2 ? 70 : 30))
            assert_int_equal(update(&fixture, &key, i, flags, &thread), list_update(&list, &key, i, flags, entries));
        else
            assert_int_equal(trie_delete(fixture.map, &key, 0, 0, 0, &thread), list_delete(&list, &key));
        if (i % 16 == 0)
            compare_all(&fixture, &list);
    }
    fixture_clear(&fixture);
}

static void test_as_a_list(void **state)
{
    srand(1);
    compare_with_list(1, 10);
    compare_with_list(1, ENTRIES_MAX);
    compare_with_list(3, 5);
    compare_with_list(4, ENTRIES_MAX);
    compare_with_list(9, 30);
    compare_with_list(16, ENTRIES_MAX);
}

/* A program's key may lie at any address. */
static void test_key_anywhere(void **state)
{
    struct fixture fixture = new_trie(4, 4);
    struct thread thread = fixture_thread(0);
    struct key wanted = key("0101");

    for (unsigned at = 0; at < 8; at++) {
        uint8_t bytes[8 + sizeof(wanted)];
        uint64_t value = at, *found;

        memcpy(bytes + at, &wanted, sizeof(wanted));
        assert_int_equal(trie_update(fixture.map, bytes + at, &value, BPF_ANY, 0, &thread), 0);
        found = trie_lookup(fixture.map, bytes + at);
        assert_non_null(found);
        assert_int_equal(*found, at);
        assert_int_equal(trie_delete(fixture.map, bytes + at, 0, 0, 0, &thread), 0);
    }
    fixture_clear(&fixture);
}

/* Entries and branchings: there is always an element for max_entries of them, and for a replacement. */
static void test_full(void **state)
{
    struct fixture fixture = new_trie(4, ENTRIES_MAX);
    struct thread thread = fixture_thread(0);
    struct key key = { .length = 32 };

    for (unsigned i = 0; i < ENTRIES_MAX; i++) {
        key.data[3] = (uint8_t)i;
        assert_int_equal(update(&fixture, &key, i, BPF_NOEXIST, &thread), 0);
    }
    assert_int_equal(update(&fixture, &key, 7, BPF_EXIST, &thread), 0);
    key.length = 31;
    assert_int_equal(update(&fixture, &key, 7, BPF_ANY, &thread), -ENOSPC);
    fixture_clear(&fixture);
}

static void test_refused(void **state)
{
    struct fixture fixture = new_trie(1, 4);
    struct thread thread = fixture_thread(0), nobody = { 0 };
    struct trie_memory *memory = (void *)fixture.memory;
    struct key fine = key("0101"), too_long = { .length = 9 }, all = { .length = UINT32_MAX };

    assert_int_equal(update(&fixture, &too_long, 1, BPF_ANY, &thread), -EINVAL);
    assert_int_equal(update(&fixture, &fine, 1, BPF_EXIST + 1, &thread), -EINVAL);
    assert_int_equal(trie_delete(fixture.map, &all, 0, 0, 0, &thread), -EINVAL);
    assert_int_equal(lookup(&fixture, &too_long), -ENOENT);
    assert_int_equal(update(&fixture, &fine, 1, BPF_ANY, &nobody), -ENOSPC);
    memory->lock = 77;
    assert_int_equal(update(&fixture, &fine, 1, BPF_ANY, &thread), -EBUSY);
    assert_int_equal(trie_delete(fixture.map, &fine, 0, 0, 0, &thread), -EBUSY);
    memory->lock = 0;
    assert_int_equal(update(&fixture, &fine, 1, BPF_ANY, &thread), 0);
    assert_int_equal(lookup(&fixture, &all), -ENOENT);
    fixture_clear(&fixture);
}

static void test_definitions(void **state)
{
    static const struct {
        struct map_definition definition;
        int r;
    } cases[] = {
        { { BPF_MAP_TYPE_LPM_TRIE, 5, 1, 1, BPF_F_NO_PREALLOC }, 0 },
        { { BPF_MAP_TYPE_LPM_TRIE, 260, 8, 10, 0 }, 0 },
        { { BPF_MAP_TYPE_LPM_TRIE, 4, 8, 10, BPF_F_NO_PREALLOC }, -EINVAL },
        { { BPF_MAP_TYPE_LPM_TRIE, 261, 8, 10, BPF_F_NO_PREALLOC }, -EINVAL },
        { { BPF_MAP_TYPE_LPM_TRIE, 8, 0, 10, BPF_F_NO_PREALLOC }, -EINVAL },
        { { BPF_MAP_TYPE_LPM_TRIE, 8, (1 << 20) + 1, 10, BPF_F_NO_PREALLOC }, -EINVAL },
        { { BPF_MAP_TYPE_LPM_TRIE, 8, 8, 0, BPF_F_NO_PREALLOC }, -EINVAL },
        { { BPF_MAP_TYPE_LPM_TRIE, 8, 8, UINT32_MAX, BPF_F_NO_PREALLOC }, -E2BIG },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct jit_error error;
        struct map map;

        assert_int_equal(map_lay_out(&cases[i].definition, &map, &error), cases[i].r);
    }
}

/* ---- a change that is killed at any instruction ---- */

#define PREFIXES 6

struct change_case {
    const char *before[PREFIXES];
    const char *update, *delete;        /* one of the two */
};

static const struct change_case change_cases[] = {
    { { NULL }, .update = "0101" },                             /* the root's link is empty */
    { { "0101" }, .update = "" },                               /* above the root */
    { { "01", "0101" }, .update = "011" },                      /* where a link is empty */
    { { "01", "01011" }, .update = "0101" },                    /* between a link and its node */
    { { "01011", "01010" }, .update = "0110" },                 /* beside: a branching */
    { { "01011", "01010" }, .update = "0101" },                 /* in place of a branching */
    { { "01", "010", "011" }, .update = "01" },                 /* in place of one with children */
    { { "01" }, .delete = "01" },
    { { "01", "010" }, .delete = "01" },                        /* its child takes its place */
    { { "01", "010" }, .delete = "010" },
    { { "01", "010", "011" }, .delete = "01" },                 /* becomes a branching */
    { { "010", "011" }, .delete = "011" },                      /* with its parent */
    { { "00", "010", "0110", "0111" }, .delete = "010" },       /* with its parent, whose other child is a branching */
    { { "", "10", "0111", "01100" }, .delete = "0111" },
};

struct killing {
    struct fixture fixture, copy;
    struct thread thread;
    const struct change_case *change;
    struct list before, after;
    bool done;
    unsigned looks;
};

static void act(void *argument)
{
    struct killing *killing = argument;
    struct key of = key(killing->change->update ? killing->change->update : killing->change->delete);

    if (killing->change->update)
        update(&killing->fixture, &of, 99, BPF_ANY, &killing->thread);
    else
        trie_delete(killing->fixture.map, &of, 0, 0, 0, &killing->thread);
}

/* Every key of five bits finds what it did before, or what it will find after; without the lock and before recovery. */
static void look_up_all(struct killing *killing)
{
    for (unsigned bits = 0; bits < 32; bits++) {
        struct key key = { 5, { (uint8_t)(bits << 3) } };
        const struct list_entry *before = list_longest(&killing->before, &key);
        const struct list_entry *after = list_longest(&killing->after, &key);
        long got = lookup(&killing->fixture, &key);

        if (got != (before ? (long)before->value : -ENOENT))
            assert_int_equal(got, after ? (long)after->value : -ENOENT);
    }
}

/* What was lost of elements would be missing here. */
static void fill(struct killing *killing)
{
    struct thread other = fixture_thread(1);
    struct list now;

    for (unsigned i = 0; i < 256 && trie_count(killing->copy.map) < killing->copy.map->max_entries; i++) {
        struct key key = { 8, { (uint8_t)i } };

        assert_int_equal(update(&killing->copy, &key, i, BPF_ANY, &other), 0);
    }
    walk(&killing->copy, &now);
    assert_int_equal(now.count, killing->copy.map->max_entries);
}

static void look(void *argument)
{
    struct killing *killing = argument;
    struct list now;

    look_up_all(killing);
    fixture_copy(&killing->fixture, &killing->copy);
    fixture_recover(&killing->copy, 0);
    walk(&killing->copy, &now);
    if (!list_same(&now, killing->done ? &killing->after : &killing->before)) {
        assert_true(list_same(&now, &killing->after));
        killing->done = true;
    }
    fill(killing);
    killing->looks++;
}

static void try_killing(const struct change_case *change)
{
    struct killing killing = { new_trie(1, 8), new_trie(1, 8), fixture_thread(0), change, .done = false };
    struct key of = key(change->update ? change->update : change->delete);

    for (unsigned i = 0; i < PREFIXES && change->before[i]; i++) {
        struct key before = key(change->before[i]);

        assert_int_equal(update(&killing.fixture, &before, i, BPF_ANY, &killing.thread), 0);
    }
    walk(&killing.fixture, &killing.before);
    killing.after = killing.before;
    if (change->update)
        list_update(&killing.after, &of, 99, BPF_ANY, 8);
    else
        list_delete(&killing.after, &of);
    stepping_run(act, look, &killing);
    assert_true(killing.done);
    assert_true(killing.looks > 100);
    fixture_clear(&killing.fixture);
    fixture_clear(&killing.copy);
}

static void test_killed(void **state)
{
    if (!stepping_works())
        skip();
    for (size_t i = 0; i < sizeof(change_cases) / sizeof(change_cases[0]); i++)
        try_killing(&change_cases[i]);
}

/* ---- a lookup that is overtaken at any instruction ---- */

struct looking {
    struct fixture fixture;
    struct thread thread;
    uint64_t **found;           /* shared */
};

static void change(struct looking *looking, const char *bits, uint64_t value)
{
    struct key of = key(bits);

    assert_int_equal(update(&looking->fixture, &of, value, BPF_ANY, &looking->thread), 0);
}

static void begin_looking(void *argument)
{
    struct looking *looking = argument;

    fixture_reset(&looking->fixture);
    change(looking, "0", 1);
    change(looking, "010", 2);
    change(looking, "01011", 3);
}

static void look_up_shared(void *argument)
{
    struct looking *looking = argument;
    struct key of = key("01011");

    *looking->found = trie_lookup(looking->fixture.map, &of);
}

/* The node on the way leaves, and is used elsewhere. */
static void reuse_middle(void *argument)
{
    struct looking *looking = argument;
    struct key middle = key("010");

    assert_int_equal(trie_delete(looking->fixture.map, &middle, 0, 0, 0, &looking->thread), 0);
    change(looking, "1", 4);
}

/* What is found was there all the time. */
static void check_found(void *argument)
{
    struct looking *looking = argument;

    assert_non_null(*looking->found);
    assert_int_equal(**looking->found, 3);
}

static void test_overtaken(void **state)
{
    struct looking looking = { new_trie(1, 4), fixture_thread(0), NULL };
    struct overtaking overtaking = { begin_looking, look_up_shared, reuse_middle, check_found, &looking };

    if (!stepping_works())
        skip();
    looking.found = mmap(NULL, sizeof(*looking.found), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(looking.found != MAP_FAILED);
    assert_true(stepping_overtake(&overtaking) > 100);
    munmap(looking.found, sizeof(*looking.found));
    fixture_clear(&looking.fixture);
}

/* ---- copies that are torn ---- */

/* Some that are reached count as free, some that have left count as used, and so does the count. */
static void tear(const struct fixture *fixture)
{
    struct trie_memory *trie = (void *)fixture->memory;

    for (uint32_t link = 1; link <= element_count(fixture->map); link++)
        *element_owner(fixture->map, link) = link % 3 ? ELEMENT_FREE : ELEMENT_USED;
    trie->lock = 5;
    trie->count = 1;
}

static void test_renewal(void **state)
{
    struct fixture fixture = new_trie(2, ENTRIES_MAX);
    struct thread thread = fixture_thread(0);
    struct list list = { 0 };
    uint8_t *copy = malloc(fixture.map->size);

    for (unsigned i = 0; i < 1000; i++) {
        struct key key = random_key(2);

        if (i % 3)
            assert_int_equal(update(&fixture, &key, i, BPF_ANY, &thread),
                             list_update(&list, &key, i, BPF_ANY, ENTRIES_MAX));
        else
            assert_int_equal(trie_delete(fixture.map, &key, 0, 0, 0, &thread), list_delete(&list, &key));
    }
    assert_true(list.count > 8);
    tear(&fixture);
    assert_int_equal(map_renewed_size(fixture.map), fixture.map->size);
    memcpy(copy, fixture.memory, fixture.map->size);
    map_renew(fixture.map, copy, &thread);
    compare_all(&fixture, &list);
    free(copy);
    fixture_clear(&fixture);
}

/* ---- a key that lies in the arena, where another process changes it ---- */

struct changing_key {
    struct fixture fixture;
    struct thread thread;
    enum { LOOK_UP, UPDATE, DELETE } what;
    struct key *key;            /* in the map's last element, which nobody uses */
};

static void begin_changing(void *argument)
{
    struct changing_key *changing = argument;
    struct key zeros = key("0000"), ones = key("1111");

    fixture_reset(&changing->fixture);
    update(&changing->fixture, &zeros, 1, BPF_ANY, &changing->thread);
    update(&changing->fixture, &ones, 2, BPF_ANY, &changing->thread);
    memset(changing->key, 0, 4 + 1);
    changing->key->length = changing->what == UPDATE ? 6 : 4;
}

static void call_by_key(void *argument)
{
    struct changing_key *changing = argument;
    const struct map *map = changing->fixture.map;
    struct thread thread = fixture_thread(1);
    const uint64_t value = 3;

    if (changing->what == LOOK_UP)
        trie_lookup(map, changing->key);
    else if (changing->what == UPDATE)
        trie_update(map, changing->key, &value, BPF_ANY, 0, &thread);
    else
        trie_delete(map, changing->key, 0, 0, 0, &thread);
}

/* More bits than there are, all of them ones. */
static void change_trie_key(void *argument)
{
    struct changing_key *changing = argument;

    memset(changing->key, 0xff, 4 + 1);
}

/* Whoever looks for a key that an entry has finds it. */
static void check_entries(void *argument)
{
    struct changing_key *changing = argument;
    struct map_cursor cursor = { 0 };
    struct key *entry;
    void *value;

    while ((entry = (struct key *)(uintptr_t)trie_next(changing->fixture.map, &cursor, &value)))
        assert_ptr_equal(trie_lookup(changing->fixture.map, entry), value);
}

static struct trie_node *last_node(const struct fixture *fixture)
{
    const struct map *map = fixture->map;

    return (void *)(fixture->memory + map->elements_at + (size_t)(map->elements - 1) * map->stride);
}

static void test_changing_key(void **state)
{
    struct changing_key changing = { new_trie(1, 8), fixture_thread(0), LOOK_UP, NULL };
    struct overtaking overtaking = { begin_changing, call_by_key, change_trie_key, check_entries, &changing };

    if (!stepping_works())
        skip();
    changing.key = (struct key *)(void *)&last_node(&changing.fixture)->key;
    for (changing.what = LOOK_UP; changing.what <= DELETE; changing.what++)
        assert_true(stepping_overtake(&overtaking) > 30);
    fixture_clear(&changing.fixture);
}

/* ---- hostile memory ---- */

/* Links, lengths, owners, and the rest: plausible, nearly, or anything. */
static void scribble(const struct fixture *fixture)
{
    struct trie_memory *memory = (void *)fixture->memory;
    const struct map *map = fixture->map;

    for (uint64_t i = 0; i < map->size; i++)
        fixture->memory[i] = (uint8_t)(rand() % 2 ? rand() : 0);
    for (uint32_t link = 1; link <= map->elements; link++) {
        struct trie_node *node = (void *)(fixture->memory + map->elements_at + (size_t)(link - 1) * map->stride);

        node->child[0] = (uint32_t)rand() % (map->elements + 2);
        node->child[1] = (uint32_t)rand() % (map->elements + 2);
        node->key.length = (uint32_t)rand() % (rand() % 8 ? 40 : UINT32_MAX);
        node->branching = (uint32_t)rand() % 3;
    }
    memory->root = (uint32_t)rand() % (map->elements + 2);
    memory->count = (uint32_t)rand() % 12;
    memory->lock = 0;
}

/* Nothing is touched outside (guard pages), and all ends. */
static void test_hostile_memory(void **state)
{
    struct fixture fixture = new_trie(4, 8);
    struct thread thread = fixture_thread(0);

    srand(1);
    for (unsigned round = 0; round < 20000; round++) {
        struct key key = random_key(4);
        struct map_cursor cursor = { 0 };
        struct seat *seat;
        void *value;

        scribble(&fixture);
        lookup(&fixture, &key);
        update(&fixture, &key, 1, BPF_ANY, &thread);
        trie_delete(fixture.map, &key, 0, 0, 0, &thread);
        while (trie_next(fixture.map, &cursor, &value))
            memset(value, 0xff, 8);
        seat = fixture_seat(&fixture, 0);
        seat->journal = (struct journal){ .map = 1, .element = { 1, (uint32_t)rand() % 20, 3, (uint32_t)rand() } };
        ((struct trie_memory *)(void *)fixture.memory)->lock = 1 + (uint32_t)(seat - fixture.head->seat);
        memset(fixture.memory + fixture.map->owners_at, 1, fixture.map->elements);
        map_recover(fixture.map, seat);
        assert_true(trie_count(fixture.map) <= 8);
    }
    fixture_clear(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_a_list),
        cmocka_unit_test(test_key_anywhere),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_definitions),
        cmocka_unit_test(test_killed),
        cmocka_unit_test(test_overtaken),
        cmocka_unit_test(test_renewal),
        cmocka_unit_test(test_changing_key),
        cmocka_unit_test(test_hostile_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
