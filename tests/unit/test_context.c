/* SPDX-License-Identifier: MIT */
/* Contexts: what is refused, what is found, what is equal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "context.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct context_field good[] = {
    { "status", 20, 4, CONTEXT_WRITE },
    { "data_end", 8, 8, CONTEXT_DATA_END },
    { "method", 16, 2, CONTEXT_READ },
    { "data", 0, 8, CONTEXT_DATA },
};

static struct context *make(const struct context_field *fields, uint32_t count)
{
    struct context *context = NULL;
    struct jit_error error = { 0 };

    if (context_new("request", 24, fields, count, &context, &error) < 0)
        fail_msg("%s", error.text);
    return context;
}

static void test_new(void **state)
{
    struct context *context = make(good, COUNT(good));

    assert_string_equal(context->name, "request");
    assert_int_equal(context->fields, 4);
    for (uint32_t i = 1; i < context->fields; i++)
        assert_true(context->field[i - 1].offset < context->field[i].offset);
    assert_string_equal(context->field[context->data].name, "data");
    assert_string_equal(context->field[context->data_end].name, "data_end");
    context_free(context);
    context = make(good, 1);
    assert_int_equal(context->data, -1);
    assert_int_equal(context->data_end, -1);
    context_free(context);
    context_free(make(NULL, 0));
    assert_null(context_free(NULL));
}

static void test_find(void **state)
{
    struct context *context = make(good, COUNT(good));

    assert_string_equal(context_find(context, 20, 4)->name, "status");
    assert_string_equal(context_find(context, 21, 1)->name, "status");
    assert_string_equal(context_find(context, 16, 2)->name, "method");
    assert_null(context_find(context, 16, 4));          /* method and the hole behind it */
    assert_null(context_find(context, 18, 2));          /* the hole */
    assert_null(context_find(context, 22, 4));          /* over the end */
    assert_null(context_find(context, 24, 1));
    assert_null(context_find(context, UINT32_MAX, 8));
    context_free(context);
}

static void test_refusals(void **state)
{
    static const struct {
        const char *name;
        uint32_t size;
        struct context_field field[2];
        const char *text;
    } cases[] = {
        { "", 8, { { "a", 0, 4, CONTEXT_READ } }, "the context's name" },
        { "struct request", 8, { { "a", 0, 4, CONTEXT_READ } }, "the context's name" },
        { "c", 0, { { "a", 0, 4, CONTEXT_READ } }, "0 bytes" },
        { "c", CONTEXT_SIZE_MAX + 1, { { "a", 0, 4, CONTEXT_READ } }, "4097 bytes" },
        { "c", 8, { { "", 0, 4, CONTEXT_READ } }, "name of the field at offset 0" },
        { "c", 8, { { "a b", 4, 4, CONTEXT_READ } }, "name of the field at offset 4" },
        { "c", 8, { { "a", 0, 3, CONTEXT_READ } }, "\"a\" has 3 bytes" },
        { "c", 8, { { "a", 0, 0, CONTEXT_READ } }, "\"a\" has 0 bytes" },
        { "c", 8, { { "a", 2, 4, CONTEXT_READ } }, "not a multiple" },
        { "c", 8, { { "a", 8, 4, CONTEXT_READ } }, "outside" },
        { "c", 6, { { "a", 4, 4, CONTEXT_READ } }, "outside" },
        { "c", 8, { { "a", UINT32_MAX - 7, 8, CONTEXT_READ } }, "outside" },
        { "c", 8, { { "a", 0, 4, (enum context_rights)0 } }, "unknown rights 0" },
        { "c", 8, { { "a", 0, 4, (enum context_rights)5 } }, "unknown rights 5" },
        { "c", 8, { { "a", 0, 8, CONTEXT_READ }, { "b", 4, 4, CONTEXT_READ } },
          "\"a\" and \"b\" overlap" },
        { "c", 8, { { "a", 0, 4, CONTEXT_READ }, { "a", 4, 4, CONTEXT_READ } },
          "two fields are named \"a\"" },
        { "c", 16, { { "d", 0, 8, CONTEXT_DATA }, { "e", 8, 8, CONTEXT_DATA } },
          "\"d\" and \"e\" both" },
        { "c", 16, { { "d", 0, 8, CONTEXT_DATA } },
          "\"d\" delimits a packet whose other end is missing" },
        { "c", 16, { { "e", 0, 8, CONTEXT_DATA_END } },
          "\"e\" delimits a packet whose other end is missing" },
        { "c", 16, { { "d", 0, 4, CONTEXT_DATA }, { "e", 8, 8, CONTEXT_DATA_END } },
          "pointer of 8 bytes" },
    };
    struct context_field many[CONTEXT_FIELDS_MAX + 1] = { 0 };
    struct context *context = NULL;
    struct jit_error error;

    for (size_t i = 0; i < COUNT(cases); i++) {
        error = (struct jit_error){ 0 };
        assert_int_equal(context_new(cases[i].name, cases[i].size, cases[i].field,
                                     cases[i].field[1].size ? 2 : 1, &context, &error),
                         -EINVAL);
        assert_string_equal(error.rule, "context");
        if (!strstr(error.text, cases[i].text))
            fail_msg("\"%s\" does not say \"%s\"", error.text, cases[i].text);
        assert_null(context);
    }
    assert_int_equal(context_new("c", 8, many, COUNT(many), &context, &error), -EINVAL);
    memset(many[0].name, 'a', sizeof(many[0].name));            /* no NUL */
    many[0].size = 4;
    many[0].rights = CONTEXT_READ;
    assert_int_equal(context_new("c", 8, many, 1, &context, &error), -EINVAL);
}

static void test_equal(void **state)
{
    struct context_field changed[COUNT(good)];
    struct context *a = make(good, COUNT(good)), *b = make(good, COUNT(good));
    struct jit_error error = { 0 };

    assert_true(context_equal(a, b, &error));
    context_free(b);
    b = make(good, 2 - 1);
    assert_false(context_equal(a, b, &error));
    context_free(b);
    memcpy(changed, good, sizeof(changed));
    changed[2].rights = CONTEXT_WRITE;
    b = make(changed, COUNT(changed));
    assert_false(context_equal(a, b, &error));
    assert_string_equal(error.rule, "context");
    assert_non_null(strstr(
        error.text,
        "\"method\" (offset 16, 2 bytes, read) here and \"method\" (offset 16, 2 bytes, write)"));
    context_free(b);
    context_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_new),
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_equal),
    };

    return cmocka_run_group_tests_name("context", tests, NULL, NULL);
}
