/* SPDX-License-Identifier: MIT */
/* Objects: what is read from real ones, and what is refused, of real and of damaged ones. */
#include "jit.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../programs/packet.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static uint8_t *read_program(const char *name, size_t *ret_size)
{
    char path[256];
    uint8_t *bytes;

    snprintf(path, sizeof(path), "tests/programs/%s.bpf.o", name);
    bytes = jit_read_file("BUILD_DIR", path, ret_size);
    if (!bytes)
        fail_msg("%s is not there", path);
    return bytes;
}

static struct object *read_object(const char *name)
{
    struct object *object = NULL;
    struct jit_error error = { 0 };
    size_t size;
    uint8_t *bytes = read_program(name, &size);

    if (object_read(bytes, size, &object, &error) < 0)
        fail_msg("%s: %s", name, error.text);
    free(bytes);
    return object;
}

/* ---- what is read ---- */

/* A field of size 0 if there is none. */
static const struct types_field *field_of(const struct object *object, const char *name)
{
    static const struct types_field none;

    for (uint32_t i = 0; i < object->fields; i++)
        if (strcmp(object->field[i].name, name) == 0)
            return &object->field[i];
    return &none;
}

static void test_program(void **state)
{
    struct object *object = read_object("subprogram");
    uint32_t next = 0;

    assert_string_equal(object->context, "packet");
    assert_int_equal(object->functions, 4);
    assert_string_equal(object->function[0].name, "subprogram");
    assert_string_equal(object->function[1].name, "first");
    assert_string_equal(object->function[2].name, "second");
    assert_string_equal(object->function[3].name, "third");
    for (uint32_t i = 0; i < object->functions; i++) {
        assert_int_equal(object->function[i].first, next);
        next += object->function[i].count;
        assert_int_equal(object->instruction[next - 1].opcode, OPCODE_EXIT);
    }
    assert_int_equal(next, object->instructions);
    object_free(object);
    assert_null(object_free(NULL));
}

static void test_digest(void **state)
{
    struct object *object = read_object("verdict");
    char command[4200], expected[65], actual[65];
    FILE *sum;

    snprintf(command, sizeof(command), "sha256sum '%s/tests/programs/verdict.bpf.o'",
             getenv("BUILD_DIR") ? getenv("BUILD_DIR") : ".");
    sum = popen(command, "r");
    assert_non_null(sum);
    assert_int_equal(fscanf(sum, "%64s", expected), 1);
    pclose(sum);
    for (size_t i = 0; i < sizeof(object->digest); i++)
        snprintf(actual + 2 * i, 3, "%02x", object->digest[i]);
    assert_string_equal(actual, expected);
    object_free(object);
}

/* The only reference that the program has is to `alive`. */
static void test_dead_functions(void **state)
{
    struct object *object = read_object("dead");

    assert_int_equal(object->functions, 2);
    assert_string_equal(object->function[1].name, "alive");
    object_free(object);
}

static void test_fields(void **state)
{
    struct object *object = read_object("fields");

#define ASSERT_FIELD(member)  \
    assert_int_equal(field_of(object, #member)->offset, offsetof(struct packet, member));  \
    assert_int_equal(field_of(object, #member)->size, sizeof(((struct packet *)0)->member))
    ASSERT_FIELD(data);
    ASSERT_FIELD(data_end);
    ASSERT_FIELD(offset);
    ASSERT_FIELD(size);
    ASSERT_FIELD(tiny);
    ASSERT_FIELD(undeclared);
    assert_int_equal(object->fields, 9);
    object_free(object);
    object = read_object("no_fields");
    assert_int_equal(object->fields, 0);
    object_free(object);
}

static void test_nested_fields(void **state)
{
    static const struct types_field expected[] = {
        { "first", 0, 4 }, { "inner", 4, 8 }, { "inner.a", 4, 2 }, { "inner.b", 6, 2 },
        { "inner.word", 8, 4 }, { "inner.bytes", 8, 4 }, { "pointer", 16, 8 },
    };
    struct object *object = read_object("nested");

    assert_int_equal(object->fields, COUNT(expected));
    for (size_t i = 0; i < COUNT(expected); i++) {
        const struct types_field *field = field_of(object, expected[i].name);

        assert_int_equal(field->offset, expected[i].offset);
        assert_int_equal(field->size, expected[i].size);
    }
    object_free(object);
}

/* ---- what is refused ---- */

/* Nothing is returned besides the error. */
static void assert_refused(const char *name, const void *bytes, size_t size, const char *rule,
                           const char *text)
{
    struct object *object = NULL;
    struct jit_error error = { 0 };
    int r = object_read(bytes, size, &object, &error);

    if (r != -EINVAL || strcmp(error.rule, rule) != 0 || !strstr(error.text, text))
        fail_msg("%s: %d, rule \"%s\" (not \"%s\"), \"%s\" (not \"...%s...\")", name, r,
                 error.rule ? error.rule : "", rule, error.text, text);
    assert_null(object);
}

static void test_refused_programs(void **state)
{
    static const struct { const char *name, *rule, *text; } cases[] = {
        { "map", "relocation", "refers to \"counters\"" },
        { "kfunc", "relocation", "calls elsewhere, which is no function of this object" },
        { "global", "relocation", "refers to \"total\"" },
        { "constants", "relocation", "function look_up, instruction " },
        { "constants", "relocation", "refers to \".rodata\"" },
        { "two", "section", "two functions, one and another" },
        { "sections", "section", "\"table/packet\" and \"table/other\"" },
        { "kind", "section", "section \"xdp\" is of unknown kind" },
        { "nothing", "section", "no section \"table/CONTEXT\"" },
        { "other_struct", "context", "section \"table/packet\"" },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        size_t size;
        uint8_t *bytes = read_program(cases[i].name, &size);

        assert_refused(cases[i].name, bytes, size, cases[i].rule, cases[i].text);
        free(bytes);
    }
}

static void test_refused_files(void **state)
{
    size_t size;
    uint8_t *bytes = read_program("verdict", &size), *copy = malloc(size),
            *huge = calloc(1, OBJECT_SIZE_MAX + 1u);
    Elf64_Ehdr header;

#define CHANGED(field, value, rule, text)  \
    memcpy(copy, bytes, size);  \
    memcpy(&header, copy, sizeof(header));  \
    header.field = value;  \
    memcpy(copy, &header, sizeof(header));  \
    assert_refused(#field, copy, size, rule, text)
    assert_refused("empty", "", 0, "elf", "no ELF object");
    assert_refused("text", "int main(void) { return 0; }\n", 30, "elf", "no ELF object");
    assert_refused("archive", "!<arch>\n", 8, "elf", "no ELF object");
    assert_refused("huge", huge, OBJECT_SIZE_MAX + 1u, "limit", "4194305 bytes");
    CHANGED(e_machine, EM_X86_64, "machine", "for machine 62, not BPF");
    CHANGED(e_type, ET_EXEC, "elf", "no 64-bit little-endian object");
    CHANGED(e_shoff, size + 64, "elf", "cut off");
    CHANGED(e_shstrndx, 9999, "elf", "");
    free(huge);
    free(copy);
    free(bytes);
}

/*
 * A shortened object is refused, or the bytes that are missing are not needed; it is never misread.
 */
static void test_truncated(void **state)
{
    size_t size;
    uint8_t *bytes = read_program("subprogram", &size);

    for (size_t length = 0; length < size; length++) {
        uint8_t *copy = malloc(length ? length : 1);    /* exact, for sanitizers */
        struct object *object = NULL;
        struct jit_error error = { 0 };
        int r;

        memcpy(copy, bytes, length);
        r = object_read(copy, length, &object, &error);
        assert_true(r == 0 ? object != NULL : r == -EINVAL && error.text[0]);
        if (length < size - 64)         /* the section headers are at the end */
            assert_int_equal(r, -EINVAL);
        object_free(object);
        free(copy);
    }
    free(bytes);
}

/* Any single byte changed: no crash, no hang, an error with a text or an object. */
static void test_damaged(void **state)
{
    static const uint8_t patterns[] = { 0x00, 0x01, 0x7f, 0x80, 0xff };
    size_t size;
    uint8_t *bytes = read_program("subprogram", &size);

    for (size_t at = 0; at < size; at++)
        for (size_t p = 0; p < COUNT(patterns); p++) {
            uint8_t saved = bytes[at];
            struct object *object = NULL;
            struct jit_error error = { 0 };
            int r;

            bytes[at] = patterns[p];
            r = object_read(bytes, size, &object, &error);
            assert_true(r == 0 ? object != NULL : r == -EINVAL && error.rule && error.text[0]);
            object_free(object);
            bytes[at] = saved;
        }
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_program),
        cmocka_unit_test(test_digest),
        cmocka_unit_test(test_dead_functions),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_nested_fields),
        cmocka_unit_test(test_refused_programs),
        cmocka_unit_test(test_refused_files),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_damaged),
    };

    return cmocka_run_group_tests_name("object", tests, NULL, NULL);
}
