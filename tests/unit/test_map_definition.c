/* SPDX-License-Identifier: MIT */
/* Definitions of maps in objects: what a program gets of them, and what is refused. */
#include "objects.h"

#include <linux/bpf.h>

static const struct bytecode_region *region_of(const struct bytecode *bytecode, const char *name)
{
    for (uint32_t i = 0; i < bytecode->regions; i++)
        if (strcmp(bytecode->region[i].name, name) == 0)
            return &bytecode->region[i];
    fail_msg("no region %s", name);
    abort();                    /* it does not return, which compilers do not know */
}

static void assert_type(const struct typed *typed, const char *expected)
{
    char text[1024];

    if (!expected) {
        assert_null(typed);
        return;
    }
    assert_non_null(typed);
    assert_string_equal(typed_format(typed, text, sizeof(text)), expected);
}

/* ---- what is taken ---- */

#define ADDRESS "struct { u32 host; u16 port; }"
#define SESSION "struct { char name[16]; enum { CLOSED = 0, OPEN = 1, HALF_OPEN = 2 } state; bool active; " \
    "s16 balance; u32 low:4; u32 high:12; u64 number; u32 first; u32 second; " ADDRESS " peer[2]; u8 digest[3]; byte cookie[8]; " \
    "union { u32 word; u16 half; } choice; }"

static const struct {
    const char *program, *map;
    enum bytecode_region_kind kind;
    uint32_t map_type, key_size, value_size, max_entries, map_flags, size;
    const char *key_type, *value_type;
} expected[] = {
    { "count", "counters", REGION_MAP, BPF_MAP_TYPE_ARRAY, 4, 8, 4, 0, 32, "u32", "u64" },
    { "find", "sessions", REGION_MAP, BPF_MAP_TYPE_HASH, 8, 80, 100, BPF_F_RDONLY_PROG, 0, ADDRESS, SESSION },
    { "both", "first", REGION_MAP, BPF_MAP_TYPE_LRU_HASH, 6, 3, 10, 0, 0, NULL, NULL },
    { "both", "second", REGION_MAP, BPF_MAP_TYPE_LRU_HASH, 6, 3, 10, 0, 0, NULL, NULL },
    { "report", "events", REGION_MAP, BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, 0, 0, NULL, NULL },
    { "report", "jobs", REGION_MAP, BPF_MAP_TYPE_QUEUE, 0, 4, 8, 0, 0, NULL, "s32" },
    { "decide", "policies", REGION_MAP, BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 8, 2, 0, 0, "u32", NULL },
    { "decide", "policies.inner", REGION_INNER, BPF_MAP_TYPE_HASH, 4, 4, 16, 0, 0, "u32", "u32" },
};

static void check_object(const char *name)
{
    struct object *object = objects_read(name);

    for (size_t i = 0; i < COUNT(expected); i++) {
        struct bytecode *bytecode = objects_bytecode(object, expected[i].program);
        const struct bytecode_region *region = region_of(bytecode, expected[i].map);

        assert_int_equal(region->kind, expected[i].kind);
        assert_int_equal(region->map_type, expected[i].map_type);
        assert_int_equal(region->key_size, expected[i].key_size);
        assert_int_equal(region->value_size, expected[i].value_size);
        assert_int_equal(region->max_entries, expected[i].max_entries);
        assert_int_equal(region->map_flags, expected[i].map_flags);
        assert_int_equal(region->size, expected[i].size);
        assert_type(region->key_type, expected[i].key_type);
        assert_type(region->value_type, expected[i].value_type);
        bytecode_free(bytecode);
    }
    object_free(object);
}

static void test_maps(void **state)
{
    check_object("map");
    check_object("map.v3");
}

/* A program has the maps that it refers to, each once; a map of maps says what its maps are like. */
static void test_regions(void **state)
{
    static const struct { const char *program; uint32_t regions; } counts[] = {
        { "count", 1 }, { "find", 1 }, { "both", 2 + 1 /* .rodata */ }, { "decide", 2 }, { "sum", 1 },
    };
    struct object *object = objects_read("map");
    struct bytecode *bytecode;
    const struct bytecode_region *outer;

    for (size_t i = 0; i < COUNT(counts); i++) {
        bytecode = objects_bytecode(object, counts[i].program);
        if (bytecode->regions > counts[i].regions)
            fail_msg("%s has %u regions", counts[i].program, bytecode->regions);
        bytecode_free(bytecode);
    }
    bytecode = objects_bytecode(object, "decide");
    outer = region_of(bytecode, "policies");
    assert_string_equal(bytecode->region[outer->inner].name, "policies.inner");
    for (uint32_t i = 0; i < bytecode->instructions; i++)
        if (bytecode->instruction[i].opcode == OPCODE_LOAD_64) {
            assert_int_equal(instruction_source(bytecode->instruction[i]), WIDE_MAP);
            assert_ptr_equal(&bytecode->region[bytecode->instruction[i].immediate], outer);
        }
    bytecode_free(bytecode);
    object_free(object);
}

/* ---- what is refused ---- */

static void test_refused(void **state)
{
    static const struct { const char *program; int result; const char *text; } cases[] = {
        { "no_kind", -EOPNOTSUPP, "map \"no_kind_map\": " },
        { "other_kind", -EOPNOTSUPP, "map \"other_kind_map\": " },
        { "no_value", -EINVAL, "map \"no_value_map\": " },
        { "sizes", -EINVAL, "map \"sizes_map\": \"value\" says 4 bytes, and another member of the definition 8" },
        { "no_number", -EINVAL, "\"map_flags\" is no number; write __uint(map_flags, NUMBER)" },
        { "no_type", 0, NULL },         /* __uint(value, 4) is an int [4] for a type */
        { "unknown", -EOPNOTSUPP, "map \"unknown_map\": its definition has the unknown member \"colour\"" },
        { "node", -EOPNOTSUPP, "map \"node_map\": \"numa_node\" has no meaning here; leave it out" },
        { "preallocation", -EOPNOTSUPP, "BPF_F_NO_PREALLOC" },
        { "spin_lock", -EOPNOTSUPP, "map \"spin_lock_map\": its value has a struct bpf_spin_lock" },
        { "timer", -EOPNOTSUPP, "map \"timer_map\": its value has a struct bpf_timer" },
        { "no_map_of_maps", -EINVAL, "it has \"values\", but is no map of maps" },
        { "no_inner", -EINVAL, "must say what the maps in it are like" },
        { "inner_value", -EINVAL, "the values of a map of maps have 4 bytes, not 16" },
        { "inner_type", -EINVAL, "\"values\" does not say what the maps in it are like" },
        { "two_levels", -EOPNOTSUPP, "a map of maps of maps; one level is possible" },
        { "contents", -EOPNOTSUPP, "map \"contents_map\": its definition has contents; put them in" },
        { "old", -EOPNOTSUPP,
          "map \"old_map\": it is defined in the old way, in section \"maps\"; define it in section \".maps\"" },
        { "no_struct", -EINVAL, "map \"array_map\": " },
    };
    struct object *object = objects_read("map_refused");

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct jit_error error = { 0 };
        struct bytecode *bytecode = NULL;
        uint32_t program;
        int r;

        if (object_find(object, cases[i].program, &program, &error) < 0)
            fail_msg("%s: %s", cases[i].program, error.text);
        r = object_bytecode(object, program, &bytecode, &error);
        if (r != cases[i].result || (r < 0 && !strstr(error.text, cases[i].text)))
            fail_msg("%s: %d \"%s\", not %d \"...%s...\"", cases[i].program, r, error.text, cases[i].result,
                     cases[i].text);
        if (r < 0)
            assert_string_equal(error.rule, "map");
        bytecode_free(bytecode);
    }
    object_free(object);
}

/* A static map is found by its place in the section. */
static void test_no_symbol(void **state)
{
    size_t size;
    uint8_t *bytes = objects_bytes("map", &size);

    assert_non_null(bytes);
    objects_symbol(bytes, "sessions")->st_value += 1;
    objects_refused("no map there", bytes, size, "map", "no map begins at byte ");
    free(bytes);
}

/* The name is what maps are shared by. */
static void test_long_name(void **state)
{
    size_t size;
    uint8_t *bytes = objects_bytes("map", &size);

    assert_non_null(bytes);
    objects_symbol(bytes, "counters")->st_name = objects_symbol(bytes, "both")->st_name - 1;
    objects_refused("no name", bytes, size, "map", "a map's name has 1 to 63 bytes of [A-Za-z0-9_.-]");
    free(bytes);
}

static void test_no_types(void **state)
{
    size_t size;
    uint8_t *bytes = objects_bytes("map", &size);

    assert_non_null(bytes);
    objects_section(bytes, ".BTF")->sh_type = SHT_NOTE;
    objects_refused("no BTF", bytes, size, "btf",
                    "map \"counters\" is defined by its types, and the object has none (BTF)");
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_maps),
        cmocka_unit_test(test_regions),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_no_symbol),
        cmocka_unit_test(test_long_name),
        cmocka_unit_test(test_no_types),
    };

    return cmocka_run_group_tests_name("map_definition", tests, NULL, NULL);
}
