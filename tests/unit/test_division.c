/* SPDX-License-Identifier: MIT */
/*
 * Divisions by numbers, most of which are translated without dividing, beside C's: divisors and dividends where
 * reciprocals go wrong.
 */
#include "jit.h"

#include <stdlib.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define RANDOM_DIVIDENDS 50

/* Behind it the register is no copy of another one, which would be read instead. */
#define NO_COPY(reg) INSN(ALU_XOR << 4 | CLASS_ALU64, reg, 0, 0, 0)

/* One of the eight divisions by a number: two operations, signed or not, in two widths. */
struct division {
    unsigned operation;         /* ALU_DIV, ALU_MOD */
    bool is_signed, is_wide;
    int32_t divisor;
};

/* ---- what is right: RFC 9669 section 4.1 ---- */

static uint64_t unsigned_result(const struct division *d, uint64_t dividend, uint64_t divisor)
{
    if (divisor == 0)
        return d->operation == ALU_DIV ? 0 : dividend;
    return d->operation == ALU_DIV ? dividend / divisor : dividend % divisor;
}

/* The smallest number by -1 is itself, remainder 0: what negation gives. */
static int64_t signed_result(const struct division *d, int64_t dividend, int64_t divisor)
{
    if (divisor == 0)
        return d->operation == ALU_DIV ? 0 : dividend;
    if (divisor == -1)
        return d->operation == ALU_DIV ? (int64_t)-(uint64_t)dividend : 0;
    return d->operation == ALU_DIV ? dividend / divisor : dividend % divisor;
}

static uint64_t expected_result(const struct division *d, uint64_t dividend)
{
    if (d->is_signed && d->is_wide)
        return (uint64_t)signed_result(d, (int64_t)dividend, d->divisor);
    if (d->is_signed)
        return (uint32_t)signed_result(d, (int32_t)dividend, d->divisor);
    if (d->is_wide)
        return unsigned_result(d, dividend, (uint64_t)(int64_t)d->divisor);
    return unsigned_result(d, (uint32_t)dividend, (uint32_t)d->divisor);
}

/* ---- programs ---- */

static struct instruction instruction_of(const struct division *d, unsigned reg)
{
    return INSN((uint8_t)(d->operation << 4 | (d->is_wide ? CLASS_ALU64 : CLASS_ALU)), reg, 0, d->is_signed,
                d->divisor);
}

static void check_one(const struct division *d, jit_function *function, uint64_t dividend)
{
    uint64_t result = jit_call(function, (void *)(uintptr_t)dividend, 0), expected = expected_result(d, dividend);

    if (result != expected)
        fail_msg("%#llx %s%s %d in %u bits: %#llx, not %#llx", (unsigned long long)dividend, d->is_signed ? "s" : "",
                 d->operation == ALU_DIV ? "/" : "%", d->divisor, d->is_wide ? 64 : 32, (unsigned long long)result,
                 (unsigned long long)expected);
}

/* Multiples of the divisor and what is beside them, the ends of all ranges, and any numbers. */
static void check_dividends(const struct division *d, jit_function *function)
{
    static const uint64_t ends[] = { 0, INT32_MAX, UINT32_MAX, INT64_MAX, UINT64_MAX, (uint64_t)INT32_MIN,
                                     UINT64_C(1) << 31, UINT64_C(1) << 32, UINT64_C(1) << 63 };
    uint64_t divisor = d->is_wide ? (uint64_t)(int64_t)d->divisor : (uint32_t)d->divisor;
    uint64_t factor = divisor ? divisor : 1;

    for (uint64_t beside = UINT64_MAX; beside + 1 < 3; beside++) {
        for (size_t i = 0; i < COUNT(ends); i++) {
            check_one(d, function, ends[i] + beside);
            check_one(d, function, ends[i] / factor * factor + beside);
            check_one(d, function, (uint32_t)ends[i] / factor * factor + beside);
        }
        check_one(d, function, divisor + beside);
        check_one(d, function, -divisor + beside);
    }
    for (unsigned i = 0; i < RANDOM_DIVIDENDS; i++)
        check_one(d, function, ((uint64_t)rand() << 42 ^ (uint64_t)rand() << 21 ^ (uint64_t)rand()) >> rand() % 64);
}

static void check_program(const struct division *d, const struct instruction *code, uint32_t count)
{
    struct bytecode *bytecode = jit_bytecode(code, count, NULL);

    check_dividends(d, jit_install_unverified(bytecode));
    bytecode_free(bytecode);
}

/* The dividend comes in R1. */
static void check_division(const struct division *d)
{
    const struct instruction code[] = { MOV64_REG(0, 1), instruction_of(d, 0), EXIT() };

    check_program(d, code, COUNT(code));
}

static void check_divisor(int32_t divisor)
{
    for (unsigned kind = 0; kind < 8; kind++)
        check_division(&(struct division){ kind & 1 ? ALU_DIV : ALU_MOD, kind & 2, kind & 4, divisor });
}

/* ---- tests ---- */

static void test_small_divisors(void **state)
{
    for (int32_t divisor = -70; divisor <= 130; divisor++)
        check_divisor(divisor);
}

static void test_divisors_beside_powers_of_two(void **state)
{
    for (unsigned bit = 7; bit < 32; bit++)
        for (uint32_t beside = UINT32_MAX; beside + 1 < 3; beside++)
            check_divisor((int32_t)((UINT32_C(1) << bit) + beside));
}

/* Rounded up and down by little and by much: factors of 2^32 + 1, 2^32 - 1 and 2^64 - 1, years, days, clocks. */
static void test_divisors_at_the_edge(void **state)
{
    static const int32_t divisors[] = { 641, 6700417, 257, 65535, 65537, 1000, 10000, 86400, 3600, 146097, 36524,
                                        1000000, 1000003, 1000000000, 1000000007, 0x55555555, 0x55555556, 0x66666667,
                                        0x7ffffffd, INT32_MIN + 1, INT32_MIN + 3, -641, -1000000007 };

    for (size_t i = 0; i < COUNT(divisors); i++)
        check_divisor(divisors[i]);
    for (unsigned i = 0; i < 50; i++)
        check_divisor((int32_t)((uint32_t)rand() << 1) >> rand() % 28);
}

/* Every register, where all others are dead, and where R0 and R3, which multiplying needs, are read afterwards. */
static void test_registers(void **state)
{
    static const int32_t divisors[] = { 7, 10, -10 };

    for (size_t i = 0; i < COUNT(divisors); i++)
        for (unsigned kind = 0; kind < 8; kind++)
            for (unsigned reg = 0; reg < 10; reg++) {
                struct division d = { kind & 1 ? ALU_DIV : ALU_MOD, kind & 2, kind & 4, divisors[i] };
                unsigned free = reg == 3 ? 0 : 3;
                const struct instruction dead[] = { MOV64_REG(reg, 1), NO_COPY(reg), instruction_of(&d, reg),
                                                    MOV64_REG(0, reg), EXIT() };
                const struct instruction live[] = { MOV64_REG(reg, 1), NO_COPY(reg), MOV64_IMM(free, 77),
                                                    instruction_of(&d, reg), ADD64_REG(reg, free), MOV64_REG(0, reg),
                                                    ADD64_IMM(0, -77), EXIT() };

                check_program(&d, dead, COUNT(dead));
                check_program(&d, live, COUNT(live));
            }
}

/* A dividend that is read afterwards: it is divided where its copy was to be. */
static void test_dividend_is_read_afterwards(void **state)
{
    for (unsigned kind = 0; kind < 8; kind++)
        for (unsigned reg = 2; reg < 10; reg++) {
            struct division d = { kind & 1 ? ALU_DIV : ALU_MOD, kind & 2, kind & 4, 10 };
            const struct instruction code[] = { MOV64_REG(reg, 1), NO_COPY(reg), MOV64_REG(0, reg),
                                                instruction_of(&d, 0), ADD64_REG(0, reg), INSN(0x1f, 0, 1, 0, 0),
                                                EXIT() };

            check_program(&d, code, COUNT(code));
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_divisors),
        cmocka_unit_test(test_divisors_beside_powers_of_two),
        cmocka_unit_test(test_divisors_at_the_edge),
        cmocka_unit_test(test_registers),
        cmocka_unit_test(test_dividend_is_read_afterwards),
    };

    return cmocka_run_group_tests_name("division", tests, NULL, NULL);
}
