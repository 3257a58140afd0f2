/* SPDX-License-Identifier: MIT */
/* Typed values to JSON and back: what is shown is all that is there, and what is read is what was meant. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "element.h"
#include "util.h"

/* ---- a type with everything in it ------------------------------------------------------------------------ */

enum { WHOLE, S8, U16, U64, BOOLEAN, ENUMERATION, TEXT, ARRAY, ARRAY_ELEMENT, INNER, INNER_S32, UNION, UNION_U32,
       UNION_BYTES, BITS, BYTES };

static char strings[] = "\0tiny\0port\0large\0flag\0colour\0name\0list\0at\0x\0any\0number\0raw\0low\0rest\0RED\0BLUE";

static uint32_t name(const char *text)
{
    for (uint32_t i = 1; i < sizeof(strings); i += (uint32_t)strlen(strings + i) + 1)
        if (!strcmp(strings + i, text))
            return i;
    fail_msg("there is no %s", text);
    return 0;
}

static struct typed_type types[] = {
    [WHOLE] = { TYPED_STRUCT, 48, 0, 11, 0 },
    [S8] = { TYPED_SIGNED, 1, 0, 0, 0 },
    [U16] = { TYPED_UNSIGNED, 2, 0, 0, 0 },
    [U64] = { TYPED_UNSIGNED, 8, 0, 0, 0 },
    [BOOLEAN] = { TYPED_BOOL, 1, 0, 0, 0 },
    [ENUMERATION] = { TYPED_ENUM, 4, 0, 2, 1 },
    [TEXT] = { TYPED_TEXT, 8, 0, 0, 0 },
    [ARRAY] = { TYPED_ARRAY, 3, ARRAY_ELEMENT, 3, 0 },
    [ARRAY_ELEMENT] = { TYPED_SIGNED, 1, 0, 0, 0 },
    [INNER] = { TYPED_STRUCT, 4, 11, 1, 0 },
    [INNER_S32] = { TYPED_SIGNED, 4, 0, 0, 0 },
    [UNION] = { TYPED_UNION, 4, 12, 2, 0 },
    [UNION_U32] = { TYPED_UNSIGNED, 4, 0, 0, 0 },
    [UNION_BYTES] = { TYPED_BYTES, 2, 0, 0, 0 },
    [BITS] = { TYPED_SIGNED, 4, 0, 0, 0 },
    [BYTES] = { TYPED_BYTES, 2, 0, 0, 0 },
};

static struct typed_member members[14];
static struct typed_enumerator enumerators[2];
static const struct typed everything = {
    ARRAY_LENGTH(types), ARRAY_LENGTH(members), ARRAY_LENGTH(enumerators), sizeof(strings), types, members, enumerators,
    strings,
};

static void set_member(unsigned i, const char *text, uint32_t byte, uint32_t bits, uint32_t type)
{
    members[i] = (struct typed_member){ name(text), byte * 8, bits, type };
}

static int make_types(void **state)
{
    (void)state;
    set_member(0, "tiny", 0, 8, S8);
    set_member(1, "port", 2, 16, U16);
    set_member(2, "large", 8, 64, U64);
    set_member(3, "flag", 16, 8, BOOLEAN);
    set_member(4, "colour", 20, 32, ENUMERATION);
    set_member(5, "name", 24, 64, TEXT);
    set_member(6, "list", 32, 24, ARRAY);
    set_member(7, "at", 36, 32, INNER);
    set_member(8, "any", 40, 32, UNION);
    set_member(9, "low", 44, 5, BITS);
    set_member(10, "rest", 46, 16, BYTES);
    set_member(11, "x", 0, 32, INNER_S32);
    set_member(12, "number", 0, 32, UNION_U32);
    set_member(13, "raw", 0, 16, UNION_BYTES);
    enumerators[0] = (struct typed_enumerator){ name("RED"), (uint64_t)-1 };
    enumerators[1] = (struct typed_enumerator){ name("BLUE"), 5 };
    return 0;
}

/* ---- help ------------------------------------------------------------------------------------------------- */

static void assert_json(struct json_object *json, const char *wanted)
{
    assert_string_equal(json_object_to_json_string_ext(json, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE),
                        wanted);
    json_object_put(json);
}

/* 0 and the bytes, or the error with `reason` and `path` in its parameters. */
static int read_text(const struct typed *typed, const char *text, bool complete, uint8_t *ret, struct refusal *refusal)
{
    struct json_object *json = json_tokener_parse(text);
    int r;

    assert_non_null(json);
    r = element_read(typed, json, complete, "value", ret, refusal);
    json_object_put(json);
    return r;
}

static void assert_refused(const struct typed *typed, const char *text, bool complete, const char *path,
                           const char *reason)
{
    struct refusal refusal = { 0 };
    uint8_t bytes[48];

    assert_int_equal(read_text(typed, text, complete, bytes, &refusal), -EINVAL);
    assert_string_equal(refusal.error, "InvalidParameter");
    assert_string_equal(json_object_get_string(json_object_object_get(refusal.parameters, "parameter")), path);
    if (!strstr(json_object_get_string(json_object_object_get(refusal.parameters, "reason")), reason))
        fail_msg("%s: %s", text, json_object_get_string(refusal.parameters));
    refusal_done(&refusal);
}

/* ---- tests ------------------------------------------------------------------------------------------------ */

#define ALL "{\"tiny\":-128,\"port\":65535,\"large\":18446744073709551615,\"flag\":true,\"colour\":\"RED\"," \
            "\"name\":\"a\\\\\\\\\\\\x01\\\\xff\xc3\xa9\",\"list\":[-1,0,127],\"at\":{\"x\":-2147483648}," \
            "\"any\":{\"number\":513},\"low\":-16,\"rest\":\"00ff\"}"

static void test_everything_is_shown_as_it_is_read(void **state)
{
    static const uint8_t wanted[48] = {
        [0] = 0x80, [2] = 0xff, 0xff, [8] = 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, [16] = 1,
        [20] = 0xff, 0xff, 0xff, 0xff, [24] = 'a', '\\', 1, 0xff, 0xc3, 0xa9, [32] = 0xff, 0, 127, [39] = 0x80,
        [40] = 1, 2, [44] = 0x10, [46] = 0, 0xff,
    };
    struct json_object *shown, *any;
    struct refusal refusal = { 0 };
    uint8_t bytes[48];

    (void)state;
    memset(bytes, 0x55, sizeof(bytes));
    assert_int_equal(read_text(&everything, ALL, true, bytes, &refusal), 0);
    assert_memory_equal(bytes, wanted, sizeof(bytes));
    shown = element_show(&everything, bytes);
    any = json_object_object_get(shown, "any");
    assert_json(json_object_get(any), "{\"number\":513,\"raw\":\"0102\"}");
    json_object_object_del(any, "raw");         /* a union shows each of its members, and takes one */
    assert_json(shown, ALL);
}

static void test_numbers_are_taken_as_text(void **state)
{
    struct refusal refusal = { 0 };
    uint8_t bytes[48];

    (void)state;
    assert_int_equal(read_text(&everything, "{\"tiny\":\"-0x80\",\"large\":\"0xffffffffffffffff\",\"port\":\"65535\","
                               "\"flag\":\"true\",\"colour\":\"5\",\"list\":\"1,-2\"}", false, bytes, &refusal), 0);
    assert_int_equal((int8_t)bytes[0], -128);
    assert_int_equal(bytes[15], 0xff);
    assert_int_equal(bytes[20], 5);
    assert_int_equal(bytes[33], 0xfe);
    assert_int_equal(bytes[34], 0);
}

static void test_what_does_not_fit_is_refused_by_its_path(void **state)
{
    static const struct {
        const char *text, *path, *reason;
    } wrong[] = {
        { "{\"tiny\":128}", "value.tiny", "-128 to 127" },
        { "{\"tiny\":\"\"}", "value.tiny", "whole number" },
        { "{\"tiny\":\"-\"}", "value.tiny", "whole number" },
        { "{\"tiny\":\"1 \"}", "value.tiny", "whole number" },
        { "{\"tiny\":\" 1\"}", "value.tiny", "whole number" },
        { "{\"tiny\":\"0x\"}", "value.tiny", "whole number" },
        { "{\"tiny\":[]}", "value.tiny", "whole number" },
        { "{\"large\":\"-1\"}", "value.large", "0 to 18446744073709551615" },
        { "{\"large\":\"18446744073709551616\"}", "value.large", "whole number" },
        { "{\"low\":16}", "value.low", "-16 to 15" },
        { "{\"flag\":2}", "value.flag", "true nor false" },
        { "{\"colour\":\"GREEN\"}", "value.colour", "RED, BLUE" },
        { "{\"name\":\"123456789\"}", "value.name", "8 bytes" },
        { "{\"name\":\"\\\\x0\"}", "value.name", "backslash" },
        { "{\"list\":[1,2,3,4]}", "value.list", "list of 3, not of 4" },
        { "{\"list\":[1,200]}", "value.list[1]", "127" },
        { "{\"list\":7}", "value.list", "list of 3" },
        { "{\"at\":{\"x\":null}}", "value.at.x", "null" },
        { "{\"at\":{\"y\":1}}", "value.at", "no member 'y'; it has: x" },
        { "{\"any\":{\"number\":1,\"raw\":\"0102\"}}", "value.any", "one of number, raw" },
        { "{\"rest\":\"0\"}", "value.rest", "2 bytes are 4" },
        { "{\"rest\":\"zz00\"}", "value.rest", "hexadecimal" },
        { "{\"rest\":5}", "value.rest", "4 hexadecimal digits" },
        { "{}", "value", "'tiny'" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(wrong); i++)
        assert_refused(&everything, wrong[i].text, i + 1 == ARRAY_LENGTH(wrong), wrong[i].path, wrong[i].reason);
    assert_refused(&everything, "{\"at\":{}}", true, "value", "'tiny'");
}

static void test_what_is_no_struct_has_one_value(void **state)
{
    struct typed *number = typed_integer(4, true);
    struct refusal refusal = { 0 };
    uint8_t bytes[4];

    (void)state;
    assert_int_equal(read_text(number, "{\"value\":-2}", true, bytes, &refusal), 0);
    assert_json(element_show(number, bytes), "{\"value\":-2}");
    assert_refused(number, "{}", true, "value", "one s32");
    assert_refused(number, "{\"value\":1,\"more\":2}", true, "value", "one s32");
    assert_refused(number, "{\"number\":1}", true, "value", "one s32");
    typed_free(number);
}

/* Whatever is in memory, shown text is UTF-8 without control characters, and reading it gives the same bytes. */
static void test_any_bytes_are_text(void **state)
{
    struct typed *typed = NULL;
    struct refusal refusal = { 0 };
    uint8_t bytes[8], again[8];
    uint64_t random = 88172645463325252u;

    (void)state;
    assert_int_equal(element_read_type("char[8]", "key", &typed, &refusal), 0);
    for (int i = 0; i < 100000; i++) {
        struct json_object *shown;

        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        memcpy(bytes, &random, sizeof(bytes));
        if (i % 3 == 0)
            bytes[i % 8] = 0;
        shown = element_show(typed, bytes);
        for (const char *at = json_object_get_string(json_object_object_get(shown, "value")); *at; at++)
            assert_true((unsigned char)*at >= ' ' && *at != 0x7f);
        assert_int_equal(element_read(typed, shown, true, "key", again, &refusal), 0);
        assert_memory_equal(bytes, again, sizeof(bytes));
        json_object_put(shown);
    }
    typed_free(typed);
}

static void test_sums_are_of_integers_alone_and_wrap(void **state)
{
    struct refusal refusal = { 0 };
    uint8_t one[48], sum[48] = { 0 };

    (void)state;
    assert_int_equal(read_text(&everything, ALL, true, one, &refusal), 0);
    element_add(&everything, sum, one);
    element_add(&everything, sum, one);
    assert_json(element_show_sum(&everything, sum),
                "{\"tiny\":0,\"port\":65534,\"large\":18446744073709551614,\"list\":[-2,0,-2],\"at\":{\"x\":0},\"low\":0}");
}

static void test_what_has_no_numbers_has_no_sum(void **state)
{
    struct typed *bytes = typed_bytes(4);
    uint8_t sum[4] = { 0 };

    (void)state;
    assert_null(element_show_sum(bytes, sum));
    typed_free(bytes);
}

static void test_hexadecimal(void **state)
{
    static const uint8_t bytes[] = { 0x00, 0x9a, 0xff };
    struct refusal refusal = { 0 };
    uint8_t ret[3];

    (void)state;
    assert_json(element_show_hex(bytes, 3), "\"009aff\"");
    assert_int_equal(element_read_hex("009aFF", 3, "key_hex", ret, &refusal), 0);
    assert_memory_equal(bytes, ret, 3);
    for (size_t i = 0; i < 3; i++) {
        static const char *const wrong[] = { "009af", "009aff00", "00 aff" };

        assert_int_equal(element_read_hex(wrong[i], 3, "key_hex", ret, &refusal), -EINVAL);
        refusal_done(&refusal);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_is_shown_as_it_is_read),
        cmocka_unit_test(test_numbers_are_taken_as_text),
        cmocka_unit_test(test_what_does_not_fit_is_refused_by_its_path),
        cmocka_unit_test(test_what_is_no_struct_has_one_value),
        cmocka_unit_test(test_any_bytes_are_text),
        cmocka_unit_test(test_sums_are_of_integers_alone_and_wrap),
        cmocka_unit_test(test_what_has_no_numbers_has_no_sum),
        cmocka_unit_test(test_hexadecimal),
    };

    return cmocka_run_group_tests_name("element", tests, make_types, NULL);
}
