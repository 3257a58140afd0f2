/* SPDX-License-Identifier: MIT */
/* arena.h: reservations never overlap, are zero, and come back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "arena.h"
#include "memory.h"

#define TEXT_SIZE ((size_t)1 << 20)

static struct memory *memory;
static struct arena *arena;

static int set_up(void **state)
{
    const char *text;

    assert_int_equal(memory_new(1, TEXT_SIZE, &memory, &text), 0);
    assert_int_equal(arena_new(memory, &arena), 0);
    return 0;
}

static int tear_down(void **state)
{
    arena = arena_free(arena);
    memory = memory_free(memory);
    return 0;
}

static uint64_t reserve(size_t size)
{
    uint64_t offset = ARENA_NONE;

    assert_int_equal(arena_reserve(arena, size, &offset), 0);
    assert_int_equal(offset % ARENA_GRANULE, 0);
    assert_true(offset + size <= DD_ARENA_SIZE);
    return offset;
}

static void test_books(void **state)
{
    uint64_t first = reserve(1), second = reserve(65), third = reserve(64);

    assert_int_equal(arena_used(arena), 64 + 128 + 64);
    assert_int_equal(arena_largest(arena), DD_ARENA_SIZE - 256);
    assert_true(first != second && second != third && first != third);
    arena_release(arena, second);
    assert_int_equal(arena_used(arena), 128);
    assert_int_equal(reserve(128), second);
    arena_release(arena, first);
    arena_release(arena, third);
    arena_release(arena, second);
    assert_int_equal(arena_used(arena), 0);
    assert_int_equal(arena_largest(arena), DD_ARENA_SIZE);
}

/* Whatever was there before, by whomever. */
static void test_is_zero(void **state)
{
    for (int round = 0; round < 3; round++) {
        uint64_t offset = reserve(10000);
        uint8_t *bytes = arena_write(arena, offset);

        for (size_t i = 0; i < 10000; i++)
            assert_int_equal(bytes[i], 0);
        memset((uint8_t *)memory->arena + offset, 0xaa, 20000);
        arena_release(arena, offset);
    }
}

static void test_full(void **state)
{
    uint64_t all = reserve(DD_ARENA_SIZE), offset = 77;

    assert_int_equal(arena_reserve(arena, 1, &offset), -ENOSPC);
    assert_int_equal(offset, 77);
    assert_int_equal(arena_largest(arena), 0);
    arena_release(arena, all);
    assert_int_equal(arena_reserve(arena, (size_t)DD_ARENA_SIZE + 1, &offset), -ENOSPC);
    assert_int_equal(arena_reserve(arena, SIZE_MAX, &offset), -ENOSPC);
    assert_int_equal(arena_used(arena), 0);
}

#define SLOTS 64
#define ROUNDS 20000

/* Against the simplest book: a byte a granule. */
static void test_random(void **state)
{
    static uint8_t taken[DD_ARENA_SIZE / ARENA_GRANULE];
    struct { uint64_t offset; size_t granules; } slot[SLOTS] = { 0 };
    size_t used = 0;

    srandom(1);
    for (int round = 0; round < ROUNDS; round++) {
        size_t i = (size_t)random() % SLOTS, size = 1 + (size_t)random() % (2 << 20);

        if (slot[i].granules) {
            memset(taken + slot[i].offset / ARENA_GRANULE, 0, slot[i].granules);
            arena_release(arena, slot[i].offset);
            used -= slot[i].granules;
            slot[i].granules = 0;
        } else if (arena_reserve(arena, 1 + size / 1000, &slot[i].offset) == 0) {
            slot[i].granules = (1 + size / 1000 + ARENA_GRANULE - 1) / ARENA_GRANULE;
            for (size_t k = 0; k < slot[i].granules; k++)
                assert_int_equal(taken[slot[i].offset / ARENA_GRANULE + k]++, 0);
            used += slot[i].granules;
        }
        assert_int_equal(arena_used(arena), used * ARENA_GRANULE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_books, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_is_zero, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_full, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_random, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
