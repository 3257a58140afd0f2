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

/* ---- the sample ---- */

/* A thread has made so many calls, all with this key. */
static void thread_calls(struct sample *sample, uint32_t key, uint64_t calls)
{
    static struct sample_ring ring;

    ring.position = calls + 7;
    for (size_t i = 0; i < SAMPLE_KEYS; i++)
        ring.key[i] = key;
    sample_add(sample, &ring, calls);
}

static float share_of(const struct sample *sample, uint32_t key)
{
    size_t keys = 0;

    for (size_t i = 0; i < sample->keys; i++)
        keys += sample->key[i] == key;
    return (float)keys / (float)sample->keys;
}

static void test_few_keys_are_all_there(void **state)
{
    static struct sample sample;
    struct sample_ring ring = { .position = SAMPLE_KEYS + 2 };

    ring.key[0] = 3;
    ring.key[1] = 4;
    ring.key[SAMPLE_KEYS - 1] = 2;
    sample_begin(&sample);
    sample_add(&sample, &ring, 3);
    assert_int_equal(sample.keys, 3);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(sample.key[i], 4 - i);
    thread_calls(&sample, 9, 100);
    assert_int_equal(sample.keys, 103);
}

/* Also those that made few calls, and in whatever order the threads stand. */
static void test_threads_have_the_share_of_their_calls(void **state)
{
    static struct sample sample;

    for (int order = 0; order < 2; order++) {
        sample_begin(&sample);
        thread_calls(&sample, (uint32_t)order, order ? 100000 : 1000000);
        thread_calls(&sample, (uint32_t)!order, order ? 1000000 : 100000);
        assert_true(sample.keys >= SAMPLE_KEYS / 2);
        assert_float_equal(share_of(&sample, 1), 1.0f / 11, 0.02f);
    }
    sample_begin(&sample);
    for (int i = 0; i < 500; i++)
        thread_calls(&sample, 1, 1000);
    thread_calls(&sample, 2, 500000);
    assert_float_equal(share_of(&sample, 1), 0.5f, 0.04f);
}

static void test_no_thread_is_left_out_for_want_of_room(void **state)
{
    static struct sample sample;

    sample_begin(&sample);
    for (uint32_t thread = 0; thread < 256; thread++)
        thread_calls(&sample, thread / 64, SAMPLE_KEYS);
    assert_in_range(sample.keys, SAMPLE_MAX / 4, SAMPLE_MAX);
    for (uint32_t key = 0; key < 4; key++)
        assert_float_equal(share_of(&sample, key), 0.25f, 0.05f);
}

static void test_any_position_is_borne(void **state)
{
    static struct sample sample;

    sample_begin(&sample);
    for (uint64_t calls = UINT64_MAX; calls > 0; calls = calls / 3)
        thread_calls(&sample, 1, calls);
    assert_in_range(sample.keys, 1, SAMPLE_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_windows_grow_while_keys_are_few),
        cmocka_unit_test(test_a_short_window_without_keys_says_nothing),
        cmocka_unit_test(test_what_is_not_called_passes),
        cmocka_unit_test(test_few_keys_are_all_there),
        cmocka_unit_test(test_threads_have_the_share_of_their_calls),
        cmocka_unit_test(test_no_thread_is_left_out_for_want_of_room),
        cmocka_unit_test(test_any_position_is_borne),
    };

    return cmocka_run_group_tests_name("sampling", tests, NULL, NULL);
}
