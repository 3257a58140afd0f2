/* SPDX-License-Identifier: MIT */
/* Sums of counters: what was seen before is not counted again, whatever a worker writes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <json-c/json.h>
#include <string.h>

#include "counts.h"

static struct counter_block block(uint64_t runs, uint32_t first_verdict, unsigned verdicts)
{
    struct counter_block block = { .runs = runs, .cycles = 10 * runs, .bucket = { [3] = runs } };

    for (unsigned i = 0; i < verdicts; i++) {
        block.verdict[i].verdict = COUNTER_VERDICT(first_verdict + i);
        block.verdict[i].count = runs / verdicts;
    }
    return block;
}

static uint64_t count_of(const struct counts *counts, uint32_t verdict)
{
    for (unsigned i = 0; i < counts->verdicts; i++)
        if (counts->verdict[i].verdict == verdict)
            return counts->verdict[i].count;
    return 0;
}

/* What a reader does each time: the sum over two threads, and what has come since. */
static bool read_again(struct counts *total, struct counts *seen, const struct counter_block *first,
                       const struct counter_block *second)
{
    struct counts now = counts_after(seen);

    counts_add_block(&now, first);
    counts_add_block(&now, second);
    return counts_advance(total, &now, seen);
}

static void test_only_what_is_new_counts(void **state)
{
    struct counter_block first = block(10, 1, 1), second = block(20, 2, 1);
    struct counts total = { 0 }, seen = { 0 };

    assert_true(read_again(&total, &seen, &first, &second));
    assert_false(read_again(&total, &seen, &first, &second));
    assert_int_equal(total.runs, 30);
    second = block(25, 2, 1);
    assert_true(read_again(&total, &seen, &first, &second));
    assert_int_equal(total.runs, 35);
    assert_int_equal(count_of(&total, 1), 10);
    assert_int_equal(count_of(&total, 2), 25);
    assert_int_equal(total.cycles, 350);
    assert_int_equal(total.bucket[3], 35);
}

/* A place that another counter had: what is there already is not this one's. */
static void test_what_was_there_before_does_not_count(void **state)
{
    struct counter_block first = block(10, 1, 1), none = { 0 };
    struct counts total = { 0 }, seen = { 0 };

    counts_add_block(&seen, &first);
    first.runs = 11;
    read_again(&total, &seen, &first, &none);
    assert_int_equal(total.runs, 1);
    assert_int_equal(count_of(&total, 1), 0);
}

/* More verdicts than have room: each run is counted once, in its verdict or among the others, and stays there. */
static void test_many_verdicts(void **state)
{
    struct counter_block first = block(70, 0, 7), second = block(70, 100, 7), third = block(70, 200, 7);
    struct counts total = { 0 }, seen = { 0 };
    uint64_t sum;

    for (int round = 1; round <= 2; round++) {
        read_again(&total, &seen, &first, &second);
        second = third;
        third = first;
    }
    sum = total.other;
    for (unsigned i = 0; i < total.verdicts; i++)
        sum += total.verdict[i].count;
    assert_int_equal(total.verdicts, COUNTS_VERDICTS);
    assert_int_equal(sum, 210);
    assert_int_equal(total.other, 50);
}

/* Counters that fall are a lie, or another process; they take nothing away. */
static void test_nothing_falls(void **state)
{
    struct counter_block first = block(10, 1, 1), none = { 0 };
    struct counts total = { 0 }, seen = { 0 };

    read_again(&total, &seen, &first, &none);
    first = block(4, 1, 1);
    assert_false(read_again(&total, &seen, &first, &none));
    assert_int_equal(total.runs, 10);
    first = block(5, 1, 1);
    assert_true(read_again(&total, &seen, &first, &none));
    assert_int_equal(total.runs, 11);
}

static void test_stored_and_read(void **state)
{
    struct counter_block first = block(70, UINT32_MAX - 6, 7), second = block(1, 5, 1);
    struct counts total = { 0 }, seen = { 0 }, back;
    struct json_object *view;

    read_again(&total, &seen, &first, &second);
    total.timed = 3;
    total.other = 4;
    view = counts_view(&total);
    counts_read(view, &back);
    json_object_put(view);
    assert_int_equal(back.runs, 71);
    assert_int_equal(back.verdicts, 8);
    assert_int_equal(count_of(&back, UINT32_MAX), 10);
    assert_int_equal(count_of(&back, 5), 1);
    assert_int_equal(back.timed, 3);
    assert_int_equal(back.other, 4);
    assert_int_equal(back.cycles, total.cycles);
    assert_memory_equal(back.bucket, total.bucket, sizeof(back.bucket));
}

static void test_damaged(void **state)
{
    static const char *const texts[] = {
        "{}", "[]", "3", "{\"verdicts\":7}", "{\"verdicts\":[1,{}]}", "{\"histogram\":{}}", "{\"runs\":\"x\"}",
    };
    struct counts counts;

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct json_object *view = json_tokener_parse(texts[i]);

        counts_read(view, &counts);
        assert_int_equal(counts.runs, 0);
        json_object_put(view);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_what_is_new_counts),
        cmocka_unit_test(test_what_was_there_before_does_not_count),
        cmocka_unit_test(test_many_verdicts),
        cmocka_unit_test(test_nothing_falls),
        cmocka_unit_test(test_stored_and_read),
        cmocka_unit_test(test_damaged),
    };

    return cmocka_run_group_tests_name("counts", tests, NULL, NULL);
}
