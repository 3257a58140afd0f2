/* SPDX-License-Identifier: MIT */
/* Values of static calls: each type takes its own, and no other; arguments on the stack. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "table_prototype.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static struct table call_of(const char *prototype)
{
    struct table call = { .kind = TABLE_CALL };
    struct prototype read;

    assert_int_equal(prototype_read(prototype, &read), 0);
    strcpy(call.prototype, read.text);
    return call;
}

/* Taken at both ends, refused beyond them. */
static const struct {
    const char *prototype;
    int64_t least;
    uint64_t most;
    const char *text;           /* of the refusal of what is one above the most */
} rows[] = {
    { "int8_t(void)", INT8_MIN, INT8_MAX, "128 is no value of s8: those are -128 to 127" },
    { "int16_t(void)", INT16_MIN, INT16_MAX, "32768 is no value of s16: those are -32768 to 32767" },
    { "int(void)", INT32_MIN, INT32_MAX, "2147483648 is no value of s32: those are -2147483648 to 2147483647" },
    { "long(void)", INT64_MIN, INT64_MAX,
      "9223372036854775808 is no value of s64: those are -9223372036854775808 to 9223372036854775807" },
    { "bool(void)", 0, 1, "2 is no value of bool: those are 0 to 1" },
    { "uint8_t(void)", 0, UINT8_MAX, "256 is no value of u8: those are 0 to 255" },
    { "uint16_t(void)", 0, UINT16_MAX, "65536 is no value of u16: those are 0 to 65535" },
    { "unsigned(void)", 0, UINT32_MAX, "4294967296 is no value of u32: those are 0 to 4294967295" },
    { "size_t(void)", 0, UINT64_MAX, NULL },
    { "void(void)", 0, 0, "1 is no value of void: only 0 is" },
    { "const char *(void)", 0, 0, "1 is no value of const s8*: only 0 is" },
};

static void expect_refusal(const struct table *call, uint64_t number, bool negative, const char *text)
{
    struct refusal refusal = { 0 };

    assert_int_equal(call_value_check(call, number, negative, &refusal), -EINVAL);
    assert_string_equal(refusal.error, "InvalidParameter");
    if (text)
        assert_string_equal(json_object_get_string(json_object_object_get(refusal.parameters, "reason")), text);
    refusal_done(&refusal);
}

static void test_each_type_takes_its_values(void **state)
{
    struct refusal refusal = { 0 };

    for (size_t i = 0; i < LENGTH(rows); i++) {
        const struct table call = call_of(rows[i].prototype);

        assert_int_equal(call_value_check(&call, rows[i].most, false, &refusal), 0);
        assert_int_equal(call_value_check(&call, (uint64_t)rows[i].least, rows[i].least < 0, &refusal), 0);
        if (rows[i].most < UINT64_MAX)
            expect_refusal(&call, rows[i].most + 1, false, rows[i].text);
        if (rows[i].least > INT64_MIN)
            expect_refusal(&call, (uint64_t)rows[i].least - 1, true, NULL);
        if (rows[i].least == 0)
            expect_refusal(&call, (uint64_t)INT64_MIN, true, NULL);
    }
}

static void test_numbers_are_converted_as_c_does(void **state)
{
    static const uint64_t numbers[] = { 0, 1, 127, 128, 255, 256, 0x8000, 0xffff, 0x80000000, 0xffffffff,
                                        0x100000001, INT64_MAX, 0x8000000000000000, UINT64_MAX };
    const struct table s8 = call_of("char(void)"), s16 = call_of("short(void)"), s32 = call_of("int(void)"),
                       s64 = call_of("long(void)"), u8 = call_of("u8()"), u16 = call_of("u16()"),
                       u32 = call_of("u32()"), u64 = call_of("u64()"), flag = call_of("bool()"),
                       none = call_of("void()"), pointer = call_of("void*()");

    for (size_t i = 0; i < LENGTH(numbers); i++) {
        uint64_t number = numbers[i];

        assert_int_equal(call_value_convert(&s8, number), (uint64_t)(int64_t)(int8_t)number);
        assert_int_equal(call_value_convert(&s16, number), (uint64_t)(int64_t)(int16_t)number);
        assert_int_equal(call_value_convert(&s32, number), (uint64_t)(int64_t)(int32_t)number);
        assert_int_equal(call_value_convert(&s64, number), number);
        assert_int_equal(call_value_convert(&u8, number), (uint8_t)number);
        assert_int_equal(call_value_convert(&u16, number), (uint16_t)number);
        assert_int_equal(call_value_convert(&u32, number), (uint32_t)number);
        assert_int_equal(call_value_convert(&u64, number), number);
        assert_int_equal(call_value_convert(&flag, number), number & 1);
        assert_int_equal(call_value_convert(&none, number), 0);
        assert_int_equal(call_value_convert(&pointer, number), 0);
    }
}

static void test_values_are_shown_by_their_sign(void **state)
{
    struct table as_signed = call_of("long()"), as_unsigned = call_of("u64()");
    char text[CALL_VALUE_TEXT];

    as_signed.value = as_unsigned.value = UINT64_MAX;
    call_value_text(&as_signed, text);
    assert_string_equal(text, "-1");
    call_value_text(&as_unsigned, text);
    assert_string_equal(text, "18446744073709551615");
}

static void test_arguments_on_the_stack(void **state)
{
    const struct table table = { .kind = TABLE_KEYS };
    const struct table six = call_of("int(int,int,int,int,int,int)");
    const struct table seven = call_of("int(int,int,int,int,int,int,int)");

    assert_false(table_has_arguments_on_stack(&table));
    assert_false(table_has_arguments_on_stack(&six));
    assert_true(table_has_arguments_on_stack(&seven));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_type_takes_its_values),
        cmocka_unit_test(test_numbers_are_converted_as_c_does),
        cmocka_unit_test(test_values_are_shown_by_their_sign),
        cmocka_unit_test(test_arguments_on_the_stack),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
