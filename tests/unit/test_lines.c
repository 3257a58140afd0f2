/* SPDX-License-Identifier: MIT */
/* Source lines: those of the text that was compiled, for the instructions that came from them. */
#include "objects.h"

static const char *text_at(const struct bytecode *bytecode, uint32_t instruction)
{
    const struct bytecode_line *line = bytecode_line_at(bytecode, instruction);

    return line ? &bytecode->string[line->text] : "";
}

static bool ends_with(const char *text, const char *end)
{
    return strlen(text) >= strlen(end) && strcmp(text + strlen(text) - strlen(end), end) == 0;
}

/* The line of this number in the source, without the blanks in front. */
static void read_source(const char *name, uint32_t number, char ret[256])
{
    size_t size;
    char path[256], *bytes, *line;

    snprintf(path, sizeof(path), "tests/programs/%s.bpf.c", name);
    bytes = jit_read_file("SOURCE_DIR", path, &size);
    assert_non_null(bytes);
    line = bytes;
    for (uint32_t i = 1; i < number; i++) {
        line = memchr(line, '\n', size - (size_t)(line - bytes));
        assert_non_null(line++);
    }
    line += strspn(line, " ");
    snprintf(ret, 256, "%.*s", (int)strcspn(line, "\n"), line);
    free(bytes);
}

/* Each line is the source's and is there once, and each function begins at its own. */
static void test_lines(void **state)
{
    static const char *const names[] = { "first", "second", "third", "fourth", "fifth" };
    struct object *object = objects_read("several");

    for (size_t n = 0; n < COUNT(names); n++) {
        struct bytecode *bytecode = objects_bytecode(object, names[n]);

        assert_true(bytecode->lines > 0);
        for (uint32_t i = 0; i < bytecode->lines; i++) {
            char expected[256];

            read_source("several", bytecode->line[i].line, expected);
            assert_string_equal(&bytecode->string[bytecode->line[i].text], expected);
            assert_true(ends_with(&bytecode->string[bytecode->line[i].file], "several.bpf.c"));
            if (i > 0 && bytecode_function_at(bytecode, bytecode->line[i].instruction) ==
                             bytecode_function_at(bytecode, bytecode->line[i - 1].instruction))
                assert_int_not_equal(bytecode->line[i].line, bytecode->line[i - 1].line);
        }
        for (uint32_t i = 0; i < bytecode->functions; i++)
            assert_non_null(bytecode_line_at(bytecode, bytecode->function[i].first));
        bytecode_free(bytecode);
    }
    object_free(object);
}

/* Of functions in different sections: a call, and the return in what it calls. */
static void test_places(void **state)
{
    struct object *object = objects_read("several");
    struct bytecode *bytecode = objects_bytecode(object, "first");
    uint32_t call = 0;

    while (bytecode->instruction[call].opcode != OPCODE_CALL)
        call++;
    assert_string_equal(text_at(bytecode, call), "return only_first(key) + only_first(packet->size);");
    assert_string_equal(text_at(bytecode, bytecode->instructions - 1), "return key * 3 + limit;");
    bytecode_free(bytecode);
    object_free(object);
}

static void test_none(void **state)
{
    struct object *object = NULL;
    struct bytecode *bytecode;
    size_t size;
    uint8_t *bytes = objects_bytes("several", &size);

    assert_non_null(bytes);
    objects_section(bytes, ".BTF.ext")->sh_type = SHT_NULL;
    assert_int_equal(object_read(bytes, size, &object, NULL), 0);
    bytecode = objects_bytecode(object, "first");
    assert_int_equal(bytecode->lines, 0);
    assert_null(bytecode_line_at(bytecode, 0));
    bytecode_free(bytecode);
    object_free(object);
    free(bytes);
}

/* Numbers of the header and of the first table, all ones: the header says where the lines end. */
static void test_damaged(void **state)
{
    size_t size;
    uint8_t *bytes = objects_bytes("several", &size), *ext = bytes + objects_section(bytes, ".BTF.ext")->sh_offset;
    uint32_t header_size, lines_offset, saved;
    uint8_t *table;

    memcpy(&header_size, ext + 4, 4);
    memcpy(&lines_offset, ext + 16, 4);
    table = ext + header_size + lines_offset;
    {
        uint8_t *const places[] = { ext, ext + 4, ext + 16, ext + 20, table, table + 8 };

        for (size_t i = 0; i < COUNT(places); i++) {
            memcpy(&saved, places[i], 4);
            memset(places[i], 0xff, 4);
            objects_refused("number", bytes, size, "btf", "section is damaged");
            memcpy(places[i], &saved, 4);
        }
    }
    memset(table, 0, 4);                /* records of no size */
    objects_refused("size", bytes, size, "btf", "section is damaged");
    free(bytes);
}

/* Strings of the object are not trusted to be printable, nor short. */
static void test_strings(void **state)
{
    static const char line[] = "    return key * 3 + limit;";
    struct object *object = NULL;
    struct bytecode *bytecode;
    size_t size;
    uint8_t *bytes = objects_bytes("several", &size), *at;

    assert_non_null(bytes);
    at = memmem(bytes, size, line, sizeof(line));
    assert_non_null(at);
    memcpy(at, "\t\treturn\x1b\x80\tkey", 14);
    assert_int_equal(object_read(bytes, size, &object, NULL), 0);
    bytecode = objects_bytecode(object, "first");
    assert_string_equal(text_at(bytecode, bytecode->instructions - 1), "return?? key * 3 + limit;");
    bytecode_free(bytecode);
    object_free(object);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_none),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_strings),
    };

    return cmocka_run_group_tests_name("lines", tests, NULL, NULL);
}
