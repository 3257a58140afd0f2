/* SPDX-License-Identifier: MIT */
/*
 * shared_map.h: who asks for a name gets the same map;
 * what is placed is reached from image and daemon alike, and goes back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <json-c/json.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <sys/mman.h>

#include "memory.h"
#include "runtime/seat.h"
#include "shared_map.h"
#include "util.h"

#define TEXT_SIZE ((size_t)1 << 20)
#define USER 77

static struct memory *memory;
static struct image *image;
static struct arena *arena;
static struct registry registry;
static struct refusal refusal;
static size_t image_used;

static size_t used_of_image(void)
{
    struct image_usage usage;

    image_usage(image, &usage);
    return usage.used;
}

static size_t used_of_arena(void)
{
    struct arena_usage usage;

    arena_usage(arena, &usage);
    return usage.used;
}

static int set_up(void **state)
{
    const char *text;

    assert_int_equal(memory_new(1, TEXT_SIZE, -EBADF, &memory, &text), 0);
    assert_int_equal(image_new(memory->text, TEXT_SIZE, architecture_native(), memory_populate, memory, &image), 0);
    assert_int_equal(arena_new(memory, DD_ARENA_SIZE, &arena), 0);
    registry_init(&registry, image, TEXT_SIZE, arena);
    image_used = used_of_image();
    return 0;
}

/* Whatever a test did: nothing is left. */
static int tear_down(void **state)
{
    refusal_done(&refusal);
    registry_done(&registry);
    assert_int_equal(used_of_arena(), 0);
    assert_int_equal(used_of_image(), image_used);
    arena = arena_free(arena);
    image = image_free_all(image);
    memory = memory_free(memory);
    return 0;
}

static struct map_wanted wanted_hash(const char *name)
{
    return (struct map_wanted){
        .name = name, .definition = { .kind = BPF_MAP_TYPE_HASH, .key_size = 4, .value_size = 8, .max_entries = 10 },
    };
}

static struct map_wanted wanted_outer(const char *name, uint32_t kind)
{
    return (struct map_wanted){
        .name = name, .definition = { .kind = kind, .key_size = 4, .value_size = 8, .max_entries = 2 },
        .inner = wanted_hash("").definition,
    };
}

/* The registration's reference alone is left. */
static struct shared_map *make(const struct map_wanted *wanted)
{
    struct shared_map *map;
    bool created;

    assert_int_equal(shared_map_want(&registry, wanted, USER, &map, &created, &refusal), 0);
    assert_true(created);
    assert_int_equal(shared_map_place(map, ARENA_NONE, &refusal), 0);
    shared_map_put(map);
    return map;
}

static struct shared_map *make_hash(const char *name)
{
    const struct map_wanted wanted = wanted_hash(name);

    return make(&wanted);
}

/* ---- definitions --------------------------------------------------------------------------------------- */

static void assert_refused(const struct map_wanted *wanted, const char *error, const char *parameter, const char *text)
{
    struct shared_map *map = NULL;
    struct json_object *value;
    bool created = false;

    assert_true(shared_map_want(&registry, wanted, USER, &map, &created, &refusal) < 0);
    assert_null(map);
    assert_false(created);
    assert_string_equal(refusal.error, error);
    assert_true(json_object_object_get_ex(refusal.parameters, parameter, &value));
    if (!strstr(json_object_get_string(value), text))
        fail_msg("\"%s\" is not in \"%s\"", text, json_object_get_string(value));
}

static void test_the_same_name_is_the_same_map(void **state)
{
    const struct map_wanted wanted = wanted_hash("a");
    struct shared_map *map = make_hash("a"), *again;
    bool created = true;

    assert_int_equal(shared_map_want(&registry, &wanted, USER + 1, &again, &created, &refusal), 0);
    assert_ptr_equal(again, map);
    assert_false(created);
    assert_int_equal(again->references, 2);
    assert_int_equal(again->uid, USER);
    shared_map_put(again);
    assert_ptr_equal(registry_map(&registry, "a"), map);
    assert_ptr_equal(registry_map_numbered(&registry, map->number), map);
    assert_null(registry_map(&registry, "b"));
    assert_null(registry_map_numbered(&registry, map->number + 1));
    assert_true(map->number >= MAP_NUMBER_FIRST);
    assert_int_not_equal(make_hash("b")->number, map->number);
}

static void test_mismatches(void **state)
{
    static const struct {
        size_t member;
        const char *text;
    } cases[] = {
        { offsetof(struct map_definition, key_size), "its key_size is 4, and 5 is wanted" },
        { offsetof(struct map_definition, value_size), "its value_size is 8, and 9 is wanted" },
        { offsetof(struct map_definition, max_entries), "its max_entries is 10, and 11 is wanted" },
        { offsetof(struct map_definition, flags), "its map_flags is 0, and 1 is wanted" },
    };
    struct map_wanted wanted = wanted_hash("a");

    make_hash("a");
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        wanted = wanted_hash("a");
        ++*(uint32_t *)(void *)((char *)&wanted.definition + cases[i].member);
        assert_refused(&wanted, "MapMismatch", "difference", cases[i].text);
    }
    wanted = wanted_hash("a");
    wanted.definition.kind = BPF_MAP_TYPE_LRU_HASH;
    assert_refused(&wanted, "MapMismatch", "difference", "its kind is hash, and lru_hash is wanted");
}

/* Types count where both have some. */
static void test_types(void **state)
{
    struct typed *number = typed_integer(8, false), *negative = typed_integer(8, true);
    struct map_wanted wanted = wanted_hash("a");

    wanted.value = number;
    make(&wanted);
    wanted.value = negative;
    assert_refused(&wanted, "MapMismatch", "difference", "its values are u64, and s64 is wanted");
    wanted.value = NULL;
    for (int i = 0; i < 2; i++) {
        struct shared_map *map;
        bool created;

        assert_int_equal(shared_map_want(&registry, &wanted, USER, &map, &created, &refusal), 0);
        assert_int_equal(map->value->type[0].kind, TYPED_UNSIGNED);
        shared_map_put(map);
        wanted.value = number;
    }
    typed_free(number);
    typed_free(negative);
}

static void test_what_cannot_be(void **state)
{
    struct map_wanted wanted = wanted_hash("a");

    wanted.definition.max_entries = 0;
    assert_refused(&wanted, "MapInvalid", "reason", "");
    wanted = wanted_hash("a");
    wanted.inner = wanted.definition;
    assert_refused(&wanted, "MapInvalid", "reason", "maps of maps, and no others");
    wanted = wanted_outer("a", BPF_MAP_TYPE_ARRAY_OF_MAPS);
    wanted.inner.kind = 0;
    assert_refused(&wanted, "MapInvalid", "reason", "maps of maps, and no others");
    wanted = wanted_outer("a", BPF_MAP_TYPE_ARRAY_OF_MAPS);
    wanted.inner.kind = BPF_MAP_TYPE_HASH_OF_MAPS;
    assert_refused(&wanted, "MapInvalid", "reason", "cannot be maps of maps");
    assert_int_equal(registry.maps, 0);
}

/* ---- places -------------------------------------------------------------------------------------------- */

/* What workers have: the text, and the arena behind it. */
static uint8_t *map_window(void)
{
    uint8_t *window = mmap(NULL, TEXT_SIZE + DD_ARENA_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
                           0);

    assert_ptr_not_equal(window, MAP_FAILED);
    assert_ptr_not_equal(mmap(window, TEXT_SIZE, PROT_READ, MAP_SHARED | MAP_FIXED, memory->text_descriptor, 0),
                         MAP_FAILED);
    assert_ptr_not_equal(mmap(window + TEXT_SIZE, DD_ARENA_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
                              memory->arena_descriptor, 0), MAP_FAILED);
    return window;
}

static void unmap_window(uint8_t *window)
{
    munmap(window, TEXT_SIZE + DD_ARENA_SIZE);
}

static const struct map *descriptor_in(uint8_t *window, const struct shared_map *map)
{
    return (const struct map *)(void *)(window + map->descriptor);
}

static void test_descriptor_and_view_lead_to_the_same(void **state)
{
    struct shared_map *map = make_hash("a");
    uint8_t *window = map_window();
    const struct map *descriptor = descriptor_in(window, map);
    struct thread thread = { .line = SEAT_LINE(1, 1) }, other = { .line = SEAT_LINE(1, 2) };
    const uint32_t key = 5, absent = 6;
    const uint64_t value = 55, replaced = 56;

    assert_int_equal(hash_update(descriptor, &key, &value, BPF_ANY, 0, &thread), 0);
    assert_int_equal(*(uint64_t *)hash_lookup(map->view, &key), 55);
    assert_int_equal(hash_update(map->view, &key, &replaced, BPF_EXIST, 0, &other), 0);
    assert_int_equal(*(uint64_t *)hash_lookup(descriptor, &key), 56);
    assert_null(hash_lookup(descriptor, &absent));
    assert_int_equal(descriptor->number, map->number);
    assert_int_equal(descriptor->seed, map->seed);
    assert_ptr_equal((uint8_t *)map_memory(descriptor) + descriptor->elements_at, window + shared_map_elements(map));
    unmap_window(window);
}

static void test_memory_lives_as_long_as_somebody_refers_to_it(void **state)
{
    struct shared_map *map = make_hash("a"), *user = shared_map_get(map);
    size_t used = used_of_arena();

    assert_int_equal(arena_used_by(arena, USER), used);
    assert_true(used >= map->size);
    shared_map_withdraw(map);
    assert_null(registry_map(&registry, "a"));
    assert_int_equal(used_of_arena(), used);
    shared_map_put(user);
    assert_int_equal(used_of_arena(), 0);
    assert_int_equal(used_of_image(), image_used);
}

static void test_no_room_leaves_nothing(void **state)
{
    struct map_wanted wanted = wanted_outer("a", BPF_MAP_TYPE_ARRAY_OF_MAPS);
    struct shared_map *map;
    bool created;

    wanted.definition.max_entries = TEXT_SIZE / 8;
    assert_int_equal(shared_map_want(&registry, &wanted, USER, &map, &created, &refusal), 0);
    assert_int_equal(shared_map_place(map, ARENA_NONE, &refusal), -ENOSPC);
    assert_string_equal(refusal.error, "ImageFull");
    assert_int_equal(used_of_image(), image_used);
    shared_map_withdraw(map);
    shared_map_put(map);

    wanted = wanted_hash("b");
    wanted.definition.max_entries = 1000;
    assert_int_equal(shared_map_want(&registry, &wanted, USER, &map, &created, &refusal), 0);
    arena = registry.arena = arena_free(arena);
    assert_int_equal(arena_new(memory, 64, &arena), 0);
    registry.arena = arena;
    assert_int_equal(shared_map_place(map, ARENA_NONE, &refusal), -EDQUOT);
    assert_string_equal(refusal.error, "QuotaExceeded");
    assert_int_equal(used_of_image(), image_used);
    shared_map_withdraw(map);
    shared_map_put(map);
}

/* At a start: where it was, with what is there. */
static void test_placed_where_it_was(void **state)
{
    const struct map_wanted wanted = wanted_hash("a");
    struct shared_map *map = make_hash("a");
    const uint64_t at = map->memory, seed = map->seed, value = 55;
    struct thread thread = { .line = SEAT_LINE(1, 1) };
    const uint32_t key = 5, number = map->number;

    assert_int_equal(hash_update(map->view, &key, &value, BPF_ANY, 0, &thread), 0);
    registry_remove_map(&registry, map);
    registry.arena = NULL;                      /* the book is forgotten, the memory stays */
    map->memory = ARENA_NONE;
    shared_map_put(map);
    arena_free(arena);
    assert_int_equal(arena_new(memory, DD_ARENA_SIZE, &arena), 0);
    registry.arena = arena;

    assert_int_equal(shared_map_new(&registry, &wanted, USER, number, &map), 0);
    map->seed = seed;
    assert_int_equal(shared_map_place(map, at, &refusal), 0);
    assert_int_equal(registry_add_map(&registry, map), 0);
    assert_int_equal(map->memory, at);
    assert_int_equal(*(uint64_t *)hash_lookup(map->view, &key), 55);
}

/* ---- maps of maps -------------------------------------------------------------------------------------- */

/* As a change does it. */
static void set_inner(struct shared_map *outer, uint32_t key, struct shared_map *inner)
{
    struct shared_map *previous;

    assert_int_equal(shared_map_reserve_inner(outer, &key), 0);
    previous = shared_map_set_inner(outer, &key, inner ? shared_map_get(inner) : NULL);
    shared_map_show_inner(outer, &key);
    shared_map_prune_inner(outer, &key);
    shared_map_put(previous);
}

static void check_outer(uint32_t kind, const struct map *(*lookup)(const struct map *map, const void *key))
{
    const struct map_wanted wanted = wanted_outer("outer", kind);
    struct shared_map *outer = make(&wanted), *first = make_hash("first"), *second = make_hash("second");
    uint8_t *window = map_window();
    const struct map *descriptor = descriptor_in(window, outer);
    struct json_object *outers;
    const uint32_t zero = 0, one = 1;

    assert_null(lookup(descriptor, &zero));
    set_inner(outer, 0, first);
    set_inner(outer, 1, second);
    assert_ptr_equal(lookup(descriptor, &zero), descriptor_in(window, first));
    assert_ptr_equal(lookup(descriptor, &one), descriptor_in(window, second));
    set_inner(outer, 0, second);
    assert_ptr_equal(lookup(descriptor, &zero), descriptor_in(window, second));
    assert_int_equal(first->references, 1);
    assert_int_equal(second->references, 3);
    outers = shared_map_outers(second);
    assert_string_equal(json_object_to_json_string_ext(outers, JSON_C_TO_STRING_PLAIN), "[\"outer\"]");
    json_object_put(outers);
    outers = shared_map_outers(first);
    assert_int_equal(json_object_array_length(outers), 0);
    json_object_put(outers);
    set_inner(outer, 1, NULL);
    assert_null(lookup(descriptor, &one));
    assert_ptr_equal(lookup(descriptor, &zero), descriptor_in(window, second));
    assert_null(shared_map_inner(outer, &one));
    assert_int_equal(outer->entries, 1);
    unmap_window(window);
}

static void test_array_of_maps(void **state)
{
    check_outer(BPF_MAP_TYPE_ARRAY_OF_MAPS, map_array_lookup);
}

static void test_hash_of_maps(void **state)
{
    check_outer(BPF_MAP_TYPE_HASH_OF_MAPS, map_hash_lookup);
}

static void test_room_in_maps_of_maps(void **state)
{
    const struct map_wanted wanted[] = {
        wanted_outer("array", BPF_MAP_TYPE_ARRAY_OF_MAPS), wanted_outer("hash", BPF_MAP_TYPE_HASH_OF_MAPS),
    };
    struct shared_map *array = make(&wanted[0]), *hash = make(&wanted[1]), *inner = make_hash("inner");
    const uint32_t two = 2;

    assert_int_equal(shared_map_reserve_inner(array, &two), -ENOENT);
    for (uint32_t i = 0; i < 100; i++) {        /* not used up by what is taken out again */
        set_inner(hash, 2 * i, inner);
        set_inner(hash, 2 * i + 1, inner);
        assert_int_equal(shared_map_reserve_inner(hash, &(uint32_t){ 1000 }), -E2BIG);
        set_inner(hash, 2 * i, NULL);
        set_inner(hash, 2 * i + 1, NULL);
    }
    assert_int_equal(hash->entries, 0);
}

static void test_which_maps_may_be_inner(void **state)
{
    const struct map_wanted wanted = wanted_outer("outer", BPF_MAP_TYPE_HASH_OF_MAPS);
    struct shared_map *outer = make(&wanted), *inner;
    struct map_wanted larger = wanted_hash("larger"), wider = wanted_hash("wider"), sealed = wanted_hash("sealed");

    larger.definition.max_entries = 1000;
    wider.definition.value_size = 16;
    sealed.definition.flags = BPF_F_RDONLY_PROG;
    assert_int_equal(shared_map_check_inner(outer, make(&larger), &refusal), 0);
    inner = make(&wider);
    assert_true(shared_map_check_inner(outer, inner, &refusal) < 0);
    assert_string_equal(refusal.error, "MapMismatch");
    assert_true(shared_map_check_inner(outer, make(&sealed), &refusal) < 0);
    assert_true(shared_map_check_inner(outer, outer, &refusal) < 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_the_same_name_is_the_same_map), TEST(test_mismatches), TEST(test_types), TEST(test_what_cannot_be),
        TEST(test_descriptor_and_view_lead_to_the_same), TEST(test_memory_lives_as_long_as_somebody_refers_to_it),
        TEST(test_no_room_leaves_nothing), TEST(test_placed_where_it_was), TEST(test_array_of_maps),
        TEST(test_hash_of_maps), TEST(test_room_in_maps_of_maps), TEST(test_which_maps_may_be_inner),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
