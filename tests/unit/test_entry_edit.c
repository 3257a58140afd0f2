/* SPDX-License-Identifier: MIT */
/*
 * Edits in place of hashes and dense tables, when something else has written into the table: whichever quadword of the
 * edit it was, nothing is changed, and nobody's key leads elsewhere.  And how an entry begins.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "jitcore/entry.h"
#include "text.h"

#define KEYS 200
#define TARGETS 8
#define TEXT_SIZE ((size_t)1 << 20)
#define QUADWORDS (TEXT_SIZE / sizeof(uint64_t))
#define EDITS 4
#define FOREIGN UINT64_C(0x1122334455667788)

static struct table {
    struct text text;
    struct dispatcher_target target[TARGETS];
    struct entry *entry;
    uint32_t step;              /* key i is i * step */
} table;

static uint32_t call(uint32_t key)
{
    return text_call(&table.text, 0, entry_offset(table.entry), NULL, key);
}

static void make_table(enum dispatcher_shape shape, uint32_t step)
{
    static struct dispatcher_case cases[KEYS];
    struct dispatcher dispatcher = { .cases = cases, .count = KEYS, .plan.shape = shape };

    assert_int_equal(text_new(TEXT_SIZE, &table.text), 0);
    assert_int_equal(text_make_targets(&table.text, table.target, TARGETS), 0);
    table.step = step;
    for (uint32_t i = 0; i < KEYS; i++)
        cases[i] = (struct dispatcher_case){ i * step, i * step, &table.target[i % TARGETS], 1, 0 };
    assert_int_equal(entry_new(table.text.image, 0, &table.entry), 0);
    assert_int_equal(entry_start(table.entry, &dispatcher), 0);
    assert_int_equal(entry_shape(table.entry), shape);
}

static void drop_table(void)
{
    entry_free(table.entry);
    text_done(&table.text);
}

/* All keys as at first. */
static void assert_answers(void)
{
    for (uint32_t i = 0; i < KEYS; i++)
        assert_int_equal(call(i * table.step), i % TARGETS + 1);
    assert_int_equal(call(KEYS * table.step), 0);
}

/* Three keys get the next one's target, and one goes; or, back, what they had. */
static struct entry_change *prepare(bool back)
{
    static const uint32_t number[EDITS] = { 3, 50, 117, 199 };
    struct dispatcher_case edits[EDITS];
    struct entry_change *change;

    for (uint32_t i = 0; i < EDITS; i++) {
        uint32_t key = number[i] * table.step;

        edits[i] = (struct dispatcher_case){ key, key, &table.target[(number[i] + !back) % TARGETS], 1, 0 };
    }
    if (!back)
        edits[1] = (struct dispatcher_case){ .first = edits[1].first, .last = edits[1].last };
    assert_int_equal(entry_prepare_edit(table.entry, edits, EDITS, &change), 0);
    return change;
}

static void make_edit(bool back)
{
    struct entry_change *change = prepare(back);

    assert_int_equal(entry_change_check(change), 0);
    assert_int_equal(entry_change_commit(change), 0);
    assert_null(entry_change_release(change));
}

/* With this quadword as something else left it: the edit is refused, and the image stays as it is. */
static void refuse_edit(size_t quadword)
{
    uint64_t *place = (uint64_t *)(void *)table.text.write + quadword, good = *place;
    struct image_usage before, after;
    struct entry_change *change = prepare(false);
    char *snapshot = malloc(TEXT_SIZE);

    assert_non_null(snapshot);
    image_usage(table.text.image, &before);
    assert_int_equal(entry_change_check(change), 0);
    *place = FOREIGN;
    memcpy(snapshot, table.text.write, TEXT_SIZE);
    assert_int_equal(entry_change_check(change), -ESTALE);
    assert_int_equal(entry_change_commit(change), -ESTALE);
    assert_memory_equal(table.text.write, snapshot, TEXT_SIZE);
    image_usage(table.text.image, &after);
    assert_memory_equal(&before, &after, sizeof(before));
    *place = good;
    assert_answers();
    free(snapshot);
}

/* Every quadword that the edit pokes, one after the other. */
static void check_shape(enum dispatcher_shape shape, uint32_t step)
{
    uint64_t *before = malloc(TEXT_SIZE), *now;
    size_t poked[QUADWORDS / 64], count = 0;

    assert_non_null(before);
    make_table(shape, step);
    now = (uint64_t *)(void *)table.text.write;
    memcpy(before, now, TEXT_SIZE);
    make_edit(false);
    for (size_t i = 0; i < QUADWORDS; i++)
        if (now[i] != before[i])
            poked[count++] = i;
    assert_in_range(count, EDITS, 2 * EDITS);
    make_edit(true);
    assert_answers();
    for (size_t i = 0; i < count; i++)
        refuse_edit(poked[i]);
    make_edit(false);
    make_edit(true);
    assert_answers();
    drop_table();
    free(before);
}

static void test_hash(void **state)
{
    check_shape(DISPATCHER_HASH, 65537);
}

static void test_dense(void **state)
{
    check_shape(DISPATCHER_DENSE, 1);
}

/* Where control-flow enforcement is on, the indirect call of a hook must land on endbr64. */
static void test_an_entry_begins_with_endbr64(void **state)
{
    static const uint8_t endbr64[] = { 0xf3, 0x0f, 0x1e, 0xfa };

    make_table(DISPATCHER_DENSE, 1);
    assert_memory_equal(table.text.write + entry_offset(table.entry), endbr64, sizeof(endbr64));
    drop_table();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hash),
        cmocka_unit_test(test_dense),
        cmocka_unit_test(test_an_entry_begins_with_endbr64),
    };

    return cmocka_run_group_tests_name("entry_edit", tests, NULL, NULL);
}
