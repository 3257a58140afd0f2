/* SPDX-License-Identifier: MIT */
/*
 * The verifier's numbers at their width of 64 bits: examples that people can check, among them what other verifiers got
 * wrong, and long chains of random operations beside the same ones on a number.  test_scalar_exhaustive.c tries
 * everything, at small widths.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../jitcore/semantics.h"
#include "../../jitcore/verifier/scalar.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Operands in the examples: "unknown", "u8" to "u64" (loaded), "A..B" signed, "A". */
static struct scalar parse(const char *text)
{
    long long first, last;
    unsigned bits;

    if (strcmp(text, "unknown") == 0)
        return scalar_unknown();
    if (sscanf(text, "u%u", &bits) == 1)
        return scalar_loaded(bits / 8);
    if (sscanf(text, "%lli..%lli", &first, &last) == 2)
        return scalar_signed_range(first, last);
    return scalar_constant(strtoull(text, NULL, 0));
}

static void assert_format(const struct scalar *scalar, const char *expected)
{
    char text[SCALAR_FORMAT_SIZE];

    assert_string_equal(scalar_format(scalar, text), expected);
}

static void test_arithmetic(void **state)
{
    static const struct {
        const char *a;
        enum instruction_arithmetic operation;
        unsigned bits;
        bool is_signed;
        const char *b, *result;
    } cases[] = {
        { "u8", ALU_ADD, 64, false, "12", "12..267" },
        { "u8", ALU_SUB, 64, false, "12", "-12..243" },
        { "u8", ALU_SUB, 32, false, "12", "0..4294967295, low half -12..243" },
        { "u8", ALU_MUL, 64, false, "12", "0..3060, bits 0x3 are 0x0" },
        { "-3..5", ALU_MUL, 64, false, "-2..7", "-21..35" },
        { "u64", ALU_DIV, 64, false, "1000", "0..0x4189374bc6a7ef" },
        { "u64", ALU_MOD, 64, false, "12", "0..11" },
        { "100..105", ALU_MOD, 64, false, "12", "4..9" },
        { "unknown", ALU_MOD, 64, true, "-12", "-11..11" },
        { "-100..-10", ALU_DIV, 64, true, "3..5", "-33..-2" },
        { "unknown", ALU_AND, 64, false, "12", "0..12, bits 0x3 are 0x0" },
        { "-8..8", ALU_AND, 64, false, "-4", "-8..8, bits 0x3 are 0x0" },
        { "u16", ALU_RSH, 64, false, "8", "0..255" },
        { "unknown", ALU_RSH, 64, false, "56", "0..255" },
        { "unknown", ALU_ARSH, 64, false, "60", "-8..7" },
        { "unknown", ALU_RSH, 32, false, "24", "0..255" },
        { "u32", ALU_ARSH, 32, false, "28", "0..4294967295, low half -8..7" },
        { "1", ALU_LSH, 64, false, "0..4", "1..16" },
        { "1", ALU_LSH, 32, false, "33", "2" },
        { "1", ALU_LSH, 64, false, "65", "2" },
        { "7", ALU_DIV, 64, false, "0", "0" },
        { "7", ALU_MOD, 64, false, "0", "7" },
        { "0x1ffffffff", ALU_MOD, 32, false, "0", "4294967295" },
        { "0x8000000000000000", ALU_DIV, 64, true, "-1", "-0x8000000000000000" },
        { "0x8000000000000000", ALU_MOD, 64, true, "-1", "0" },
        { "5", ALU_NEG, 64, false, "0", "-5" },
        { "5", ALU_NEG, 32, false, "0", "4294967291" },
        { "0", ALU_MOV, 32, false, "-1", "4294967295" },
        { "0", ALU_MOV, 64, false, "-1..1", "-1..1" },
        /* Without a bound: 64-bit arithmetic that wraps. */
        { "1..0x7fffffffffffffff", ALU_ADD, 64, false, "1", "2..0x8000000000000000" },
        { "0..0x7fffffffffffffff", ALU_MUL, 64, false, "4",
          "-0x8000000000000000..0x7ffffffffffffffc, bits 0x3 are 0x0" },
        /* The 32-bit bounds of and, or, xor are not those of 64 bits (CVE-2021-3490). */
        { "0x100000000", ALU_OR, 32, false, "unknown", "0..4294967295" },
        { "0x1ffffffff", ALU_XOR, 32, false, "0xffffffff", "0" },
        /* A 32-bit shift of what may have upper bits (CVE-2018-18445). */
        { "0xf00000000", ALU_RSH, 32, false, "4", "0" },
        { "unknown", ALU_RSH, 32, false, "31", "0..1" },
        /* The immediate -1 moved to 32 bits is not -1 (CVE-2017-16995). */
        { "-1", ALU_ADD, 32, false, "0", "4294967295" },
    };

    for (unsigned i = 0; i < COUNT(cases); i++) {
        struct scalar a = parse(cases[i].a), b = parse(cases[i].b);
        struct scalar result = scalar_arithmetic(cases[i].operation, cases[i].bits == 64, cases[i].is_signed,
                                                 &a, &b);

        print_message("# %s, operation 0x%x, %s\n", cases[i].a, cases[i].operation, cases[i].b);
        assert_format(&result, cases[i].result);
    }
}

static void test_refinement(void **state)
{
    static const struct {
        const char *a;
        enum instruction_jump operation;
        unsigned bits;
        bool taken;
        const char *b, *refined_a, *refined_b;      /* NULL: impossible */
    } cases[] = {
        { "unknown", JUMP_EQ, 64, true, "7", "7", "7" },
        { "unknown", JUMP_LT, 64, true, "10", "0..9", "10" },
        { "unknown", JUMP_LT, 64, false, "10", "10..0xffffffffffffffff", "10" },
        { "unknown", JUMP_SGT, 64, true, "-1", "0..0x7fffffffffffffff", "-1" },
        { "unknown", JUMP_SET, 64, false, "-4", "0..3", "-4" },
        { "unknown", JUMP_SET, 64, true, "0x8000000000000000", "-0x8000000000000000..-1", "-0x8000000000000000" },
        { "u8", JUMP_GT, 64, true, "u8", "1..255", "0..254" },
        { "u8", JUMP_LE, 64, true, "3..5", "0..5", "3..5" },
        { "0..7", JUMP_NE, 64, true, "7", "0..6", "7" },
        { "0..7", JUMP_NE, 64, false, "9", NULL, NULL },
        { "0..7", JUMP_GT, 64, true, "7", NULL, NULL },
        { "-5..-1", JUMP_SLT, 64, false, "0", NULL, NULL },
        { "-5..-1", JUMP_LT, 64, true, "100", NULL, NULL },
        { "4..7", JUMP_SET, 64, false, "4", NULL, NULL },
        { "unknown", JUMP_LT, 64, true, "0", NULL, NULL },
        { "unknown", JUMP_SGT, 64, true, "0x7fffffffffffffff", NULL, NULL },
        /* A 32-bit comparison tells nothing of the upper half (CVE-2020-8835). */
        { "unknown", JUMP_LT, 32, true, "10", "-0x8000000000000000..0x7fffffff00000009, low half 0..9", "10" },
        { "u32", JUMP_LT, 32, true, "10", "0..9", "10" },
        { "unknown", JUMP_EQ, 32, true, "7", "-0x7ffffffffffffff9..0x7fffffff00000007, low half 7", "7" },
        /* Nor does a bound of 64 bits hold for the lower half, if the upper may vary (CVE-2021-31440). */
        { "unknown", JUMP_SGE, 64, true, "1", "1..0x7fffffffffffffff", "1" },
        /* Two 32-bit numbers: -1 is 0xffffffff. */
        { "u32", JUMP_EQ, 32, true, "-1", "4294967295", "-1" },
        { "u32", JUMP_SLT, 32, true, "0", "2147483648..4294967295", "0" },
    };

    for (unsigned i = 0; i < COUNT(cases); i++) {
        struct scalar a = parse(cases[i].a), b = parse(cases[i].b);
        bool possible = scalar_refine(cases[i].operation, cases[i].bits == 64, cases[i].taken, &a, &b);

        print_message("# %s, operation 0x%x, %s\n", cases[i].a, cases[i].operation, cases[i].b);
        assert_int_equal(possible, cases[i].refined_a != NULL);
        if (possible) {
            assert_format(&a, cases[i].refined_a);
            assert_format(&b, cases[i].refined_b);
        }
    }
}

/* What compilers make of an extension for processors without 32-bit instructions. */
static void test_shift_pairs(void **state)
{
    struct scalar thirty_two = scalar_constant(32), limit = scalar_constant(100), number = scalar_unknown(), raised;

    assert_true(scalar_refine(JUMP_SLT, false, true, &number, &limit));
    limit = scalar_constant((uint64_t)-100);
    assert_true(scalar_refine(JUMP_SGT, false, true, &number, &limit));
    assert_format(&number, "low half -99..99");
    raised = scalar_arithmetic(ALU_LSH, true, false, &number, &thirty_two);
    number = scalar_arithmetic(ALU_ARSH, true, false, &raised, &thirty_two);
    assert_format(&number, "-99..99");

    number = scalar_loaded(4);
    raised = scalar_arithmetic(ALU_LSH, true, false, &number, &thirty_two);
    number = scalar_arithmetic(ALU_RSH, true, false, &raised, &thirty_two);
    assert_format(&number, "0..4294967295");
}

static void test_bytes(void **state)
{
    struct scalar number = scalar_constant(0x8182838485868788), byte = scalar_loaded(1), result;

    result = scalar_zero_extend(&number, 2);
    assert_format(&result, "34696");
    result = scalar_sign_extend(&number, 1);
    assert_format(&result, "-120");
    result = scalar_sign_extend(&number, 4);
    assert_format(&result, "-2054781048");
    result = scalar_byte_swap(&number, 8);
    assert_format(&result, "-0x7778797a7b7c7d7f");
    result = scalar_byte_swap(&number, 2);
    assert_format(&result, "34951");
    result = scalar_byte_swap(&byte, 2);
    assert_format(&result, "0..65280, bits 0xff are 0x0");
    result = scalar_sign_extend(&byte, 1);
    assert_format(&result, "-128..127");
    result = scalar_sign_extend(&byte, 2);
    assert_format(&result, "0..255");
    assert_true(scalar_is_32(&byte));
    assert_false(scalar_is_32(&number));
}

/* ---- chains of random operations ---- */

#define REGISTERS 4

static uint64_t random_state = 88172645463325252u;

static uint64_t random_number(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

/* Small, near a power of two, or anything. */
static uint64_t interesting_number(void)
{
    uint64_t random = random_number(), near = UINT64_C(1) << (random >> 8 & 63);

    switch (random & 3) {
    case 0: return random >> 60;
    case 1: return near + (random >> 16 & 3) - 1;
    case 2: return -(random >> 58);
    default: return random_number();
    }
}

struct pair {
    struct scalar scalar;
    uint64_t number;            /* one that is in it */
};

static struct pair random_pair(void)
{
    uint64_t a = interesting_number(), b = interesting_number();
    struct pair pair = { .number = a };

    switch (random_number() & 3) {
    case 0: pair.scalar = scalar_constant(a); break;
    case 1: pair.scalar = a < b ? scalar_unsigned_range(a, b) : scalar_unsigned_range(b, a); break;
    case 2:
        pair.scalar = (int64_t)a < (int64_t)b ? scalar_signed_range((int64_t)a, (int64_t)b)
                                              : scalar_signed_range((int64_t)b, (int64_t)a);
        break;
    default: pair.scalar = scalar_unknown();
    }
    return pair;
}

/* One operation on a register and another; the number by semantics.h. */
static void operate(struct pair *a, const struct pair *b)
{
    static const uint8_t operations[] = {
        ALU_ADD, ALU_SUB, ALU_MUL, ALU_DIV, ALU_OR, ALU_AND, ALU_LSH, ALU_RSH, ALU_NEG, ALU_MOD, ALU_XOR, ALU_ARSH,
        ALU_MOV,
    };
    uint64_t random = random_number();
    uint8_t operation = operations[random % COUNT(operations)];
    bool is_64 = random >> 8 & 1, is_signed = (operation == ALU_DIV || operation == ALU_MOD) && (random >> 9 & 1);
    uint8_t source = operation == ALU_NEG ? 0 : 8;
    struct instruction i = {
        .opcode = (uint8_t)(operation << 4 | source | (is_64 ? CLASS_ALU64 : CLASS_ALU)), .offset = is_signed,
    };

    a->scalar = scalar_arithmetic(operation, is_64, is_signed, &a->scalar, &b->scalar);
    a->number = semantics_arithmetic(i, a->number, b->number);
}

static void extend(struct pair *a)
{
    unsigned bytes = 1u << (random_number() % 4), bits = 8 * bytes;

    if (random_number() & 1) {
        a->scalar = scalar_sign_extend(&a->scalar, bytes);
        a->number = semantics_sign_extend(a->number, bits);
    } else if (random_number() & 1 || bytes == 1) {
        a->scalar = scalar_zero_extend(&a->scalar, bytes);
        a->number &= UINT64_MAX >> (64 - bits);
    } else {
        a->scalar = scalar_byte_swap(&a->scalar, bytes);
        a->number = __builtin_bswap64(a->number) >> (64 - bits);
    }
}

/* Refine two registers by how a jump goes for their numbers. */
static void compare(struct pair *a, struct pair *b)
{
    static const uint8_t operations[] = {
        JUMP_EQ, JUMP_NE, JUMP_SET, JUMP_GT, JUMP_GE, JUMP_LT, JUMP_LE, JUMP_SGT, JUMP_SGE, JUMP_SLT, JUMP_SLE,
    };
    uint64_t random = random_number();
    uint8_t operation = operations[random % COUNT(operations)];
    bool is_64 = random >> 8 & 1;
    struct instruction i = { .opcode = (uint8_t)(operation << 4 | 8 | (is_64 ? CLASS_JMP : CLASS_JMP32)) };

    assert_true(scalar_refine(operation, is_64, semantics_condition(i, a->number, b->number), &a->scalar, &b->scalar));
}

static void test_chains(void **state)
{
    struct pair pairs[REGISTERS] = { random_pair(), random_pair(), random_pair(), random_pair() };
    unsigned constants = 0, rounds = 300000;

    for (unsigned round = 0; round < rounds; round++) {
        uint64_t random = random_number();
        struct pair *a = &pairs[random % REGISTERS], *b = &pairs[(random + 1 + (random >> 8) % 3) % REGISTERS];

        switch (random >> 16 & 7) {
        case 0: case 1: case 2: operate(a, b); break;
        case 3: case 4: compare(a, b); break;
        case 5: extend(a); break;
        default: *a = random_pair();
        }
        if (!scalar_contains(&a->scalar, a->number) || !scalar_contains(&b->scalar, b->number))
            print_message("# round %u\n", round);
        assert_true(scalar_contains(&a->scalar, a->number));
        assert_true(scalar_contains(&b->scalar, b->number));
        constants += scalar_is_constant(&a->scalar);
    }
    print_message("# %u of %u results are constants\n", constants, rounds);
    assert_true(constants < rounds / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arithmetic), cmocka_unit_test(test_refinement), cmocka_unit_test(test_shift_pairs),
        cmocka_unit_test(test_bytes),      cmocka_unit_test(test_chains),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
