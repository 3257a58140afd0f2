/* SPDX-License-Identifier: MIT */
/* Perfect hashing: each key a slot of its own, for keys of all kinds, and the same again for the same keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "jitcore/perfect_hash.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_key_has_its_slot),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
