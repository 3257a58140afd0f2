/* SPDX-License-Identifier: MIT */
/* The image's allocator, against a plain model of each granule's state. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "jitcore/image.h"

#define PAGES 24
#define SIZE (PAGES * IMAGE_PAGE)
#define GRANULES (SIZE / IMAGE_GRANULE)

static uint8_t memory[SIZE] __attribute__((aligned(IMAGE_PAGE)));
static unsigned populated[PAGES];
static int populate_error;

static int populate(void *userdata, uint64_t offset, size_t size)
{
    assert_ptr_equal(userdata, memory);
    assert_int_equal(offset % IMAGE_PAGE, 0);
    assert_int_equal(size, IMAGE_PAGE);
    if (populate_error)
        return populate_error;
    assert_int_equal(populated[offset / IMAGE_PAGE]++, 0);
    return 0;
}

static struct image *new_image(void)
{
    struct image *image;

    memset(memory, 0, sizeof(memory));
    memset(populated, 0, sizeof(populated));
    populate_error = 0;
    assert_int_equal(image_new(memory, SIZE, architecture_native(), populate, memory, &image), 0);
    return image;
}

static bool is_poison(uint64_t offset, size_t size)
{
    uint8_t poison;

    architecture_native()->poison(&poison, 1);
    for (size_t i = 0; i < size; i++)
        if (memory[offset + i] != poison)
            return false;
    return true;
}

static uint64_t reserve(struct image *image, size_t size, enum image_bytes kind)
{
    uint64_t offset;

    assert_int_equal(image_reserve(image, size, kind, &offset), 0);
    return offset;
}

/* ---- one property each ---- */

static void test_bytes_are_fresh_once(void **state)
{
    struct image *image = new_image();
    uint64_t offset, fresh = reserve(image, SIZE, IMAGE_FRESH);

    image_commit(image, fresh);
    image_release(image, fresh);
    assert_int_equal(image_reserve(image, 1, IMAGE_FRESH, &offset), -ENOSPC);
    assert_int_equal(image_reserve(image, SIZE, IMAGE_ANY, &offset), 0);
    image_abort(image, offset);
    assert_int_equal(image_reserve(image, 1, IMAGE_FRESH, &offset), -ENOSPC);
    image_free_all(image);
}

static void test_abort_leaves_fresh_bytes_fresh(void **state)
{
    struct image *image = new_image();
    uint64_t offset = reserve(image, SIZE, IMAGE_FRESH);

    memset(image_write(image, offset), 0x90, SIZE);
    image_abort(image, offset);
    assert_true(is_poison(0, SIZE));
    offset = reserve(image, SIZE, IMAGE_ANY);
    image_abort(image, offset);
    assert_int_equal(reserve(image, SIZE, IMAGE_FRESH), 0);
    image_free_all(image);
}

static void test_any_prefers_what_is_not_fresh(void **state)
{
    struct image *image = new_image();
    uint64_t first = reserve(image, 100, IMAGE_ANY), second = reserve(image, 100, IMAGE_FRESH);

    image_commit(image, second);
    image_release(image, second);
    assert_int_equal(reserve(image, 100, IMAGE_ANY), second);
    assert_int_not_equal(reserve(image, 100, IMAGE_ANY), first);
    image_free_all(image);
}

static void test_freed_bytes_are_poisoned(void **state)
{
    struct image *image = new_image();
    uint64_t offset = reserve(image, 1000, IMAGE_FRESH);

    assert_true(is_poison(offset, 1000));
    memset(image_write(image, offset), 0x90, 1000);
    image_commit(image, offset);
    assert_false(is_poison(offset, 1000));
    image_release(image, offset);
    assert_true(is_poison(offset, 1000));
    image_free_all(image);
}

static void test_failed_populate_changes_nothing(void **state)
{
    struct image *image = new_image();
    struct image_usage before, after;
    uint64_t offset = 12345;

    reserve(image, 100, IMAGE_FRESH);
    image_usage(image, &before);
    populate_error = -ENOMEM;
    assert_int_equal(image_reserve(image, 3 * IMAGE_PAGE, IMAGE_FRESH, &offset), -ENOMEM);
    assert_int_equal(offset, 12345);
    image_usage(image, &after);
    assert_memory_equal(&before, &after, sizeof(before));
    /* What is populated already is handed out all the same. */
    assert_int_equal(image_reserve(image, 100, IMAGE_FRESH, &offset), 0);
    populate_error = 0;
    assert_int_equal(image_reserve(image, 3 * IMAGE_PAGE, IMAGE_FRESH, &offset), 0);
    image_free_all(image);
}

static void test_too_large_is_refused(void **state)
{
    struct image *image = new_image();
    uint64_t offset;

    assert_int_equal(image_reserve(image, SIZE + 1, IMAGE_FRESH, &offset), -ENOSPC);
    assert_int_equal(image_reserve(image, SIZE_MAX, IMAGE_ANY, &offset), -ENOSPC);
    image_free_all(image);
}

static void test_colours_differ_from_those_before(void **state)
{
    struct image *image = new_image();
    uint64_t offset[16];

    for (int i = 0; i < 16; i++) {
        offset[i] = reserve(image, IMAGE_PAGE, IMAGE_FRESH);
        for (int k = i > 8 ? i - 8 : 0; k < i; k++)
            assert_int_not_equal(offset[i] % IMAGE_PAGE, offset[k] % IMAGE_PAGE);
    }
    image_free_all(image);
}

static void test_frozen_image_is_not_written(void **state)
{
    struct image *image = new_image();
    uint64_t offset = reserve(image, 100, IMAGE_FRESH);
    struct image_usage usage;

    memset(image_write(image, offset), 0x90, 100);
    image_commit(image, offset);
    image_freeze(image);
    image_release(image, offset);
    for (int i = 0; i < 100; i++)
        assert_int_equal(memory[offset + i], 0x90);
    image_usage(image, &usage);
    assert_int_equal(usage.used, 0);
    image_free_all(image);
}

/* ---- refreshing ---- */

/* Commit and release all: enough to be worth a refresh. */
static void wear_out(struct image *image)
{
    uint64_t offset = reserve(image, SIZE, IMAGE_ANY);

    image_commit(image, offset);
    image_release(image, offset);
}

static void test_refresh_needs_something_to_gain(void **state)
{
    struct image *image = new_image();
    uint64_t offset;

    assert_false(image_refresh_begin(image));
    offset = reserve(image, SIZE / 4, IMAGE_FRESH);
    image_commit(image, offset);
    image_release(image, offset);
    assert_false(image_refresh_begin(image));
    image_free_all(image);
}

static void test_refresh_makes_fresh(void **state)
{
    struct image *image = new_image();
    uint64_t offset;

    wear_out(image);
    assert_true(image_refresh_begin(image));
    assert_int_equal(image_reserve(image, 1, IMAGE_FRESH, &offset), -ENOSPC);
    image_refresh_end(image);
    assert_int_equal(reserve(image, SIZE, IMAGE_FRESH), 0);
    image_free_all(image);
}

/* What is handed out, or freed, while a refresh is under way was not free all the time. */
static void test_refresh_excludes_what_was_used_meanwhile(void **state)
{
    struct image *image = new_image();
    uint64_t kept, used, aborted, offset;

    wear_out(image);
    kept = reserve(image, IMAGE_PAGE, IMAGE_ANY);
    image_commit(image, kept);
    assert_true(image_refresh_begin(image));
    used = reserve(image, IMAGE_PAGE, IMAGE_ANY);
    aborted = reserve(image, IMAGE_PAGE, IMAGE_ANY);
    image_commit(image, used);
    image_release(image, used);
    image_release(image, kept);
    image_abort(image, aborted);
    image_refresh_end(image);
    while (image_reserve(image, 1, IMAGE_FRESH, &offset) == 0) {
        assert_true(offset < kept || offset >= kept + IMAGE_PAGE);
        assert_true(offset < used || offset >= used + IMAGE_PAGE);
        assert_true(offset < aborted || offset >= aborted + IMAGE_PAGE);
    }
    image_free_all(image);
}

/* ---- random operations against a model ---- */

enum model_state { FREE, RESERVED, COMMITTED };

struct model {
    struct { enum model_state state; bool executed, resting; } granule[GRANULES];
    struct { uint64_t offset; size_t count; bool committed; } range[GRANULES];
    size_t ranges;
    bool refreshing;
};

static bool suits(const struct model *model, size_t i, enum image_bytes kind)
{
    return model->granule[i].state == FREE && (kind == IMAGE_ANY || !model->granule[i].executed);
}

static size_t longest(const struct model *model, enum image_bytes kind)
{
    size_t best = 0, run = 0;

    for (size_t i = 0; i < GRANULES; i++) {
        run = suits(model, i, kind) ? run + 1 : 0;
        best = run > best ? run : best;
    }
    return best;
}

static void model_reserve(struct model *model, struct image *image)
{
    size_t size = (size_t)(1 + rand() % (rand() % 4 ? 1000 : 12000)),
           count = (size + IMAGE_GRANULE - 1) / IMAGE_GRANULE;
    enum image_bytes kind = rand() % 2 ? IMAGE_FRESH : IMAGE_ANY;
    uint64_t offset;
    int r = image_reserve(image, size, kind, &offset);

    assert_int_equal(r, longest(model, kind) >= count ? 0 : -ENOSPC);
    if (r < 0)
        return;
    assert_true(is_poison(offset, count * IMAGE_GRANULE));
    for (size_t i = offset / IMAGE_GRANULE; i < offset / IMAGE_GRANULE + count; i++) {
        assert_true(suits(model, i, kind));
        model->granule[i].state = RESERVED;
        model->granule[i].resting = false;
    }
    memset(image_write(image, offset), 0x90, size);
    model->range[model->ranges].offset = offset;
    model->range[model->ranges].count = count;
    model->range[model->ranges++].committed = false;
}

static void model_end(struct model *model, size_t k)
{
    for (size_t i = 0; i < model->range[k].count; i++)
        model->granule[model->range[k].offset / IMAGE_GRANULE + i].state = FREE;
    model->range[k] = model->range[--model->ranges];
}

static void model_step(struct model *model, struct image *image, size_t k)
{
    uint64_t offset = model->range[k].offset;

    if (model->range[k].committed) {
        image_release(image, offset);
        model_end(model, k);
    } else if (rand() % 3 == 0) {
        image_abort(image, offset);
        model_end(model, k);
    } else {
        image_commit(image, offset);
        model->range[k].committed = true;
        for (size_t i = 0; i < model->range[k].count; i++) {
            model->granule[offset / IMAGE_GRANULE + i].state = COMMITTED;
            model->granule[offset / IMAGE_GRANULE + i].executed = true;
        }
    }
}

static void model_refresh(struct model *model, struct image *image)
{
    bool begin = !model->refreshing;

    if (begin && !image_refresh_begin(image))
        return;
    if (!begin)
        image_refresh_end(image);
    for (size_t i = 0; i < GRANULES; i++) {
        if (begin)
            model->granule[i].resting =
                model->granule[i].state == FREE && model->granule[i].executed;
        else if (model->granule[i].resting)
            model->granule[i].executed = model->granule[i].resting = false;
    }
    model->refreshing = begin;
}

static void check_usage(const struct model *model, const struct image *image)
{
    struct image_usage usage;
    size_t used = 0, fresh = 0;

    for (size_t i = 0; i < GRANULES; i++) {
        used += model->granule[i].state != FREE;
        fresh += suits(model, i, IMAGE_FRESH);
    }
    image_usage(image, &usage);
    assert_int_equal(usage.size, SIZE);
    assert_int_equal(usage.used, used * IMAGE_GRANULE);
    assert_int_equal(usage.fresh, fresh * IMAGE_GRANULE);
    assert_int_equal(usage.largest, longest(model, IMAGE_ANY) * IMAGE_GRANULE);
}

static void test_random_operations(void **state)
{
    static struct model model;
    struct image *image = new_image();
    unsigned refreshes = 0;

    srand(1);
    for (int i = 0; i < 20000; i++) {
        int what = rand() % 100;

        if (what < 2) {
            model_refresh(&model, image);
            refreshes += model.refreshing;
        } else if (what < 52 || model.ranges == 0) {
            model_reserve(&model, image);
        } else {
            model_step(&model, image, (size_t)rand() % model.ranges);
        }
        if (i % 16 == 0)
            check_usage(&model, image);
    }
    assert_true(refreshes > 20);
    image_free_all(image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_are_fresh_once),
        cmocka_unit_test(test_abort_leaves_fresh_bytes_fresh),
        cmocka_unit_test(test_any_prefers_what_is_not_fresh),
        cmocka_unit_test(test_freed_bytes_are_poisoned),
        cmocka_unit_test(test_failed_populate_changes_nothing),
        cmocka_unit_test(test_too_large_is_refused),
        cmocka_unit_test(test_colours_differ_from_those_before),
        cmocka_unit_test(test_frozen_image_is_not_written),
        cmocka_unit_test(test_refresh_needs_something_to_gain),
        cmocka_unit_test(test_refresh_makes_fresh),
        cmocka_unit_test(test_refresh_excludes_what_was_used_meanwhile),
        cmocka_unit_test(test_random_operations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
