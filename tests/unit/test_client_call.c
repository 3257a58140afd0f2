/* SPDX-License-Identifier: MIT */
/* Calls as the macros define them, without a daemon: those without a function, and those that the library refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "dispatchd.h"

typedef int foreign;

static int unknown_plain(foreign number)
{
    return 2 * number;
}

DD_CALL(unknown, int(foreign), unknown_plain)
DD_CALL_NULL(nothing, void(int))
DD_CALL_NULL(number, int64_t(int, int, int, int, int, int, int, int, int, int, int, int))
DD_CALL_NULL(text, const char *(void))
DD_CALL_NULL(flag, bool(void *))
DD_CALL_NULL(callback, uint32_t(int (*function)(int)))

static struct dd_status status(void)
{
    struct dd_status status = { .size = sizeof(status) };

    assert_int_equal(dd_status(&status), 0);
    return status;
}

static void test_without_a_function(void **state)
{
    DD_INVOKE(nothing, 1);
    assert_int_equal(DD_INVOKE(number, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12), 0);
    assert_null(DD_INVOKE(text));
    assert_false(DD_INVOKE(flag, NULL));
    assert_int_equal(DD_INVOKE(callback, NULL), 0);
}

/* Whatever window the process uses. */
static void test_refused_calls_run_their_function(void **state)
{
    for (unsigned slot = 0; slot < DD_WINDOW_SLOTS; slot++)
        assert_ptr_equal(unknown_call.entry[slot], (dd_entry *)(void (*)(void))unknown_plain);
    assert_int_equal(DD_INVOKE(unknown, 4), 8);
}

static void test_refusals_are_told(void **state)
{
    struct dd_native native = { "wrong", "double(int)", (void (*)(void))unknown_plain, 0, 0, 0, NULL };
    struct dd_table call = { .name = "many", .prototype = "u8(u8,u8,u8,u8,u8,u8,u8,u8,u8,u8,u8,u8,u8)",
                             .entry = { unknown_call.entry[0] } };

    assert_string_equal(status().error, "call \"unknown\": its prototype has a type that is neither an integer nor a "
                                        "pointer, or a typedef that is to be spelled out");
    assert_int_equal(dd_table_register(&call), -EINVAL);
    assert_string_equal(status().error, "call \"many\": its prototype is too long, or has more than 12 arguments (and 1 before it)");
    assert_int_equal(dd_native_register(&native), -EINVAL);
    assert_non_null(strstr(status().error, "native \"wrong\": its prototype has a type"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_a_function),
        cmocka_unit_test(test_refused_calls_run_their_function),
        cmocka_unit_test(test_refusals_are_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
