/* SPDX-License-Identifier: MIT */
/*
 * Prototypes: spellings of one function are equal, others are not,
 * and what is no integer or pointer is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "prototype.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static const struct {
    const char *text, *canonical;
    enum prototype_result result;
    unsigned arguments;
} rows[] = {
    { "void(void)", "void()", PROTOTYPE_VOID, 0 },
    { "void ( )", "void()", PROTOTYPE_VOID, 0 },
    { "int(int)", "s32(s32)", PROTOTYPE_INTEGER, 1 },
    { "uint32_t(const void *, size_t)", "u32(const void*,u64)", PROTOTYPE_INTEGER, 2 },
    { "unsigned(const void *data,unsigned long size)", "u32(const void*,u64)", PROTOTYPE_INTEGER, 2 },
    { "unsigned int (void const *restrict data, long unsigned int size)", "u32(const void*,u64)", PROTOTYPE_INTEGER,
      2 },
    { "uint32_t(struct request *, uint32_t key)", "u32(request*,u32)", PROTOTYPE_INTEGER, 2 },
    { "u32(request*,u32)", "u32(request*,u32)", PROTOTYPE_INTEGER, 2 },
    { "char(signed char, unsigned char, short, unsigned short)", "s8(s8,u8,s16,u16)", PROTOTYPE_INTEGER, 4 },
    { "long long(unsigned long long, long, int64_t, uintptr_t)", "s64(u64,s64,s64,u64)", PROTOTYPE_INTEGER, 4 },
    { "bool(_Bool flag, enum colour colour)", "bool(bool,u32)", PROTOTYPE_BOOL, 2 },
    { "char *(char **, const char *const *)", "s8*(s8**,const s8**)", PROTOTYPE_POINTER, 2 },
    { "double *(long double *, float *f)", NULL, 0, 0 },
    { "double *(double *, float *f)", "double*(double*,float*)", PROTOTYPE_POINTER, 2 },
    { "int(int,int,int,int,int,int)", "s32(s32,s32,s32,s32,s32,s32)", PROTOTYPE_INTEGER, 6 },
    { "int(int,int,int,int,int,int,int)", "s32(s32,s32,s32,s32,s32,s32,s32)", PROTOTYPE_INTEGER, 7 },
    { "void(u8,u8,u8,u8,u8,u8,u8,u8,u8,u8,u8,u8)", "void(u8,u8,u8,u8,u8,u8,u8,u8,u8,u8,u8,u8)", PROTOTYPE_VOID, 12 },
    { "void(u8,u8,u8,u8,u8,u8,u8,u8,u8,u8,u8,u8,u8)", NULL, 0, 0 },
    { "struct pair(int)", NULL, 0, 0 },
    { "int(struct pair)", NULL, 0, 0 },
    { "int(union pair value)", NULL, 0, 0 },
    { "int(number)", NULL, 0, 0 },
    { "int(double)", NULL, 0, 0 },
    { "int(long double)", NULL, 0, 0 },
    { "int(long double value)", NULL, 0, 0 },
    { "int(unsigned __int128)", NULL, 0, 0 },
    { "int(int (*)(int))", "s32(s32(*)(s32))", PROTOTYPE_INTEGER, 1 },
    { "void(void *base, size_t, size_t, int (*const compare)(const void *, const void *b))",
      "void(void*,u64,u64,s32(*)(const void*,const void*))", PROTOTYPE_VOID, 4 },
    { "void(void (*)(void), const char *(*)())", "void(void(*)(),const s8*(*)())", PROTOTYPE_VOID, 2 },
    { "int(int (*)(int,int,int,int,int,int), int, int)", "s32(s32(*)(s32,s32,s32,s32,s32,s32),s32,s32)",
      PROTOTYPE_INTEGER, 3 },
    { "void(int(*)(int(*)(int(*)(int(*)()))))", "void(s32(*)(s32(*)(s32(*)(s32(*)()))))", PROTOTYPE_VOID, 1 },
    { "void(int(*)(int(*)(int(*)(int(*)(int(*)())))))", NULL, 0, 0 },
    { "int(int (*)(double))", NULL, 0, 0 },
    { "int(int (*)(int)", NULL, 0, 0 },
    { "int(int (*)", NULL, 0, 0 },
    { "int(int (int))", NULL, 0, 0 },
    { "int (*)(int)", NULL, 0, 0 },
    { "int (*(int))(int)", NULL, 0, 0 },
    { "int(int, ...)", NULL, 0, 0 },
    { "int(int name[4])", NULL, 0, 0 },
    { "int(void, int)", NULL, 0, 0 },
    { "int(int, void)", NULL, 0, 0 },
    { "int(int,)", NULL, 0, 0 },
    { "int(,int)", NULL, 0, 0 },
    { "int(int", NULL, 0, 0 },
    { "int(int) x", NULL, 0, 0 },
    { "int name(int)", NULL, 0, 0 },
    { "int", NULL, 0, 0 },
    { "(int)", NULL, 0, 0 },
    { "", NULL, 0, 0 },
};

static void test_rows(void **state)
{
    for (size_t i = 0; i < LENGTH(rows); i++) {
        struct prototype prototype = { .text = "untouched" }, again;
        int r = prototype_read(rows[i].text, &prototype);

        if ((r == 0) != (rows[i].canonical != NULL))
            fail_msg("\"%s\": %d", rows[i].text, r);
        assert_string_equal(prototype.text, rows[i].canonical ? rows[i].canonical : "untouched");
        if (r < 0)
            continue;
        assert_int_equal(prototype.result, rows[i].result);
        assert_int_equal(prototype.arguments, rows[i].arguments);
        assert_int_equal(prototype_read(prototype.text, &again), 0);
        assert_string_equal(again.text, prototype.text);
    }
}

static void test_long_ones(void **state)
{
    char text[2 * PROTOTYPE_BYTES];
    struct prototype prototype;

    for (int length = 1; length < PROTOTYPE_BYTES + 8; length++) {
        snprintf(text, sizeof(text), "u8(%0*d*)", length, 0);
        memset(text + 3, 'a', (size_t)length);
        assert_int_equal(prototype_read(text, &prototype), strlen(text) < PROTOTYPE_BYTES ? 0 : -E2BIG);
    }
}

/* Every beginning of every row, and every row without one of its bytes: no crash, and nothing but these results. */
static void test_broken_ones(void **state)
{
    struct prototype prototype;
    char text[PROTOTYPE_BYTES];

    for (size_t i = 0; i < LENGTH(rows); i++)
        for (size_t at = 0; at < strlen(rows[i].text); at++) {
            int r;

            snprintf(text, sizeof(text), "%.*s", (int)at, rows[i].text);
            r = prototype_read(text, &prototype);
            assert_true(r == 0 || r == -EINVAL || r == -E2BIG);
            snprintf(text, sizeof(text), "%.*s%s", (int)at, rows[i].text, rows[i].text + at + 1);
            r = prototype_read(text, &prototype);
            assert_true(r == 0 || r == -EINVAL || r == -E2BIG);
        }
}

static void test_tables_and_digests(void **state)
{
    struct prototype table, native;

    prototype_of_table("request", &table);
    assert_int_equal(prototype_read("uint32_t(struct request *request, uint32_t key)", &native), 0);
    assert_string_equal(table.text, native.text);
    assert_int_not_equal(prototype_native_digest("f", native.text, false),
                         prototype_native_digest("f", native.text, true));
    assert_int_not_equal(prototype_native_digest("f", native.text, false),
                         prototype_native_digest("g", native.text, false));
    assert_int_not_equal(prototype_native_digest("f", "u32()", false), prototype_native_digest("fu", "32()", false));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_long_ones),
        cmocka_unit_test(test_broken_ones),
        cmocka_unit_test(test_tables_and_digests),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
