/* SPDX-License-Identifier: MIT */
/* Objects: which programs they have, and what each consists of; what is refused, and why. */
#include "objects.h"

#include "../programs/packet.h"

/* ---- programs ---- */

static void test_programs(void **state)
{
    static const struct object_program expected[] = {
        { "first", "packet", 0 }, { "second", "packet", 0 }, { "third", "other", 0 },
        { "fourth", "other", 0 }, { "fifth", "other", 0 },
    };
    struct object *object = objects_read("several");

    assert_int_equal(object->programs, COUNT(expected));
    for (size_t i = 0; i < COUNT(expected); i++) {
        struct bytecode *bytecode = objects_bytecode(object, expected[i].name);

        assert_string_equal(object->program[i].name, expected[i].name);
        assert_string_equal(object->program[i].context, expected[i].context);
        assert_string_equal(bytecode->function[0].name, expected[i].name);
        assert_string_equal(bytecode->context, expected[i].context);
        bytecode_free(bytecode);
    }
    assert_string_equal(object->licence, "Dual MIT/GPL");
    object_free(object);
    object = objects_read("verdict");
    assert_string_equal(object->licence, "");
    object_free(object);
    assert_null(object_free(NULL));
}

static void test_find(void **state)
{
    struct object *several = objects_read("several"), *one = objects_read("verdict");
    struct jit_error error = { 0 };
    uint32_t index = 99;

    assert_int_equal(object_find(several, "third", &index, &error), 0);
    assert_int_equal(index, 2);
    assert_int_equal(object_find(one, NULL, &index, &error), 0);
    assert_int_equal(index, 0);
    index = 99;
    assert_int_equal(object_find(several, NULL, &index, &error), -EINVAL);
    assert_string_equal(error.rule, "program");
    assert_string_equal(error.text,
                        "the object has several programs, name one of them: first, second, third, fourth, fifth");
    assert_int_equal(object_find(several, "sixth", &index, &error), -EINVAL);
    assert_string_equal(error.rule, "program");
    assert_string_equal(error.text, "the object has no program sixth; it has: first, second, third, fourth, fifth");
    assert_int_equal(index, 99);
    object_free(several);
    object_free(one);
}

static void test_digest(void **state)
{
    struct object *object = objects_read("configuration");
    char command[4200], expected[65], actual[65];
    FILE *sum;

    snprintf(command, sizeof(command), "sha256sum '%s/tests/programs/configuration.bpf.o'",
             getenv("BUILD_DIR") ? getenv("BUILD_DIR") : ".");
    sum = popen(command, "r");
    assert_non_null(sum);
    assert_int_equal(fscanf(sum, "%64s", expected), 1);
    pclose(sum);
    assert_int_equal(object_set(object, "u8", "7", NULL), 0);
    for (size_t i = 0; i < sizeof(object->digest); i++)
        snprintf(actual + 2 * i, 3, "%02x", object->digest[i]);
    assert_string_equal(actual, expected);
    object_free(object);
}

/* Another name of the same instructions is no other function; one of a part of them is. */
static void test_aliases(void **state)
{
    struct object *object = NULL;
    size_t size;
    uint8_t *bytes = objects_bytes("configuration", &size);
    Elf64_Sym *function = objects_symbol(bytes, "configured"), *alias = objects_symbol(bytes, "folded");

    alias->st_info = function->st_info;
    alias->st_shndx = function->st_shndx;
    alias->st_value = function->st_value;
    alias->st_size = function->st_size;
    assert_int_equal(object_read(bytes, size, &object, NULL), 0);
    assert_int_equal(object->functions, 1);
    assert_int_equal(object->programs, 1);
    assert_string_equal(object->program[0].name, "configured");
    object_free(object);
    alias->st_size -= 8;
    objects_refused("a part", bytes, size, "instruction", "functions configured and folded overlap");
    free(bytes);
}

/* ---- the context ---- */

/* A field of size 0 if there is none. */
static const struct types_field *field_of(const struct bytecode *bytecode, const char *name)
{
    static const struct types_field none;

    for (uint32_t i = 0; i < bytecode->fields; i++)
        if (strcmp(bytecode->field[i].name, name) == 0)
            return &bytecode->field[i];
    return &none;
}

static struct bytecode *read_program(const char *object_name, const char *name)
{
    struct object *object = objects_read(object_name);
    struct bytecode *bytecode = objects_bytecode(object, name);

    object_free(object);
    return bytecode;
}

static void test_fields(void **state)
{
    struct bytecode *bytecode = read_program("fields", NULL);

#define ASSERT_FIELD(member)  \
    assert_int_equal(field_of(bytecode, #member)->offset, offsetof(struct packet, member));  \
    assert_int_equal(field_of(bytecode, #member)->size, sizeof(((struct packet *)0)->member))
    ASSERT_FIELD(data);
    ASSERT_FIELD(data_end);
    ASSERT_FIELD(offset);
    ASSERT_FIELD(size);
    ASSERT_FIELD(tiny);
    ASSERT_FIELD(undeclared);
    assert_int_equal(bytecode->fields, 9);
    bytecode_free(bytecode);
    bytecode = read_program("no_fields", NULL);
    assert_int_equal(bytecode->fields, 0);
    bytecode_free(bytecode);
    bytecode = read_program("several", "third");        /* each program has those of its own context */
    assert_int_equal(bytecode->fields, 2);
    assert_int_equal(field_of(bytecode, "second")->offset, 4);
    bytecode_free(bytecode);
}

static void test_nested_fields(void **state)
{
    static const struct types_field expected[] = {
        { "first", 0, 4 }, { "inner", 4, 8 }, { "inner.a", 4, 2 }, { "inner.b", 6, 2 },
        { "inner.word", 8, 4 }, { "inner.bytes", 8, 4 }, { "pointer", 16, 8 },
    };
    struct bytecode *bytecode = read_program("nested", NULL);

    assert_int_equal(bytecode->fields, COUNT(expected));
    for (size_t i = 0; i < COUNT(expected); i++) {
        const struct types_field *field = field_of(bytecode, expected[i].name);

        assert_int_equal(field->offset, expected[i].offset);
        assert_int_equal(field->size, expected[i].size);
    }
    bytecode_free(bytecode);
}

/* ---- what is refused ---- */

static void test_refused_programs(void **state)
{
    static const struct { const char *name, *rule, *text; } cases[] = {
        { "map_refused", "map", "map \"no_kind_map\": maps of kind 0 are not supported" },
        { "kfunc", "relocation", "calls elsewhere, which is no function of this object" },
        { "kernel_variable", "relocation", "refers to \"LINUX_KERNEL_VERSION\", which is defined nowhere" },
        { "pointers", "relocation", "\"names\" in section \".data\" holds the address of \".rodata\"" },
        { "odd_section", "relocation", "refers to \"counter\" in section \"counters\", which is no section of data" },
        { "long_names", "section", "two programs have the name a_name_that_has_sixty_three" },
        { "kind", "section", "section \"xdp\" is of unknown kind" },
        { "nothing", "section", "no section \"table/CONTEXT\"" },
        { "other_struct", "context", "section \"table/packet\"" },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        size_t size;
        uint8_t *bytes = objects_bytes(cases[i].name, &size);

        assert_non_null(bytes);
        objects_refused(cases[i].name, bytes, size, cases[i].rule, cases[i].text);
        free(bytes);
    }
}

/* What a program does not refer to does not matter to it. */
static void test_dead_functions(void **state)
{
    struct bytecode *bytecode = read_program("dead", NULL);

    assert_int_equal(bytecode->functions, 2);
    assert_string_equal(bytecode->function[1].name, "alive");
    assert_int_equal(bytecode->regions, 0);
    bytecode_free(bytecode);
}

/* ---- other compilers ---- */

/* They name, order and fold differently; what programs consist of is the same. */
static void assert_compiled(const char *kind)
{
    static const struct { const char *object, *program; uint32_t functions, regions; } cases[] = {
        { "several", "first", 3, 1 }, { "several", "fourth", 3, 1 },    { "data", "reads", 1, 2 },
        { "data", "writes", 1, 2 },   { "data", "literals", 1, 2 },     { "callback", "sums", 4, 0 },
        { "endian", "swaps", 1, 0 },  { "configuration", "configured", 1, 2 },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        char name[64];
        struct bytecode *bytecode;

        snprintf(name, sizeof(name), "%s.%s", cases[i].object, kind);
        bytecode = read_program(name, cases[i].program);
        assert_int_equal(bytecode->functions, cases[i].functions);
        assert_int_equal(bytecode->regions, cases[i].regions);
        assert_true(bytecode->lines > 0);
        bytecode_free(bytecode);
    }
}

static void skip_unless_built(const char *kind)
{
    char name[64];
    size_t size;
    uint8_t *bytes;

    snprintf(name, sizeof(name), "several.%s", kind);
    bytes = objects_bytes(name, &size);
    if (!bytes) {
        print_message("%s is not installed\n", kind);
        skip();
    }
    free(bytes);
}

static void test_v3(void **state)
{
    assert_compiled("v3");
}

static void test_clang_16(void **state)
{
    skip_unless_built("clang16");
    assert_compiled("clang16");
}

static void test_clang_19(void **state)
{
    skip_unless_built("clang19");
    assert_compiled("clang19");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_programs),
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_digest),
        cmocka_unit_test(test_aliases),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_nested_fields),
        cmocka_unit_test(test_refused_programs),
        cmocka_unit_test(test_dead_functions),
        cmocka_unit_test(test_v3),
        cmocka_unit_test(test_clang_16),
        cmocka_unit_test(test_clang_19),
    };

    return cmocka_run_group_tests_name("object", tests, NULL, NULL);
}
