/* SPDX-License-Identifier: MIT */
/* registry.h, table_code.h: links in their order, entries that do not overlap, and what a table's code is made of. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <json-c/json.h>

#include "registry.h"
#include "table_code.h"

#define PROGRAMS 4

static struct registry registry;
static struct table *table;
static struct program *program[PROGRAMS];

static int set_up(void **state)
{
    struct shared_context *shared;
    struct context *context;

    registry_init(&registry, NULL, 0, NULL);
    assert_int_equal(context_new_bytes(8, &context, NULL), 0);
    assert_int_equal(shared_context_new(context, &shared), 0);
    assert_int_equal(table_new("table", TABLE_KEYS, shared, 77, &table), 0);
    assert_int_equal(registry_add_table(&registry, table), 0);
    for (size_t i = 0; i < PROGRAMS; i++) {
        const char name[] = { (char)('a' + i), 0 };

        assert_int_equal(program_new(&registry, name, shared, &program[i]), 0);
        program[i]->code = 1000 * (i + 1);
        assert_int_equal(registry_add_program(&registry, program[i]), 0);
    }
    shared_context_put(shared);
    return 0;
}

static int tear_down(void **state)
{
    for (size_t i = 0; i < PROGRAMS; i++)
        program[i]->code = IMAGE_NONE;          /* there is no image to release it in */
    registry_done(&registry);
    return 0;
}

static struct link wanted_link(bool otherwise, uint32_t first, uint32_t last, int32_t priority)
{
    return (struct link){
        .id = registry.next_link++, .table = table, .otherwise = otherwise, .first = first, .last = last,
        .priority = priority, .program = program[registry.next_link % PROGRAMS],
    };
}

static struct link *add(bool otherwise, uint32_t first, uint32_t last, int32_t priority)
{
    const struct link wanted = wanted_link(otherwise, first, last, priority);
    struct link *link;

    assert_int_equal(link_new(&wanted, &link), 0);
    assert_int_equal(registry_add_link(&registry, link), 0);
    return link;
}

static void take_out(struct link *link)
{
    registry_remove_link(&registry, link);
    link_free(link);
}

static void check_order(struct link *const *wanted, size_t count)
{
    assert_int_equal(table->links, count);
    for (size_t i = 0; i < count; i++)
        assert_ptr_equal(table->link[i], wanted[i]);
}

static void test_order(void **state)
{
    struct link *all_others = add(true, 0, 0, -5), *high = add(false, UINT32_MAX, UINT32_MAX, 0);
    struct link *second = add(false, 7, 9, 1), *fourth = add(false, 7, 9, INT32_MAX);
    struct link *first = add(false, 7, 9, INT32_MIN);
    struct link *third = add(false, 7, 9, 1), *low = add(false, 0, 0, 0);

    check_order((struct link *[]){ low, first, second, third, fourth, high, all_others }, 7);
    take_out(second);
    check_order((struct link *[]){ low, first, third, fourth, high, all_others }, 6);
}

static void test_chain(void **state)
{
    struct link *second = add(false, 7, 9, 1), *first = add(false, 7, 9, 0), *all_others = add(true, 0, 0, 0);
    struct link keys = { .first = 7, .last = 9 };
    struct link *const *chain;

    add(false, 0, 0, 0);
    add(false, 10, 10, 0);
    assert_int_equal(table_chain(table, &keys, &chain), 2);
    assert_ptr_equal(chain[0], first);
    assert_ptr_equal(chain[1], second);
    keys.last = 8;
    assert_int_equal(table_chain(table, &keys, &chain), 0);
    keys = (struct link){ .first = 11, .last = 11 };
    assert_int_equal(table_chain(table, &keys, &chain), 0);
    keys = (struct link){ .otherwise = true };
    assert_int_equal(table_chain(table, &keys, &chain), 1);
    assert_ptr_equal(chain[0], all_others);
}

/* All entries among few keys, each tried against what is there, link by link. */
static void test_overlap(void **state)
{
    struct link *const there[] = { add(false, 2, 2, 0), add(false, 4, 6, 0), add(false, 4, 6, 1), add(true, 0, 0, 0),
                                   add(false, 9, 9, 0) };

    for (uint32_t first = 0; first < 12; first++)
        for (uint32_t last = first; last < 12; last++) {
            const struct link keys = { .first = first, .last = last };
            struct link *found = table_overlap(table, &keys);
            bool overlaps = false;

            for (size_t i = 0; i < 5; i++)
                overlaps |= !there[i]->otherwise && first <= there[i]->last && there[i]->first <= last &&
                            (first != there[i]->first || last != there[i]->last);
            assert_int_equal(found != NULL, overlaps);
            if (found)
                assert_true(first <= found->last && found->first <= last);
        }
    assert_null(table_overlap(table, &(struct link){ .otherwise = true }));
}

static void test_exchanged_program(void **state)
{
    struct link *one = add(false, 1, 1, 0), *two = add(false, 2, 2, 0);
    struct program *previous = one->program, *next = two->program;
    struct link other = { .program = program_get(next) };

    assert_int_equal(registry_exchange_target(one, &other), 0);
    assert_ptr_equal(other.program, previous);
    assert_ptr_equal(one->program, next);
    assert_int_equal(previous->links, 0);
    assert_int_equal(next->links, 2);
    assert_ptr_equal(next->link[0], one);
    program_put(other.program);
    check_order((struct link *[]){ one, two }, 2);
}

static int read_proceed(struct link *link, const char *text)
{
    struct json_object *verdicts = json_tokener_parse(text);
    int r = link_read_proceed(link, verdicts);

    json_object_put(verdicts);
    return r;
}

static void test_words(void **state)
{
    struct link link = { .first = 0, .last = UINT32_MAX };
    char keys[LINK_KEYS_TEXT], verdicts[LINK_PROCEED_TEXT];
    const char longest[] = "[4294967288,4294967289,4294967290,4294967291,4294967292,4294967293,4294967294,4294967295]";

    link_keys_text(&link, keys);
    assert_string_equal(keys, "0-4294967295");
    link.first = UINT32_MAX;
    link_keys_text(&link, keys);
    assert_string_equal(keys, "4294967295");
    link.otherwise = true;
    link_keys_text(&link, keys);
    assert_string_equal(keys, "default");
    link_proceed_text(&link, verdicts);
    assert_string_equal(verdicts, "[]");
    assert_int_equal(read_proceed(&link, longest), 0);
    link_proceed_text(&link, verdicts);
    assert_string_equal(verdicts, longest);
    assert_int_equal(read_proceed(&link, "[0,1,2,3,4,5,6,7,8]"), -E2BIG);
    assert_int_equal(read_proceed(&link, "[4294967296]"), -ERANGE);
    assert_int_equal(read_proceed(&link, "[-1]"), -ERANGE);
    assert_int_equal(read_proceed(&link, "[5,0,5]"), -EEXIST);
    link_proceed_text(&link, verdicts);
    assert_string_equal(verdicts, longest);
    assert_int_equal(link_read_proceed(&link, NULL), 0);
    assert_int_equal(link.proceeds, 0);
}

static void check_target(const struct dispatcher_target *target, const struct link *link)
{
    assert_int_equal(target->code, link->program->code);
    assert_int_equal(target->proceeds, link->proceeds);
    assert_memory_equal(target->proceed, link->proceed, sizeof(link->proceed));
}

static void test_dispatcher(void **state)
{
    struct link *range = add(false, 7, 9, 1), *before = add(false, 7, 9, 0), *key = add(false, 3, 3, 0);
    struct link *late = add(true, 0, 0, 1), *early = add(true, 0, 0, 0);
    struct table_dispatcher code;

    before->proceed[0] = 6;
    before->proceeds = 1;
    assert_int_equal(table_dispatcher(&registry, table, &code), 0);
    assert_int_equal(code.dispatcher.default_verdict, 77);
    assert_int_equal(code.dispatcher.count, 2);
    assert_int_equal(code.cases[0].first, 3);
    assert_int_equal(code.cases[0].last, 3);
    assert_int_equal(code.cases[0].targets, 1);
    check_target(code.cases[0].target, key);
    assert_int_equal(code.cases[1].first, 7);
    assert_int_equal(code.cases[1].last, 9);
    assert_int_equal(code.cases[1].targets, 2);
    check_target(&code.cases[1].target[0], before);
    check_target(&code.cases[1].target[1], range);
    assert_int_equal(code.dispatcher.otherwises, 2);
    check_target(&code.dispatcher.otherwise[0], early);
    check_target(&code.dispatcher.otherwise[1], late);
    table_dispatcher_done(&code);
}

static void test_empty_dispatcher(void **state)
{
    struct table_dispatcher code;

    assert_int_equal(table_dispatcher(&registry, table, &code), 0);
    assert_int_equal(code.dispatcher.count, 0);
    assert_int_equal(code.dispatcher.otherwises, 0);
    table_dispatcher_done(&code);
}

static enum dispatcher_shape made_shape(unsigned *ret_hot)
{
    struct table_dispatcher code;
    struct dispatcher_plan plan;

    assert_int_equal(table_dispatcher(&registry, table, &code), 0);
    plan = code.dispatcher.plan;
    table_dispatcher_done(&code);
    *ret_hot = plan.hot;
    return plan.shape;
}

/* The planner's word holds where a policy allows it. */
static void test_policy(void **state)
{
    unsigned hot;

    for (uint32_t key = 0; key < 100; key++)
        add(false, 1000 * key, 1000 * key, 0);
    table->sampled_links = 50;
    table->plan = (struct dispatcher_plan){ .shape = DISPATCHER_HASH, .hot = 1, .hot_key = { 3000 } };
    assert_int_equal(made_shape(&hot), DISPATCHER_HASH);
    assert_int_equal(hot, 1);
    table->no_indirect = true;
    assert_int_equal(made_shape(&hot), DISPATCHER_TREE);
    table->no_indirect = false;
    registry.no_indirect = true;
    assert_int_equal(made_shape(&hot), DISPATCHER_TREE);
    table->sampled_links = 0;
    assert_int_equal(made_shape(&hot), DISPATCHER_TREE);
    registry.no_indirect = false;
    assert_int_not_equal(made_shape(&hot), DISPATCHER_TREE);
    table->plan = (struct dispatcher_plan){ .shape = DISPATCHER_TREE };
    table->sampled_links = 100;
    assert_int_equal(made_shape(&hot), DISPATCHER_TREE);
    table->sampled_links = 49;          /* it has grown too much since */
    assert_int_not_equal(made_shape(&hot), DISPATCHER_TREE);
    table->sampled_links = 201;
    assert_int_not_equal(made_shape(&hot), DISPATCHER_TREE);
}

static void test_edits(void **state)
{
    const struct link *late = add(false, 9, 9, 1), *early = add(false, 9, 9, 0), *low = add(false, 2, 2, 0);
    const struct link *range = add(false, 20, 30, 0);
    const struct link gone = { .first = 5, .last = 5 };
    struct table_dispatcher code;

    assert_int_equal(table_edits(table, (const struct link *[]){ late, &gone, early, low, late }, 5, &code), 0);
    assert_int_equal(code.dispatcher.count, 3);
    assert_int_equal(code.cases[0].first, 2);
    assert_int_equal(code.cases[0].targets, 1);
    check_target(code.cases[0].target, low);
    assert_int_equal(code.cases[1].first, 5);
    assert_int_equal(code.cases[1].targets, 0);
    assert_int_equal(code.cases[2].first, 9);
    assert_int_equal(code.cases[2].targets, 2);
    check_target(&code.cases[2].target[0], early);
    check_target(&code.cases[2].target[1], late);
    table_dispatcher_done(&code);
    assert_int_equal(table_edits(table, (const struct link *[]){ low, range }, 2, &code), -EOPNOTSUPP);
    assert_int_equal(table_edits(table, (const struct link *[]){ &(struct link){ .otherwise = true } }, 1, &code),
                     -EOPNOTSUPP);
}

/* What is behind a name, an id or a place, also where nothing has it any more. */
static void test_going_through_what_changes(void **state)
{
    struct link *first = add(false, 3, 3, 0), *second = add(false, 3, 3, 5), *third = add(false, 1, 2, 0);
    const struct link behind_first = *first;

    assert_int_equal(registry_programs_after(&registry, ""), 0);
    assert_int_equal(registry_programs_after(&registry, "b"), 2);
    assert_int_equal(registry_programs_after(&registry, "bb"), 2);
    assert_int_equal(registry_programs_after(&registry, "z"), PROGRAMS);
    assert_int_equal(registry_tables_after(&registry, ""), 0);
    assert_int_equal(registry_tables_after(&registry, "table"), 1);
    assert_int_equal(registry_links_after(&registry, 0), 0);
    assert_int_equal(registry_links_after(&registry, first->id), 1);
    assert_int_equal(registry_links_after(&registry, third->id), 3);
    assert_int_equal(table_links_after(table, &(struct link){ .priority = INT32_MIN }), 0);
    assert_int_equal(table_links_after(table, third), 1);
    assert_int_equal(table_links_after(table, first), 2);
    assert_int_equal(table_links_after(table, second), 3);
    assert_true(link_same_entry(first, second));
    assert_false(link_same_entry(first, third));
    take_out(first);
    assert_int_equal(table_links_after(table, &behind_first), 1);
    assert_int_equal(registry_links_after(&registry, behind_first.id), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_chain, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_overlap, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_exchanged_program, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_going_through_what_changes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_words, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_dispatcher, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_empty_dispatcher, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_policy, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_edits, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
