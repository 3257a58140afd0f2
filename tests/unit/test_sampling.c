/* SPDX-License-Identifier: MIT */
/* How long tables are sampled, and how often. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "sampling.h"

/* Turns until it is sampled again. */
static unsigned turns(struct sampling *sampling)
{
    unsigned turns = 1;

    while (!sampling_turn(sampling))
        turns++;
    return turns;
}

static void test_windows_grow_while_keys_are_few(void **state)
{
    struct sampling sampling = SAMPLING_FIRST;

    for (unsigned ms = SAMPLING_WINDOW_MIN; ms < SAMPLING_WINDOW_MAX; ms *= 2) {
        assert_int_equal(sampling.window_ms, ms);
        sampling_adapt(&sampling, SAMPLING_ENOUGH - 1);
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(sampling.window_ms, SAMPLING_WINDOW_MAX);
        sampling_adapt(&sampling, 1);
        assert_int_equal(turns(&sampling), 1);
    }
    sampling_adapt(&sampling, SAMPLING_ENOUGH);
    assert_int_equal(sampling.window_ms, SAMPLING_WINDOW_MIN);
}

/* Who calls it may be elsewhere for longer than a short window lasts. */
static void test_a_short_window_without_keys_says_nothing(void **state)
{
    struct sampling sampling = SAMPLING_FIRST;

    while (sampling.window_ms < SAMPLING_WINDOW_MAX) {
        sampling_adapt(&sampling, 0);
        assert_int_equal(turns(&sampling), 1);
    }
}

static void test_what_is_not_called_passes(void **state)
{
    struct sampling sampling = { .window_ms = SAMPLING_WINDOW_MAX };
    const unsigned passes[] = { 1, 3, 7, SAMPLING_IDLE_MAX, SAMPLING_IDLE_MAX };

    for (size_t i = 0; i < sizeof(passes) / sizeof(passes[0]); i++) {
        sampling_adapt(&sampling, 0);
        assert_int_equal(turns(&sampling), passes[i] + 1);
    }
    sampling_adapt(&sampling, 1);
    assert_int_equal(turns(&sampling), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_windows_grow_while_keys_are_few),
        cmocka_unit_test(test_a_short_window_without_keys_says_nothing),
        cmocka_unit_test(test_what_is_not_called_passes),
    };

    return cmocka_run_group_tests_name("sampling", tests, NULL, NULL);
}
