/* SPDX-License-Identifier: MIT */
/* The verifier's memory: pieces that are apart, used again, and all given back. */
#include <setjmp.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../jitcore/verifier/pool.h"

#define PIECES 2000
#define ROUNDS 200000

struct piece {
    unsigned char *memory;
    size_t size;
    unsigned char mark;
};

static void take(struct pool *pool, struct piece *piece, unsigned seed)
{
    piece->size = 8 + (size_t)rand() % (seed % 50 ? 3000 : POOL_PIECE_MAX - 8);
    piece->mark = (unsigned char)seed;
    piece->memory = pool_take(pool, piece->size);
    assert_non_null(piece->memory);
    assert_int_equal((uintptr_t)piece->memory % alignof(max_align_t), 0);
    memset(piece->memory, piece->mark, piece->size);
}

static void give_back(struct pool *pool, struct piece *piece)
{
    for (size_t i = 0; i < piece->size; i++)
        assert_int_equal(piece->memory[i], piece->mark);
    pool_give_back(pool, piece->memory, piece->size);
    piece->memory = NULL;
}

/* At random, of all sizes: no piece is written through another one. */
static void test_apart(void **state)
{
    static struct piece pieces[PIECES];
    struct pool pool = { 0 };

    srand(1);
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct piece *piece = &pieces[rand() % PIECES];

        if (piece->memory)
            give_back(&pool, piece);
        else
            take(&pool, piece, round);
    }
    for (unsigned i = 0; i < PIECES; i++)
        if (pieces[i].memory)
            give_back(&pool, &pieces[i]);
    pool_clear(&pool);
    assert_int_equal(pool.bytes, 0);
}

/* The last one given back is the first one taken; other sizes have others. */
static void test_used_again(void **state)
{
    struct pool pool = { 0 };
    void *a = pool_take(&pool, 1000), *b = pool_take(&pool, 1000), *other;
    size_t bytes = pool.bytes;

    assert_int_equal(bytes, 2 * 1024);
    pool_give_back(&pool, a, 1000);
    pool_give_back(&pool, b, 1000);
    pool_give_back(&pool, NULL, 1000);
    other = pool_take(&pool, 2000);
    assert_true(other != a && other != b);
    assert_int_equal(pool.bytes, bytes + 2048);
    assert_ptr_equal(pool_take(&pool, 1024), b);
    assert_ptr_equal(pool_take(&pool, 897), a);
    assert_int_equal(pool.bytes, bytes + 2048);
    pool_clear(&pool);
}

/* The biggest ones, over many chunks. */
static void test_chunks(void **state)
{
    struct pool pool = { 0 };

    for (unsigned i = 0; i < 400; i++) {
        char *piece = pool_take(&pool, POOL_PIECE_MAX);

        assert_non_null(piece);
        memset(piece, 0x55, POOL_PIECE_MAX);
    }
    assert_int_equal(pool.bytes, 400ul * POOL_PIECE_MAX);
    pool_clear(&pool);
    assert_null(pool.chunk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_apart),
        cmocka_unit_test(test_used_again),
        cmocka_unit_test(test_chunks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
