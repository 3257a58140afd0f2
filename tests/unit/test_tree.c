/* SPDX-License-Identifier: MIT */
/* Decision trees, filters and slots, executed through two mappings at once, against a plain search. */
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

static uint64_t place(const struct branch *cases, size_t count, uint32_t verdict,
                      size_t *ret_size)
{
    struct fallback fallback = { .verdict = verdict };
    struct emitter emitter;
    uint64_t offset;

    emitter_init(&emitter, NULL, 0, 0);
    architecture_native()->emit_tree(&emitter, cases, count, &fallback);
    assert_int_equal(emitter.error, 0);
    *ret_size = emitter.size;
    assert_int_equal(image_reserve(text.image, *ret_size, IMAGE_ANY, &offset), 0);
    emitter_init(&emitter, image_write(text.image, offset), *ret_size, offset);
    architecture_native()->emit_tree(&emitter, cases, count, &fallback);
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

/* Comparisons that a call with `key` makes until it goes to `to`: the tree's own instructions, one by one. */
static unsigned jumps_before(uint64_t at, uint64_t to, uint32_t key)
{
    const uint8_t *code = image_write(text.image, at);
    unsigned comparisons = 0;

    for (;;) {
        uint32_t number = 0;
        int32_t distance = 0;
        bool taken;

        assert_int_equal(code[1], 0xfe);                        /* cmp esi, number */
        memcpy(&number, code + 2, 4);
        number = code[0] == 0x83 ? (uint32_t)(int8_t)code[2] : number;
        code += code[0] == 0x83 ? 3 : 6;
        comparisons++;
        if (code[0] == 0x77) {                                  /* ja, short */
            distance = (int8_t)code[1];
            code += 2;
            taken = key > number;
        } else {                                                /* ja, je */
            memcpy(&distance, code + 2, 4);
            taken = code[1] == 0x87 ? key > number : key == number;
            code += 6;
        }
        if (!taken)
            continue;
        code += distance;
        if ((uint64_t)(code - (const uint8_t *)text.write) == to)
            return comparisons;
    }
}

static int compare_firsts(const void *a, const void *b)
{
    uint32_t first = ((const struct branch *)a)->first,
             second = ((const struct branch *)b)->first;

    return (first > second) - (first < second);
}

static uint32_t find(const struct branch *cases, size_t count, uint32_t key, uint32_t verdict)
{
    for (size_t low = 0, high = count; low < high;) {
        size_t middle = (low + high) / 2;

        if (cases[middle].first <= key && key <= cases[middle].last) {
            for (uint32_t i = 0; i < TARGETS; i++)
                if ((int64_t)target[i] == cases[middle].code)
                    return i + 1;
        } else if (cases[middle].last < key) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return verdict;
}

/* Each key, its neighbours, and the ends. */
static void check_tree(struct branch *cases, size_t count, uint32_t verdict)
{
    size_t size;
    uint64_t tree = place(cases, count, verdict, &size);

    for (int mapping = 0; mapping < 2; mapping++) {
        for (size_t i = 0; i < count; i++)
            for (uint32_t n = 0; n < 6; n++) {
                uint32_t key = (n < 3 ? cases[i].first : cases[i].last) + n % 3 - 1;

                assert_int_equal(text_call(&text, mapping, tree, NULL, key), find(cases, count, key, verdict));
            }
        assert_int_equal(text_call(&text, mapping, tree, NULL, 0), find(cases, count, 0, verdict));
        assert_int_equal(text_call(&text, mapping, tree, NULL, UINT32_MAX),
                         find(cases, count, UINT32_MAX, verdict));
        assert_int_equal(text_call(&text, mapping, tree, NULL, INT32_MAX),
                         find(cases, count, INT32_MAX, verdict));
    }
    image_release(text.image, tree);
}

/*
 * Up to `count` distinct keys of one kind: close together, small, spread over all, or at the ends; of any weight, and
 * where `ranges`, some of them ranges up to the next key.
 */
static size_t random_cases(struct branch *cases, size_t count, int kind, bool ranges)
{
    static const uint32_t ends[] = { 0,          1,          126,        127,
                                     128,        129,        0x7ffffffe, 0x7fffffff,
                                     0x80000000, 0x80000001, 0xffffff7e, 0xffffff7f,
                                     0xffffff80, 0xffffff81, 0xfffffffe, 0xffffffff };
    uint32_t base = (uint32_t)rand() * 2654435761u;
    size_t distinct = 0;

    for (size_t i = 0; i < count; i++) {
        uint32_t random = (uint32_t)rand() << 17 ^ (uint32_t)rand();

        cases[i].first = kind == 0   ? base + (uint32_t)i
                       : kind == 1 ? random % 300
                       : kind == 2 ? random
                                   : ends[random % 16];
        cases[i].code = (int64_t)target[random / 16 % TARGETS];
        cases[i].weight = random % 3 == 0 ? 0 : random % 3 == 1 ? random % 50 : random;
    }
    qsort(cases, count, sizeof(*cases), compare_firsts);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || cases[i].first != cases[distinct - 1].first)
            cases[distinct++] = cases[i];
    for (size_t i = 0; i < distinct; i++) {
        uint32_t next = i + 1 < distinct ? cases[i + 1].first - 1 : UINT32_MAX;

        cases[i].last = ranges && rand() % 2 ? cases[i].first + (next - cases[i].first) / (1 + (uint32_t)rand() % 2)
                                             : cases[i].first;
    }
    return distinct;
}

static void test_trees_find_their_keys(void **state)
{
    static struct branch cases[5000];
    static const size_t sizes[] = { 100, 127, 128, 129, 255, 1000, 2047, 4096, 5000 };

    srand(1);
    for (size_t count = 0; count <= 70; count++)
        for (int kind = 0; kind < 8; kind++)
            check_tree(cases, random_cases(cases, count, kind / 2, kind % 2), count % 2 ? DEFAULT_VERDICT : 0);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        for (int kind = 0; kind < 6; kind++)
            check_tree(cases, random_cases(cases, sizes[i], kind / 2, kind % 2), DEFAULT_VERDICT);
}

/* All keys in one range, alone. */
static void test_a_range_may_be_all_keys(void **state)
{
    struct branch all = { 0, UINT32_MAX, 0, (int64_t)target[7] };
    struct emitter emitter;
    uint64_t filter;

    check_tree(&all, 1, DEFAULT_VERDICT);
    assert_int_equal(image_reserve(text.image, IMAGE_GRANULE, IMAGE_ANY, &filter), 0);
    emitter_init(&emitter, image_write(text.image, filter), IMAGE_GRANULE, filter);
    architecture_native()->emit_filter(&emitter, 0, UINT32_MAX, &(struct fallback){ .verdict = 5 }, target[7]);
    assert_int_equal(text_call(&text, 0, filter, NULL, 0), 5);
    assert_int_equal(text_call(&text, 0, filter, NULL, UINT32_MAX), 5);
}

/* A key that is almost all of the weight is found by the fewest comparisons; others are not lost in the depth. */
static void test_weights_decide_the_depth(void **state)
{
    static struct branch cases[1024];
    uint64_t tree;
    size_t size;

    for (uint32_t i = 0; i < 1024; i++)
        cases[i] = (struct branch){ 0x10000000u + i * 1000, 0x10000000u + i * 1000, 0, (int64_t)target[i % TARGETS] };
    tree = place(cases, 1024, DEFAULT_VERDICT, &size);
    assert_in_range(jumps_before(tree, target[700 % TARGETS], cases[700].first), 9, 12);
    cases[700].weight = 1000000;
    check_tree(cases, 1024, DEFAULT_VERDICT);
    tree = place(cases, 1024, DEFAULT_VERDICT, &size);
    assert_int_equal(jumps_before(tree, target[700 % TARGETS], cases[700].first), 1);
    for (uint32_t i = 0; i < 1024; i++)
        assert_in_range(jumps_before(tree, target[i % TARGETS], cases[i].first), 1, 16);
}

/* ---- the depth ---- */

enum mix { MIX_EVEN, MIX_HALVING, MIX_DOUBLING, MIX_SCATTERED, MIX_THIRDS, MIX_THIRDS_BACK, MIX_RANDOM, MIX_POWERS, MIXES };

/*
 * The worst that we know: the last two thirds weigh nothing, and as much as one heavy branch before them, which weighs as
 * much as all before it, of which the same holds.  To be rid of two thirds takes two cuts, each time.
 */
static void weigh_thirds(struct branch *cases, size_t count, bool back)
{
    uint32_t heavy = 1u << 31;

    for (size_t i = 0; i < count; i++)
        cases[i].weight = 0;
    for (size_t end = count; end > 2; heavy /= 3) {
        end -= (2 * end + 2) / 3;
        if (end > 0)
            cases[back ? count - end : end - 1].weight = heavy;
    }
}

/* Twice as heavy as the next in the order of the keys, or back, or scattered; or any. */
static uint32_t mix_weight(enum mix mix, size_t i, size_t count)
{
    size_t place = mix == MIX_DOUBLING ? count - 1 - i : mix == MIX_SCATTERED ? i * 7 % count : i;

    switch (mix) {
    case MIX_HALVING:
    case MIX_DOUBLING:
    case MIX_SCATTERED:
        return place < 32 ? 1u << (31 - place) : 0;
    case MIX_RANDOM:
        return (uint32_t)rand();
    case MIX_POWERS:
        return UINT32_MAX >> rand() % 32;
    default:
        return 1;
    }
}

static unsigned log2_up(size_t count)
{
    unsigned bits = 0;

    while ((size_t)1 << bits < count)
        bits++;
    return bits;
}

/* doc/shapes.md, "A stale plan", relies on it. */
static void test_no_weights_make_a_tree_deep(void **state)
{
    static const size_t counts[] = { 5, 8, 9, 16, 17, 31, 64, 100, 1000, 4096 };
    static struct branch cases[4096];
    unsigned comparisons, most;
    uint64_t tree;
    size_t size;

    srand(2);
    for (size_t n = 0; n < sizeof(counts) / sizeof(counts[0]); n++)
        for (enum mix mix = 0; mix < MIXES; mix++) {
            for (size_t i = 0; i < counts[n]; i++)
                cases[i] = (struct branch){ 0x10000000u + (uint32_t)i, 0x10000000u + (uint32_t)i,
                                            mix_weight(mix, i, counts[n]), (int64_t)target[i % TARGETS] };
            if (mix == MIX_THIRDS || mix == MIX_THIRDS_BACK)
                weigh_thirds(cases, counts[n], mix == MIX_THIRDS_BACK);
            tree = place(cases, counts[n], DEFAULT_VERDICT, &size);
            most = 0;
            for (size_t i = 0; i < counts[n]; i++) {
                comparisons = jumps_before(tree, target[i % TARGETS], cases[i].first);
                most = comparisons > most ? comparisons : most;
            }
            assert_in_range(most, 1, log2_up(counts[n]) + 7);
            image_release(text.image, tree);
        }
}

/* A filter takes one key away from the code behind it and no other, for short keys and long ones. */
static void test_filters_chain(void **state)
{
    static const uint32_t keys[] = { 0, 1, 127, 128, 0x7fffffff, 0x80000000, 0xffffff80, 0xffffffff };
    static const uint64_t verdicts[] = { 0, DEFAULT_VERDICT, UINT64_MAX, UINT64_C(0x123456789abcdef0) };
    struct emitter emitter;
    uint64_t filter, next;

    for (size_t v = 0; v < sizeof(verdicts) / sizeof(verdicts[0]); v++) {
        next = target[5];
        for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
            assert_int_equal(image_reserve(text.image, IMAGE_GRANULE, IMAGE_ANY, &filter), 0);
            emitter_init(&emitter, image_write(text.image, filter), IMAGE_GRANULE, filter);
            architecture_native()->emit_filter(&emitter, keys[i], keys[i],
                                               &(struct fallback){ .verdict = verdicts[v] }, next);
            assert_int_equal(emitter.error, 0);
            assert_in_range(emitter.size, 1, FILTER_SIZE);
            next = filter;
            for (int mapping = 0; mapping < 2; mapping++)
                for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++)
                    for (uint32_t key = keys[k] - 1, n = 0; n < 3; key++, n++) {
                        bool filtered = false;

                        for (size_t j = 0; j <= i; j++)
                            filtered |= keys[j] == key;
                        assert_int_equal(text_call(&text, mapping, filter, NULL, key),
                                         filtered ? (uint32_t)verdicts[v] : 6);
                    }
        }
    }
}

static void test_64_keys_fit_the_home(void **state)
{
    struct branch cases[64];
    struct emitter emitter;

    for (uint32_t i = 0; i < 64; i++)
        cases[i] = (struct branch){ 0x10000000u + i * 1000, 0x10000000u + i * 1000, 0, (int64_t)target[i] };
    emitter_init(&emitter, NULL, 0, 0);
    architecture_native()->emit_tree(&emitter, cases, 64, &(struct fallback){ .verdict = DEFAULT_VERDICT });
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
    architecture->emit_tree(&emitter, NULL, 0, &(struct fallback){ .verdict = 77 });
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
        cmocka_unit_test(test_a_range_may_be_all_keys),
        cmocka_unit_test(test_weights_decide_the_depth),
        cmocka_unit_test(test_no_weights_make_a_tree_deep),
        cmocka_unit_test(test_filters_chain),
        cmocka_unit_test(test_64_keys_fit_the_home),
        cmocka_unit_test(test_slot_leads_on),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
