/* SPDX-License-Identifier: MIT */
/* Decision trees and slots, executed through two mappings at once, against a plain search. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "jitcore/entry.h"
#include "text.h"

#define TARGETS 64
#define DEFAULT_VERDICT 0xfffffffeu
#define TEXT_SIZE (1 << 20)

static struct text text;
static uint64_t target[TARGETS];        /* code that returns its index + 1 */

static uint64_t place(const struct dispatcher_case *cases, size_t count, uint32_t verdict,
                      size_t *ret_size)
{
    struct emitter emitter;
    uint64_t offset;

    emitter_init(&emitter, NULL, 0, 0);
    architecture_native()->emit_tree(&emitter, cases, count, verdict);
    assert_int_equal(emitter.error, 0);
    *ret_size = emitter.size;
    assert_int_equal(image_reserve(text.image, *ret_size, IMAGE_ANY, &offset), 0);
    emitter_init(&emitter, image_write(text.image, offset), *ret_size, offset);
    architecture_native()->emit_tree(&emitter, cases, count, verdict);
    assert_int_equal(emitter.error, 0);
    assert_int_equal(emitter.size, *ret_size);
    image_commit(text.image, offset);
    return offset;
}

static int setup(void **state)
{
    size_t size;

    if (text_new(TEXT_SIZE, &text) < 0)
        return -1;
    for (uint32_t i = 0; i < TARGETS; i++)
        target[i] = place(NULL, 0, i + 1, &size);
    return 0;
}

static int teardown(void **state)
{
    text_done(&text);
    return 0;
}

static int compare_keys(const void *a, const void *b)
{
    uint32_t first = ((const struct dispatcher_case *)a)->key,
             second = ((const struct dispatcher_case *)b)->key;

    return (first > second) - (first < second);
}

static uint32_t find(const struct dispatcher_case *cases, size_t count, uint32_t key,
                     uint32_t verdict)
{
    for (size_t low = 0, high = count; low < high;) {
        size_t middle = (low + high) / 2;

        if (cases[middle].key == key) {
            for (uint32_t i = 0; i < TARGETS; i++)
                if (target[i] == cases[middle].target)
                    return i + 1;
        } else if (cases[middle].key < key) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return verdict;
}

/* Each key, its neighbours, and the ends. */
static void check_tree(struct dispatcher_case *cases, size_t count, uint32_t verdict)
{
    size_t size;
    uint64_t tree = place(cases, count, verdict, &size);

    for (int mapping = 0; mapping < 2; mapping++) {
        for (size_t i = 0; i < count; i++)
            for (uint32_t k = cases[i].key - 1, n = 0; n < 3; k++, n++)
                assert_int_equal(text_call(&text, mapping, tree, NULL, k),
                                 find(cases, count, k, verdict));
        assert_int_equal(text_call(&text, mapping, tree, NULL, 0), find(cases, count, 0, verdict));
        assert_int_equal(text_call(&text, mapping, tree, NULL, UINT32_MAX),
                         find(cases, count, UINT32_MAX, verdict));
        assert_int_equal(text_call(&text, mapping, tree, NULL, INT32_MAX),
                         find(cases, count, INT32_MAX, verdict));
    }
    image_release(text.image, tree);
}

/*
 * Up to `count` distinct keys of one kind: close together, small, spread over all, or at the ends.
 */
static size_t random_cases(struct dispatcher_case *cases, size_t count, int kind)
{
    static const uint32_t ends[] = { 0,          1,          126,        127,
                                     128,        129,        0x7ffffffe, 0x7fffffff,
                                     0x80000000, 0x80000001, 0xffffff7e, 0xffffff7f,
                                     0xffffff80, 0xffffff81, 0xfffffffe, 0xffffffff };
    uint32_t base = (uint32_t)rand() * 2654435761u;
    size_t distinct = 0;

    for (size_t i = 0; i < count; i++) {
        uint32_t random = (uint32_t)rand() << 17 ^ (uint32_t)rand();

        cases[i].key = kind == 0   ? base + (uint32_t)i
                       : kind == 1 ? random % 300
                       : kind == 2 ? random
                                   : ends[random % 16];
        cases[i].target = target[random / 16 % TARGETS];
    }
    qsort(cases, count, sizeof(*cases), compare_keys);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || cases[i].key != cases[distinct - 1].key)
            cases[distinct++] = cases[i];
    return distinct;
}

static void test_trees_find_their_keys(void **state)
{
    static struct dispatcher_case cases[5000];
    static const size_t sizes[] = { 100, 127, 128, 129, 255, 1000, 2047, 4096, 5000 };

    srand(1);
    for (size_t count = 0; count <= 70; count++)
        for (int kind = 0; kind < 4; kind++)
            check_tree(cases, random_cases(cases, count, kind), count % 2 ? DEFAULT_VERDICT : 0);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        for (int kind = 0; kind < 3; kind++)
            check_tree(cases, random_cases(cases, sizes[i], kind), DEFAULT_VERDICT);
}

/* A filter takes one key away from the code behind it and no other, for short keys and long ones. */
static void test_filters_chain(void **state)
{
    static const uint32_t keys[] = { 0, 1, 127, 128, 0x7fffffff, 0x80000000, 0xffffff80, 0xffffffff };
    static const uint32_t verdicts[] = { 0, DEFAULT_VERDICT };
    struct emitter emitter;
    uint64_t filter, next;

    for (size_t v = 0; v < 2; v++) {
        next = target[5];
        for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
            assert_int_equal(image_reserve(text.image, IMAGE_GRANULE, IMAGE_ANY, &filter), 0);
            emitter_init(&emitter, image_write(text.image, filter), IMAGE_GRANULE, filter);
            architecture_native()->emit_filter(&emitter, keys[i], verdicts[v], next);
            assert_int_equal(emitter.error, 0);
            next = filter;
            for (int mapping = 0; mapping < 2; mapping++)
                for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++)
                    for (uint32_t key = keys[k] - 1, n = 0; n < 3; key++, n++) {
                        bool filtered = false;

                        for (size_t j = 0; j <= i; j++)
                            filtered |= keys[j] == key;
                        assert_int_equal(text_call(&text, mapping, filter, NULL, key),
                                         filtered ? verdicts[v] : 6);
                    }
        }
    }
}

static void test_64_keys_fit_the_home(void **state)
{
    struct dispatcher_case cases[64];
    struct emitter emitter;

    for (uint32_t i = 0; i < 64; i++)
        cases[i] = (struct dispatcher_case){ .key = 0x10000000u + i * 1000, .target = target[i] };
    emitter_init(&emitter, NULL, 0, 0);
    architecture_native()->emit_tree(&emitter, cases, 64, DEFAULT_VERDICT);
    print_message("# 64 keys take %zu bytes\n", emitter.size);
    assert_true(emitter.size <= ENTRY_HOME_SIZE);
}

static void test_slot_leads_on(void **state)
{
    const struct architecture *architecture = architecture_native();
    struct emitter emitter;
    uint64_t entry, slot;
    uint64_t *quadword;

    assert_int_equal(image_reserve(text.image, IMAGE_GRANULE, IMAGE_FRESH, &entry), 0);
    slot = entry + 8;
    emitter_init(&emitter, image_write(text.image, entry), IMAGE_GRANULE, entry);
    architecture->emit_landing(&emitter);
    assert_int_equal(emitter_position(&emitter), slot);
    emit_64(&emitter, architecture->slot_fall_through());
    architecture->emit_tree(&emitter, NULL, 0, 77);
    assert_int_equal(emitter.error, 0);
    quadword = image_write(text.image, slot);
    for (int mapping = 0; mapping < 2; mapping++) {
        *quadword = architecture->slot_fall_through();
        assert_int_equal(text_call(&text, mapping, entry, NULL, 0), 77);
        for (uint32_t i = 0; i < TARGETS; i++) {
            *quadword = architecture->slot_jump(slot, target[i]);
            assert_int_equal(text_call(&text, mapping, entry, NULL, 0), i + 1);
        }
    }
    image_abort(text.image, entry);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trees_find_their_keys),
        cmocka_unit_test(test_filters_chain),
        cmocka_unit_test(test_64_keys_fit_the_home),
        cmocka_unit_test(test_slot_leads_on),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
