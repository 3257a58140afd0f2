/* SPDX-License-Identifier: MIT */
/* Pokes, and the check of the host, which must be able to fail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "jitcore/poke.h"
#include "text.h"

static void test_expected_bytes_are_compared(void **state)
{
    struct text text;
    uint64_t offset, *slot;

    assert_int_equal(text_new(IMAGE_PAGE, &text), 0);
    assert_int_equal(image_reserve(text.image, SLOT_SIZE, IMAGE_FRESH, &offset), 0);
    slot = image_write(text.image, offset);
    *slot = 1;
    assert_int_equal(poke_slot(text.image, offset, 1, 2), 0);
    assert_int_equal(*slot, 2);
    assert_int_equal(poke_slot(text.image, offset, 1, 3), -ESTALE);
    assert_int_equal(*slot, 2);
    text_done(&text);
}

/* Of several, all or none: what was made before the one that is refused is taken back. */
static void test_several_are_made_or_none(void **state)
{
    struct slot_change change[3];
    struct text text;
    uint64_t *slot;

    assert_int_equal(text_new(IMAGE_PAGE, &text), 0);
    for (unsigned i = 0; i < 3; i++) {
        change[i] = (struct slot_change){ .expect = 1 + i, .want = 11 + i };
        assert_int_equal(image_reserve(text.image, SLOT_SIZE, IMAGE_FRESH, &change[i].slot), 0);
        slot = image_write(text.image, change[i].slot);
        *slot = change[i].expect;
    }
    *slot = 7;
    assert_int_equal(poke_check_slots(text.image, change, 3), -ESTALE);
    assert_int_equal(poke_slots(text.image, change, 3), -ESTALE);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(*(uint64_t *)image_write(text.image, change[i].slot), i < 2 ? change[i].expect : 7);
    *slot = change[2].expect;
    assert_int_equal(poke_slots(text.image, change, 3), 0);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(*(uint64_t *)image_write(text.image, change[i].slot), change[i].want);
    text_done(&text);
}

static void test_host_pokes_correctly(void **state)
{
    assert_int_equal(poke_check_host(architecture_native(), 100000), 0);
}

/* ---- what the check is there to find ---- */

static unsigned jumps;

/*
 * One jump in a thousand goes astray, as a torn one would: four bytes short of its target, which is
 * poison.
 */
static uint64_t torn_jump(uint64_t from, uint64_t to)
{
    return architecture_native()->slot_jump(from, ++jumps % 1000 == 0 ? to - 4 : to);
}

static void test_check_finds_a_torn_instruction(void **state)
{
    struct architecture torn = *architecture_native();

    torn.slot_jump = torn_jump;
    int r = 0;

    /* A busy host gives each check few pokes: try until one is met in the middle of its tearing. */
    for (int i = 0; i < 400 && r == 0; i++)
        r = poke_check_host(&torn, 100000);
    assert_int_equal(r, -EIO);
}

/* A tree that answers with a verdict that no piece of code has. */
static void wrong_tree(struct emitter *emitter, const struct branch *branches, size_t count,
                       const struct fallback *fallback)
{
    struct fallback wrong = { .verdict = fallback->verdict == 5 ? 500 : fallback->verdict };

    architecture_native()->emit_tree(emitter, branches, count, &wrong);
}

static void test_check_finds_a_wrong_verdict(void **state)
{
    struct architecture wrong = *architecture_native();

    wrong.emit_tree = wrong_tree;
    assert_int_equal(poke_check_host(&wrong, 100000), -EIO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_expected_bytes_are_compared),
        cmocka_unit_test(test_several_are_made_or_none),
        cmocka_unit_test(test_host_pokes_correctly),
        cmocka_unit_test(test_check_finds_a_torn_instruction),
        cmocka_unit_test(test_check_finds_a_wrong_verdict),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
