/* SPDX-License-Identifier: MIT */
/*
 * Perfect hashing: each key a slot of its own, for keys of all kinds, and the same again for the same keys; and what
 * becomes of keys that no function parts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "jitcore/entry.h"
#include "jitcore/perfect_hash.h"
#include "text.h"

#define KEYS_MAX 100000
#define KINDS 5

static uint32_t key[KEYS_MAX];
static unsigned char taken[4 * KEYS_MAX];

static int compare_keys(const void *a, const void *b)
{
    uint32_t first = *(const uint32_t *)a, second = *(const uint32_t *)b;

    return (first > second) - (first < second);
}

/* In a row; in steps; in their high bits only; blocks of addresses; any. */
static uint32_t make_key(int kind, uint32_t i)
{
    switch (kind) {
    case 0:
        return i;
    case 1:
        return 7 * i + 3;
    case 2:
        return i << 15;
    case 3:
        return i / 256 << 24 | i % 256 << 8;
    default:
        return (uint32_t)rand() << 17 ^ (uint32_t)rand();
    }
}

static size_t make_keys(int kind, size_t count)
{
    size_t distinct = 0;

    for (size_t i = 0; i < count; i++)
        key[i] = make_key(kind, (uint32_t)i);
    qsort(key, count, sizeof(*key), compare_keys);
    for (size_t i = 0; i < count; i++)
        if (distinct == 0 || key[i] != key[distinct - 1])
            key[distinct++] = key[i];
    return distinct;
}

static void check(int kind, size_t wanted)
{
    size_t count = make_keys(kind, wanted), slots;
    struct perfect_hash hash, again;

    assert_int_equal(perfect_hash_new(key, count, &hash), 0);
    slots = (size_t)1 << hash.bits;
    assert_true(slots >= 2 * count || count == 1);
    assert_true(hash.bucket_bits == 0 || slots <= 4 * count);
    memset(taken, 0, sizeof(taken));
    for (size_t i = 0; i < count; i++) {
        uint32_t slot = perfect_hash_slot(&hash, key[i]);

        assert_true(slot < slots);
        assert_false(taken[slot]);
        taken[slot] = 1;
    }
    assert_int_equal(perfect_hash_new(key, count, &again), 0);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(perfect_hash_slot(&hash, key[i]), perfect_hash_slot(&again, key[i]));
    perfect_hash_done(&hash);
    perfect_hash_done(&again);
}

static void test_each_key_has_its_slot(void **state)
{
    static const size_t sizes[] = { 100, 128, 300, 511, 513, 1024, 4095, 4097, 10000, KEYS_MAX };

    srand(1);
    for (int kind = 0; kind < KINDS; kind++) {
        for (size_t count = 1; count <= 70; count++)
            check(kind, count);
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
            check(kind, sizes[i]);
    }
}

/* ---- keys that were chosen to share slots ---- */

#define CHOSEN 5000             /* over what one multiplier is tried for */
#define SLOT_BITS 14
#define BUCKET_BITS 12
#define TRIES 32
#define PAIRS 3                 /* for each try */

/* As perfect_hash.c has it: the keys below are chosen for its multipliers, and the test says if they are not any more. */
static uint32_t next_multiplier(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state | 1;
}

/* The number whose product with an odd one is 1. */
static uint32_t inverse(uint32_t odd)
{
    uint32_t found = odd;

    for (int i = 0; i < 5; i++)
        found *= 2 - odd * found;
    return found;
}

/* Two keys of the same slot and bucket: products that differ in their low bits only. */
static size_t add_pair(size_t count, uint32_t multiplier, uint32_t bucket_multiplier)
{
    uint32_t first = (uint32_t)rand() << 17 ^ (uint32_t)rand(), second;

    for (uint32_t low = 1; low < 1u << (32 - SLOT_BITS); low++) {
        second = first + low * inverse(multiplier);
        if ((first * multiplier ^ second * multiplier) >> (32 - SLOT_BITS) == 0 &&
            (first * bucket_multiplier ^ second * bucket_multiplier) >> (32 - BUCKET_BITS) == 0) {
            key[count] = first;
            key[count + 1] = second;
            return count + 2;
        }
    }
    return count;
}

static size_t choose_keys(void)
{
    size_t count = 0, distinct = 0;
    uint32_t state = 2;

    for (int i = 0; i < TRIES; i++) {
        uint32_t multiplier = next_multiplier(&state), bucket_multiplier = next_multiplier(&state);

        for (size_t end = count + 2 * PAIRS; count < end;)
            count = add_pair(count, multiplier, bucket_multiplier);
    }
    for (; count < CHOSEN; count++)
        key[count] = (uint32_t)rand() << 17 ^ (uint32_t)rand();
    qsort(key, count, sizeof(*key), compare_keys);
    for (size_t i = 0; i < count; i++)
        if (distinct == 0 || key[i] != key[distinct - 1])
            key[distinct++] = key[i];
    return distinct;
}

/* The pairs of one try at least, and not many more, are left out; all others have slots of their own. */
static void test_keys_that_share_a_slot_are_left(void **state)
{
    size_t count, slots, left = 0;
    struct perfect_hash hash;

    srand(1);
    count = choose_keys();
    assert_int_equal(perfect_hash_new(key, count, &hash), 0);
    assert_int_equal(hash.bits, SLOT_BITS);
    assert_int_equal(hash.bucket_bits, BUCKET_BITS);
    assert_in_range(hash.lefts, 2, 16 * PAIRS);
    memset(taken, 0, sizeof(taken));
    slots = (size_t)1 << hash.bits;
    for (size_t i = 0; i < count; i++) {
        uint32_t slot = perfect_hash_slot(&hash, key[i]);

        assert_true(slot < slots);
        if (perfect_hash_left(&hash, key[i])) {
            left++;
            continue;
        }
        assert_false(taken[slot]);
        taken[slot] = 1;
    }
    assert_int_equal(left, hash.lefts);
    perfect_hash_done(&hash);
}

/* A table of them is a hash for all that, and each key runs its own target, also when it is edited. */
static void test_a_table_of_such_keys_is_a_hash(void **state)
{
    static struct dispatcher_case cases[CHOSEN];
    static struct dispatcher_target target[8];
    struct dispatcher dispatcher = { .cases = cases, .plan.shape = DISPATCHER_HASH };
    struct entry_change *change;
    struct entry *entry;
    struct text text;

    srand(1);
    assert_int_equal(text_new(4 << 20, &text), 0);
    assert_int_equal(text_make_targets(&text, target, 8), 0);
    dispatcher.count = choose_keys();
    for (size_t i = 0; i < dispatcher.count; i++)
        cases[i] = (struct dispatcher_case){ key[i], key[i], &target[i % 7], 1, 0 };
    assert_int_equal(entry_new(text.image, 0, &entry), 0);
    assert_int_equal(entry_start(entry, &dispatcher), 0);
    assert_int_equal(entry_shape(entry), DISPATCHER_HASH);
    for (size_t i = 0; i < dispatcher.count; i++)
        assert_int_equal(text_call(&text, 0, entry_offset(entry), NULL, key[i]), 1 + i % 7);
    for (size_t i = 0; i < dispatcher.count; i++) {
        cases[i].target = &target[7];
        assert_int_equal(entry_prepare_edit(entry, &cases[i], 1, &change), 0);
        assert_int_equal(entry_change_commit(change), 0);
        entry_change_release(change);
        assert_int_equal(text_call(&text, 0, entry_offset(entry), NULL, key[i]), 8);
        if (image_refresh_begin(text.image))
            image_refresh_end(text.image);
    }
    entry_free(entry);
    text_done(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_key_has_its_slot),
        cmocka_unit_test(test_keys_that_share_a_slot_are_left),
        cmocka_unit_test(test_a_table_of_such_keys_is_a_hash),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
