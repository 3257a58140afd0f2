/* SPDX-License-Identifier: MIT */
/* The planner: what it makes of samples whose best plan is known. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "jitcore/planner.h"

#define CASES_MAX 4096
#define KEYS 1024

static const struct dispatcher_target target;
static struct dispatcher_case cases[CASES_MAX];
static uint32_t sample[KEYS], weight[CASES_MAX];

/* Keys `step` apart, from 100 on. */
static struct planner_question make_question(size_t count, uint32_t step)
{
    for (uint32_t i = 0; i < count; i++)
        cases[i] = (struct dispatcher_case){ 100 + i * step, 100 + i * step, &target, 1, 0 };
    return (struct planner_question){ .cases = cases, .count = count, .key = sample };
}

static void sample_uniform(struct planner_question *question)
{
    question->keys = KEYS;
    for (size_t i = 0; i < KEYS; i++)
        sample[i] = cases[(size_t)rand() % question->count].first;
}

/* `share` of a hundred are this key, in no order; the others come from all cases. */
static void sample_hot(struct planner_question *question, uint32_t key, int share)
{
    sample_uniform(question);
    for (size_t i = 0; i < KEYS; i++)
        if (rand() % 100 < share)
            sample[i] = key;
}

static struct planner_answer plan(const struct planner_question *question)
{
    struct planner_answer answer;

    assert_int_equal(planner_plan(question, &answer, weight), 0);
    assert_true(strlen(answer.reason) > 0);
    return answer;
}

static void test_few_cases_are_a_tree(void **state)
{
    struct planner_question question;

    for (size_t count = 1; count <= 2; count++) {
        question = make_question(count, 1000);
        sample_uniform(&question);
        assert_int_equal(plan(&question).plan.shape, DISPATCHER_TREE);
    }
    question = make_question(0, 1);
    assert_int_equal(plan(&question).plan.shape, DISPATCHER_TREE);
}

static void test_many_cases_are_a_table(void **state)
{
    static const size_t sizes[] = { 16, 64, 1000, CASES_MAX };

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct planner_question question = make_question(sizes[i], 1);
        struct planner_answer answer;

        sample_uniform(&question);
        answer = plan(&question);
        assert_int_equal(answer.plan.shape, DISPATCHER_DENSE);
        assert_true(answer.cost[DISPATCHER_DENSE] < answer.cost[DISPATCHER_HASH]);
        assert_true(answer.cost[DISPATCHER_HASH] < answer.cost[DISPATCHER_TREE]);
        assert_true(answer.distinct > 0.5 * (sizes[i] < KEYS ? (double)sizes[i] : KEYS));
        question = make_question(sizes[i], 1000);
        sample_uniform(&question);
        answer = plan(&question);
        assert_int_equal(answer.plan.shape, DISPATCHER_HASH);
        assert_true(isinf(answer.cost[DISPATCHER_DENSE]));
    }
}

static void test_a_hot_key_is_compared_first(void **state)
{
    struct planner_question question = make_question(1000, 1000);
    struct planner_answer answer;

    sample_hot(&question, cases[700].first, 97);
    answer = plan(&question);
    assert_int_equal(answer.plan.shape, DISPATCHER_HASH);
    assert_in_range(answer.plan.hot, 1, DISPATCHER_HOT_MAX);
    assert_int_equal(answer.plan.hot_key[0], cases[700].first);
    assert_in_range(weight[700], KEYS * 9 / 10, KEYS);
    assert_true(answer.distinct < 2);
}

/* Keys that come in long runs are predicted by any shape: a few comparisons are then as good as a table. */
static void test_order_makes_mispredictions_rare(void **state)
{
    struct planner_question question = make_question(64, 1000);
    double in_no_order, in_runs;

    sample_uniform(&question);
    in_no_order = plan(&question).cost[DISPATCHER_TREE];
    for (size_t i = 0; i < KEYS; i++)
        sample[i] = cases[i / 16].first;
    in_runs = plan(&question).cost[DISPATCHER_TREE];
    assert_true(in_runs < in_no_order / 2);
}

static void test_no_indirect_means_trees(void **state)
{
    struct planner_question question = make_question(1000, 1);
    struct dispatcher_plan dense = { .shape = DISPATCHER_DENSE };
    struct planner_answer answer;

    sample_uniform(&question);
    question.no_indirect = true;
    answer = plan(&question);
    assert_int_equal(answer.plan.shape, DISPATCHER_TREE);
    assert_true(isinf(answer.cost[DISPATCHER_HASH]) && isinf(answer.cost[DISPATCHER_DENSE]));
    question.current = &dense;
    answer = plan(&question);
    assert_true(answer.change);
    assert_int_equal(answer.plan.shape, DISPATCHER_TREE);
}

static void test_ranges_are_no_table(void **state)
{
    struct planner_question question = make_question(100, 1000);

    for (size_t i = 0; i < 100; i++)
        cases[i].last = cases[i].first + 10;
    sample_uniform(&question);
    assert_int_equal(plan(&question).plan.shape, DISPATCHER_TREE);
}

/* A plan that is good enough stays, whichever of two alike is better in this sample; a bad one goes. */
static void test_hysteresis(void **state)
{
    struct planner_question question = make_question(64, 1);
    struct dispatcher_plan current = { .shape = DISPATCHER_DENSE, .hot = 1, .hot_key = { 110 } };
    struct planner_answer answer;

    question.current = &current;
    for (int i = 0; i < 20; i++) {
        sample_uniform(&question);
        answer = plan(&question);
        assert_false(answer.change);
        assert_memory_equal(&answer.plan, &current, sizeof(current));
    }
    sample_hot(&question, 150, 97);
    answer = plan(&question);
    assert_true(answer.change);
    assert_int_equal(answer.plan.hot_key[0], 150);
    assert_true(answer.current_cost > answer.cost[answer.plan.shape]);
    current = answer.plan;
    sample_uniform(&question);
    sample_hot(&question, 150, 95);
    assert_false(plan(&question).change);
    current = (struct dispatcher_plan){ .shape = DISPATCHER_TREE };
    sample_uniform(&question);
    assert_true(plan(&question).change);
}

/* A tree that was made for other keys is made anew, where that is worth it. */
static void test_a_tree_is_weighed_anew(void **state)
{
    struct planner_question question = make_question(64, 1000);
    struct dispatcher_plan tree = { .shape = DISPATCHER_TREE };
    struct planner_answer answer;

    question.no_indirect = true;
    question.current = &tree;
    sample_hot(&question, cases[40].first, 97);
    answer = plan(&question);
    assert_true(answer.change);
    assert_true(answer.current_cost > answer.cost[DISPATCHER_TREE] + 0.5);
    for (size_t i = 0; i < question.count; i++)
        cases[i].weight = weight[i] + 1;
    sample_hot(&question, cases[40].first, 95);
    assert_false(plan(&question).change);
    question.keys = 0;
    assert_false(plan(&question).change);
}

static void test_misses_are_counted(void **state)
{
    struct planner_question question = make_question(16, 10);
    struct planner_answer answer;

    sample_uniform(&question);
    for (size_t i = 0; i < KEYS; i += 2)
        sample[i] = 7;
    answer = plan(&question);
    assert_true(fabs(answer.misses - 0.5) < 0.01);
}

/* Without a sample the number of cases decides, and all of them weigh the same. */
static void test_nothing_is_known(void **state)
{
    struct planner_question question = make_question(500, 1000);

    question.keys = PLANNER_SAMPLE_MIN - 1;
    assert_int_equal(plan(&question).plan.shape, DISPATCHER_HASH);
    for (size_t i = 0; i < 500; i++)
        assert_int_equal(weight[i], 1);
    question = make_question(2, 1000);
    assert_int_equal(plan(&question).plan.shape, DISPATCHER_TREE);
}

static void test_names(void **state)
{
    enum dispatcher_shape shape;

    for (int s = 0; s < PLANNER_SHAPES; s++) {
        assert_true(dispatcher_shape_find(dispatcher_shape_name((enum dispatcher_shape)s), &shape));
        assert_int_equal(shape, s);
    }
    assert_false(dispatcher_shape_find("bush", &shape));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_few_cases_are_a_tree),
        cmocka_unit_test(test_many_cases_are_a_table),
        cmocka_unit_test(test_a_hot_key_is_compared_first),
        cmocka_unit_test(test_order_makes_mispredictions_rare),
        cmocka_unit_test(test_no_indirect_means_trees),
        cmocka_unit_test(test_ranges_are_no_table),
        cmocka_unit_test(test_hysteresis),
        cmocka_unit_test(test_a_tree_is_weighed_anew),
        cmocka_unit_test(test_misses_are_counted),
        cmocka_unit_test(test_nothing_is_known),
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
