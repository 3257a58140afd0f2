/* SPDX-License-Identifier: MIT */
/*
 * Tristate numbers, exhaustively: all those of 8 bits, alone, and all pairs of those of 5 bits, against their members.
 * 64-bit ones by sample.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "../../jitcore/verifier/tnum.h"

#define BITS 8
#define PAIR_BITS 5
#define ALL ((1u << BITS) - 1)

/* Visit all tnums of this many bits: a mask, and each value that has none of its bits. */
#define FOR_EACH(t, bits)                                                      \
    for (struct tnum t = { 0, 0 }; t.mask < 1u << (bits); t.mask++)            \
        for (t.value = 0; t.value < 1u << (bits); t.value = ((t.value | t.mask) + 1) & ~t.mask)

/* The smallest tnum that holds some numbers, by its definition: a bit is known if they agree on it. */
struct set {
    uint64_t ones, zeros;       /* bits that some number has; that some number has not */
};

static void set_add(struct set *set, uint64_t n)
{
    set->ones |= n;
    set->zeros |= ~n;
}

static void assert_best(struct tnum t, struct set set, uint64_t width)
{
    assert_int_equal(t.mask, set.ones & set.zeros & width);
    assert_int_equal(t.value, set.ones & ~set.zeros & width);
}

static void test_members(void **state)
{
    unsigned count = 0;

    FOR_EACH(t, BITS) {
        struct set set = { 0, 0 };

        for (unsigned n = 0; n <= ALL; n++) {
            assert_int_equal(tnum_contains(t, n), (n & ~t.mask) == t.value);
            if (tnum_contains(t, n))
                set_add(&set, n);
        }
        assert_best(t, set, ALL);
        assert_int_equal(tnum_is_constant(t), t.mask == 0);
        count++;
    }
    assert_int_equal(count, 6561);
}

static void test_ranges(void **state)
{
    for (unsigned first = 0; first <= ALL; first++) {
        struct set set = { 0, 0 };

        for (unsigned last = first; last <= ALL; last++) {
            struct tnum t = tnum_range(first, last);
            uint64_t different = first ^ last;

            set_add(&set, last);
            /* Below the first bit in which the bounds differ all bits vary. */
            while (different & (different + 1))
                different |= different >> 1;
            assert_int_equal(t.mask, different);
            assert_int_equal(t.value, first & ~different);
            assert_int_equal(t.mask & set.ones & set.zeros, set.ones & set.zeros);
        }
    }
}

static void test_bounds(void **state)
{
    FOR_EACH(t, BITS) {
        for (unsigned bound = 0; bound <= ALL + 1; bound++) {
            uint64_t least = UINT64_MAX, greatest = UINT64_MAX, found = 12345;

            for (unsigned n = ALL + 1; n-- > 0;)
                least = tnum_contains(t, n) && n >= bound ? n : least;
            for (unsigned n = 0; n <= ALL; n++)
                greatest = tnum_contains(t, n) && n <= bound ? n : greatest;
            assert_int_equal(tnum_at_least(t, bound, &found), least != UINT64_MAX);
            assert_int_equal(found, least != UINT64_MAX ? least : 12345);
            found = 12345;
            assert_int_equal(tnum_at_most(t, bound, &found), greatest != UINT64_MAX);
            assert_int_equal(found, greatest != UINT64_MAX ? greatest : 12345);
        }
    }
}

static uint64_t swapped(uint64_t n, unsigned bytes, unsigned byte_bits)
{
    uint64_t result = 0;

    for (unsigned bit = 0; bit < bytes * byte_bits; bit++) {
        if (n >> bit & 1)
            result |= UINT64_C(1) << ((bytes - 1 - bit / byte_bits) * byte_bits + bit % byte_bits);
    }
    return result;
}

static void test_one_operand(void **state)
{
    FOR_EACH(t, BITS) {
        for (unsigned amount = 0; amount < BITS; amount++) {
            struct set left = { 0, 0 }, right = left, right_signed = left, low = left, extended = left;
            unsigned bits = amount + 1;

            for (unsigned n = 0; n <= ALL; n++) {
                if (!tnum_contains(t, n))
                    continue;
                set_add(&left, (uint64_t)n << amount);
                set_add(&right, n >> amount);
                set_add(&right_signed, (uint64_t)((int64_t)((uint64_t)n << 56) >> amount));
                set_add(&low, n & (ALL >> (BITS - bits)));
                set_add(&extended, (uint64_t)((int64_t)((uint64_t)n << (64 - bits)) >> (64 - bits)));
            }
            assert_best(tnum_shift_left(t, amount), left, UINT64_MAX);
            assert_best(tnum_shift_right(t, amount), right, UINT64_MAX);
            assert_best(tnum_shift_right_signed(tnum_shift_left(t, 56), amount), right_signed, UINT64_MAX);
            assert_best(tnum_truncate(t, bits), low, UINT64_MAX);
            assert_best(tnum_sign_extend(t, bits), extended, UINT64_MAX);
        }
        for (unsigned bytes = 1; bytes <= BITS; bytes *= 2) {
            for (unsigned byte_bits = 1; bytes * byte_bits <= BITS; byte_bits++) {
                struct set set = { 0, 0 };

                for (unsigned n = 0; n <= ALL; n++) {
                    if (tnum_contains(t, n))
                        set_add(&set, swapped(n, bytes, byte_bits));
                }
                assert_best(tnum_byte_swap(t, bytes, byte_bits), set, UINT64_MAX);
            }
        }
    }
    assert_int_equal(tnum_byte_swap(tnum_constant(0x1234567890abcdef), 8, 8).value, 0xefcdab9078563412);
    assert_int_equal(tnum_byte_swap(tnum_constant(0x1234567890abcdef), 4, 8).value, 0xefcdab90);
}

static void test_sets(void **state)
{
    FOR_EACH(a, PAIR_BITS) {
        FOR_EACH(b, PAIR_BITS) {
            struct set both = { 0, 0 }, either = both;
            bool includes = true, meet = false;
            struct tnum common = { 77, 88 };

            for (unsigned n = 0; n < 1u << PAIR_BITS; n++) {
                bool in_a = tnum_contains(a, n), in_b = tnum_contains(b, n);

                if (in_a && in_b)
                    set_add(&both, n);
                if (in_a || in_b)
                    set_add(&either, n);
                meet = meet || (in_a && in_b);
                includes = includes && (in_a || !in_b);
            }
            assert_int_equal(tnum_includes(a, b), includes);
            assert_best(tnum_union(a, b), either, UINT64_MAX);
            assert_int_equal(tnum_intersect(a, b, &common), meet);
            if (meet)
                assert_best(common, both, UINT64_MAX);
            else
                assert_true(common.value == 77 && common.mask == 88);
            assert_int_equal(tnum_equal(a, b), a.value == b.value && a.mask == b.mask);
        }
    }
}

#define OPERATORS 6

static uint64_t concrete(unsigned operator, uint64_t a, uint64_t b)
{
    switch (operator) {
    case 0: return a + b;
    case 1: return a - b;
    case 2: return a * b;
    case 3: return a & b;
    case 4: return a | b;
    default: return a ^ b;
    }
}

static void test_two_operands(void **state)
{
    static struct tnum (*const operators[OPERATORS])(struct tnum, struct tnum) = {
        tnum_add, tnum_subtract, tnum_multiply, tnum_and, tnum_or, tnum_xor,
    };
    unsigned pairs = 0, best = 0;

    FOR_EACH(a, PAIR_BITS) {
        FOR_EACH(b, PAIR_BITS) {
            struct set set[OPERATORS] = { { 0, 0 } };

            for (unsigned m = 0; m < 1u << PAIR_BITS; m++) {
                for (unsigned n = 0; n < 1u << PAIR_BITS; n++) {
                    for (unsigned i = 0; i < OPERATORS && tnum_contains(a, m) && tnum_contains(b, n); i++)
                        set_add(&set[i], concrete(i, m, n));
                }
            }
            for (unsigned i = 0; i < OPERATORS; i++) {
                struct tnum result = operators[i](a, b), product = tnum_truncate(result, PAIR_BITS);

                if (operators[i] != tnum_multiply) {
                    assert_best(result, set[i], UINT64_MAX);
                    continue;
                }
                /* All products are in it; the known bits are at times fewer than could be. */
                assert_int_equal(set[i].ones & set[i].zeros & ~result.mask, 0);
                assert_int_equal(set[i].ones & ~set[i].zeros & ~result.mask, result.value);
                best += product.mask == (set[i].ones & set[i].zeros & ((1u << PAIR_BITS) - 1));
                pairs++;
            }
        }
    }
    print_message("# products: %u of %u are the best possible\n", best, pairs);
    assert_int_equal(pairs, 59049);
    assert_true(best >= 55974);
}

static void test_64_bits(void **state)
{
    uint64_t random = 88172645463325252u;
    uint64_t found;

    for (unsigned round = 0; round < 100000; round++) {
        uint64_t n[4];

        for (unsigned i = 0; i < 4; i++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            n[i] = random;
        }
        struct tnum a = { n[0] & ~n[1], n[1] }, b = { n[2] & ~n[3], n[3] };
        uint64_t in_a = a.value | (n[2] & a.mask), in_b = b.value | (n[0] & b.mask);

        assert_true(tnum_contains(tnum_add(a, b), in_a + in_b));
        assert_true(tnum_contains(tnum_subtract(a, b), in_a - in_b));
        assert_true(tnum_contains(tnum_multiply(a, b), in_a * in_b));
        assert_true(tnum_at_least(a, in_a, &found) && found == in_a);
        assert_true(tnum_at_most(a, in_a, &found) && found == in_a);
        assert_true(tnum_contains(tnum_range(in_a < in_b ? in_a : in_b, in_a < in_b ? in_b : in_a), in_a));
    }
    assert_false(tnum_at_least(tnum_constant(UINT64_MAX - 1), UINT64_MAX, &found));
    assert_false(tnum_at_most(tnum_constant(1), 0, &found));
    assert_true(tnum_equal(tnum_range(0, UINT64_MAX), TNUM_UNKNOWN));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_members),      cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_bounds),       cmocka_unit_test(test_one_operand),
        cmocka_unit_test(test_sets),         cmocka_unit_test(test_two_operands),
        cmocka_unit_test(test_64_bits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
