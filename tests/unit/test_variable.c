/* SPDX-License-Identifier: MIT */
/* Configuration: the values that variables get, and those that they do not. */
#include "objects.h"

/* The sealed data of the program, after one more value is set. */
static uint8_t *constants_after(struct object *object, const char *name, const char *value, size_t *ret_size)
{
    struct jit_error error = { 0 };
    struct bytecode *bytecode;
    uint8_t *contents;

    if (name && object_set(object, name, value, &error) < 0)
        fail_msg("%s=%s: %s", name, value, error.text);
    bytecode = objects_bytecode(object, NULL);
    assert_string_equal(bytecode->region[0].name, ".rodata");
    *ret_size = bytecode->region[0].size;
    contents = malloc(*ret_size);
    assert_non_null(contents);
    memcpy(contents, bytecode->region[0].contents, *ret_size);
    bytecode_free(bytecode);
    return contents;
}

/* Setting changes these bytes of the variable, which is at `offset` of the symbol, and no others. */
static void assert_set(const char *name, const char *value, const char *symbol, uint64_t offset, const void *expected,
                       size_t size)
{
    struct object *object = objects_read("configuration");
    size_t before_size, after_size, file_size;
    uint8_t *bytes = objects_bytes("configuration", &file_size);
    uint8_t *before = constants_after(object, NULL, NULL, &before_size);
    uint8_t *after = constants_after(object, name, value, &after_size);
    uint64_t at = objects_symbol(bytes, symbol)->st_value + offset;

    assert_int_equal(before_size, after_size);
    assert_true(at + size <= after_size);
    if (memcmp(after + at, expected, size) != 0)
        fail_msg("%s=%s has another value", name, value);
    memcpy(after + at, before + at, size);
    assert_memory_equal(after, before, after_size);
    free(bytes);
    free(before);
    free(after);
    object_free(object);
}

#define ASSERT_NUMBER(type, name, value, symbol, offset, number)  \
    assert_set(name, value, symbol, offset, &(type){ number }, sizeof(type))

static void test_integers(void **state)
{
    ASSERT_NUMBER(uint8_t, "u8", "255", "u8", 0, 255);
    ASSERT_NUMBER(uint8_t, "u8", "-0", "u8", 0, 0);
    ASSERT_NUMBER(int8_t, "s8", "-128", "s8", 0, -128);
    ASSERT_NUMBER(int8_t, "s8", "127", "s8", 0, 127);
    ASSERT_NUMBER(uint16_t, "u16", "0xfFfE", "u16", 0, 0xfffe);
    ASSERT_NUMBER(int16_t, "s16", "-0x8000", "s16", 0, -0x8000);
    ASSERT_NUMBER(uint32_t, "u32", "4294967295", "u32", 0, UINT32_MAX);
    ASSERT_NUMBER(int32_t, "s32", "-2147483648", "s32", 0, INT32_MIN);
    ASSERT_NUMBER(uint64_t, "u64", "18446744073709551615", "u64", 0, UINT64_MAX);
    ASSERT_NUMBER(uint64_t, "u64", "010", "u64", 0, 10);        /* decimal */
    ASSERT_NUMBER(int64_t, "s64", "-9223372036854775808", "s64", 0, INT64_MIN);
    ASSERT_NUMBER(int64_t, "s64", "9223372036854775807", "s64", 0, INT64_MAX);
    ASSERT_NUMBER(uint16_t, "main_port", "8443", "main_port", 0, 8443);
    ASSERT_NUMBER(uint32_t, "last", "1", "last", 0, 1);
}

static void test_other_types(void **state)
{
    ASSERT_NUMBER(uint8_t, "enabled", "true", "enabled", 0, 1);
    ASSERT_NUMBER(uint8_t, "enabled", "1", "enabled", 0, 1);
    ASSERT_NUMBER(uint32_t, "verdict", "PASS", "verdict", 0, 7);
    ASSERT_NUMBER(int32_t, "verdict", "NEGATIVE", "verdict", 0, -2);
    assert_set("name", "wlan0", "name", 0, "wlan0\0\0", 8);
    assert_set("name", "7 bytes", "name", 0, "7 bytes", 8);
    assert_set("name", "", "name", 0, "\0\0\0\0\0\0\0", 8);
}

static void test_parts(void **state)
{
    ASSERT_NUMBER(uint8_t, "bytes[0]", "9", "bytes", 0, 9);
    ASSERT_NUMBER(uint8_t, "bytes[3]", "9", "bytes", 3, 9);
    ASSERT_NUMBER(int8_t, "name[1]", "65", "name", 1, 65);
    ASSERT_NUMBER(uint32_t, "limits.burst", "77", "limits", 0, 77);
    ASSERT_NUMBER(int16_t, "limits.range.high", "-5", "limits", 6, -5);
    ASSERT_NUMBER(uint16_t, "limits.ports[2]", "99", "limits", 14, 99);
    ASSERT_NUMBER(uint8_t, "limits.deep", "7", "limits", 16, 7);
    ASSERT_NUMBER(uint32_t, "limits.wide", "70000", "limits", 20, 70000);
    ASSERT_NUMBER(int8_t, "limits.narrow", "-7", "limits", 20, -7);
    ASSERT_NUMBER(uint32_t, "configured.step", "77", "configured.step", 0, 77);
}

/* The values that the compiler has written stay until they are set; the last one set counts. */
static void test_repeated(void **state)
{
    struct object *object = objects_read("configuration");
    size_t size, file_size;
    uint8_t *bytes = objects_bytes("configuration", &file_size), *contents;
    uint64_t at = objects_symbol(bytes, "u16")->st_value;

    contents = constants_after(object, NULL, NULL, &size);
    assert_int_equal(contents[at], 2);
    free(contents);
    assert_int_equal(object_set(object, "u16", "3", NULL), 0);
    contents = constants_after(object, "u16", "4", &size);
    assert_int_equal(contents[at], 4);
    free(contents);
    assert_int_equal(object_set(object, "u16", "65536", NULL), -EINVAL);
    contents = constants_after(object, NULL, NULL, &size);
    assert_int_equal(contents[at], 4);
    free(contents);
    free(bytes);
    object_free(object);
}

static void test_refused(void **state)
{
    static const struct { const char *name, *value, *text; } cases[] = {
        { "nothing", "1", "the object has no variable \"nothing\"; its constants are: " },
        { "", "1", "the object has no variable \"\"" },
        { ".burst", "1", "the object has no variable \"\"" },
        { "configured", "1", "the object has no variable \"configured\"" },
        { "changing", "1", "\"changing\" is in section \".data\", which the program may change" },
        { "folded", "1", "\"folded\" is not volatile" },
        { "pointer", "1", "\"pointer\" is a pointer" },
        { "u8", "256", "\"u8\" is of type unsigned char: \"256\" is no number from 0 to 255" },
        { "u8", "-1", "\"-1\" is no number from 0 to 255" },
        { "s8", "128", "\"128\" is no number from -128 to 127" },
        { "s8", "-129", "\"-129\" is no number from -128 to 127" },
        { "u64", "18446744073709551616", "is no number from 0 to 18446744073709551615" },
        { "s64", "-9223372036854775809", "from -9223372036854775808 to 9223372036854775807" },
        { "u32", "", "\"\" is no number" },
        { "u32", "-", "\"-\" is no number" },
        { "u32", "0x", "\"0x\" is no number" },
        { "u32", "12a", "\"12a\" is no number" },
        { "u32", " 12", "\" 12\" is no number" },
        { "u32", "+12", "\"+12\" is no number" },
        { "enabled", "2", "\"enabled\" is a bool: \"2\" is neither true nor false" },
        { "verdict", "7", "\"verdict\" is an enum: \"7\" is none of its names: DROP, PASS, NEGATIVE" },
        { "name", "8 bytes.", "\"name\" is an array of 8 char: the string has 8" },
        { "bytes", "abc", "\"bytes\" is an array, and not of char" },
        { "bytes[4]", "1", "the array has elements 0 to 3" },
        { "bytes[-1]", "1", "an element is written [NUMBER]" },
        { "bytes[99999999999999999999]", "1", "the array has elements 0 to 3" },
        { "bytes[1", "1", "an element is written [NUMBER]" },
        { "bytes[1]x", "1", "behind ] there can be [NUMBER] or .MEMBER" },
        { "bytes[1][1]", "1", "what stands before [ is no array" },
        { "u32.low", "1", "what stands before .low is no struct" },
        { "limits", "1", "\"limits\" is a struct or union" },
        { "limits.none", "1", "limits has no member of that name; it has: burst, range, bits, ports, deep, wide, narrow" },
        { "limits.", "1", "limits has no member of that name" },
        { "limits..deep", "1", "limits has no member of that name" },
        { "configured.step.none", "1", "what stands before .none is no struct" },
        { "configured.none", "1", "the object has no variable \"configured\"" },
        { "limits.bits", "1", "\"limits.bits\" is a bit-field" },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct object *object = objects_read("configuration");
        struct jit_error error = { 0 };
        int r = object_set(object, cases[i].name, cases[i].value, &error);

        if (r != -EINVAL || strcmp(error.rule, "variable") != 0 || !strstr(error.text, cases[i].text))
            fail_msg("%s=%s: %d, \"%s\", \"%s\" (not \"...%s...\")", cases[i].name, cases[i].value, r,
                     error.rule ? error.rule : "", error.text, cases[i].text);
        object_free(object);
    }
}

/* A large enum needs a compiler whose BTF has them. */
static void test_large_enum(void **state)
{
    struct object *object;
    struct jit_error error = { 0 };
    size_t size;
    uint8_t *bytes = objects_bytes("configuration.clang19", &size), *contents;

    if (!bytes) {
        print_message("clang 19 is not installed\n");
        skip();
    }
    object = objects_read("configuration.clang19");
    if (object_set(object, "big", "HUGE_VALUE", &error) < 0)
        fail_msg("%s", error.text);
    contents = constants_after(object, NULL, NULL, &size);
    assert_memory_equal(contents + objects_symbol(bytes, "big")->st_value, &(uint64_t){ 0x123456789abcdef }, 8);
    free(contents);
    free(bytes);
    object_free(object);
}

static void test_no_types(void **state)
{
    struct object *object = NULL;
    struct jit_error error = { 0 };
    size_t size;
    uint8_t *bytes = objects_bytes("configuration", &size);

    assert_non_null(bytes);
    objects_section(bytes, ".BTF")->sh_type = SHT_NULL;
    assert_int_equal(object_read(bytes, size, &object, NULL), 0);
    assert_int_equal(object_set(object, "u8", "1", &error), -EINVAL);
    assert_string_equal(error.rule, "btf");
    free(bytes);
    object_free(object);
}

/* A type that is larger than its variable. */
static void test_wrong_size(void **state)
{
    struct object *object = NULL;
    struct jit_error error = { 0 };
    size_t size;
    uint8_t *bytes = objects_bytes("configuration", &size);

    assert_non_null(bytes);
    objects_symbol(bytes, "u32")->st_size = 3;
    assert_int_equal(object_read(bytes, size, &object, NULL), 0);
    assert_int_equal(object_set(object, "u32", "1", &error), -EINVAL);
    assert_string_equal(error.rule, "btf");
    object_free(object);
    objects_symbol(bytes, "u32")->st_size = 4;
    objects_symbol(bytes, "u32")->st_value = objects_section(bytes, ".rodata")->sh_size - 3;
    assert_int_equal(object_read(bytes, size, &object, NULL), 0);
    assert_int_equal(object_set(object, "u32", "1", &error), -EINVAL);
    assert_string_equal(error.rule, "btf");
    object_free(object);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_integers),
        cmocka_unit_test(test_other_types),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_repeated),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_large_enum),
        cmocka_unit_test(test_no_types),
        cmocka_unit_test(test_wrong_size),
    };

    return cmocka_run_group_tests_name("variable", tests, NULL, NULL);
}
