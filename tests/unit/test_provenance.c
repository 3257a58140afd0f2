/* SPDX-License-Identifier: MIT */
/* What registers hold, followed through a block. */
#include "jit.h"

#include <string.h>

#include "provenance.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define ALU64_IMM(operation, dst, imm) INSN((uint8_t)((operation) << 4 | 0x07), dst, 0, 0, imm)
#define ALU32_IMM(operation, dst, imm) INSN((uint8_t)((operation) << 4 | 0x04), dst, 0, 0, imm)
#define ALU32(operation, dst, src) INSN((uint8_t)((operation) << 4 | 0x0c), dst, src, 0, 0)

/* What is known behind a block; the verifier says `mark` of all its instructions. */
static struct values follow(const struct instruction *code, uint32_t count, uint8_t mark)
{
    struct bytecode *bytecode = jit_bytecode(code, count, NULL);
    struct verified verified;
    struct values values;

    assert_int_equal(verified_assume(bytecode, &verified), 0);
    values_begin(&values);
    for (uint32_t i = 0; i < count; i += instruction_length(code[i])) {
        verified.mark[i] |= mark;
        values_step(&values, &verified, i);
    }
    verified_clear(&verified);
    bytecode_free(bytecode);
    return values;
}

#define FOLLOW(mark, ...) \
    follow((const struct instruction[]){ __VA_ARGS__ }, COUNT(((const struct instruction[]){ __VA_ARGS__ })), mark)

static bool equal(const struct values *values, unsigned a, unsigned b, int64_t distance)
{
    return values->reg[a].number == values->reg[b].number &&
           values->reg[a].offset - values->reg[b].offset == distance;
}

static void test_sums(void **state)
{
    struct values values;

    values = FOLLOW(0, MOV64_REG(3, 1), ADD64_IMM(3, 5), MOV64_REG(4, 3), ALU64_IMM(ALU_ADD, 4, -7));
    assert_true(equal(&values, 3, 1, 5));
    assert_true(equal(&values, 4, 1, -2));
    assert_false(values.reg[1].number == values.reg[2].number);
    /* the same sum, in another order, with the offset in another place */
    values = FOLLOW(0, MOV64_REG(3, 1), ADD64_REG(3, 2), ADD64_IMM(3, 4), MOV64_REG(4, 2), ADD64_IMM(4, 1),
                    ADD64_REG(4, 1));
    assert_true(equal(&values, 3, 4, 3));
    /* a number added in a register */
    values = FOLLOW(0, INSN(OPCODE_LOAD_64, 3, 0, 0, 16), INSN(0, 0, 0, 0, 0), ADD64_REG(3, 1));
    assert_true(equal(&values, 3, 1, 16));
}

/* 32-bit arithmetic is 64-bit arithmetic only where that is proven, or the upper half is known to be zero. */
static void test_narrow(void **state)
{
    struct values values;

    values = FOLLOW(0, ALU32(ALU_MOV, 3, 2), ALU32_IMM(ALU_ADD, 3, 1));
    assert_false(values.reg[3].number == values.reg[2].number);
    values = FOLLOW(VERIFIED_SOURCE_32, ALU32(ALU_MOV, 3, 2), ALU32_IMM(ALU_ADD, 3, 1));
    assert_false(values.reg[3].number == values.reg[2].number);
    values = FOLLOW(VERIFIED_SOURCE_32 | VERIFIED_NO_WRAP, ALU32(ALU_MOV, 3, 2), ALU32_IMM(ALU_ADD, 3, 1));
    assert_true(equal(&values, 3, 2, 1));
    values = FOLLOW(0, LDX(4, 3, 1, 0), ALU32(ALU_MOV, 4, 3));
    assert_true(equal(&values, 3, 4, 0));
    values = FOLLOW(0, LDX(8, 3, 1, 0), ALU32(ALU_MOV, 4, 3), ALU32(ALU_MOV, 5, 3));
    assert_false(values.reg[3].number == values.reg[4].number);
    assert_true(equal(&values, 4, 5, 0));
}

static void test_upper_zero(void **state)
{
    static const struct {
        struct instruction i;
        bool zero;
    } cases[] = {
        { LDX(1, 3, 1, 0), true }, { LDX(4, 3, 1, 0), true }, { LDX(8, 3, 1, 0), false },
        { INSN(0x91, 3, 1, 0, 0), false }, { ALU32_IMM(ALU_ADD, 3, 1), true }, { ADD64_IMM(3, 1), false },
        { MOV64_IMM(3, 1), true }, { MOV64_IMM(3, -1), false }, { ALU32_IMM(ALU_MOV, 3, -1), true },
        { ALU64_IMM(ALU_AND, 3, 0xff), true }, { ALU64_IMM(ALU_AND, 3, -2), false },
        { ALU64_IMM(ALU_RSH, 3, 32), true }, { ALU64_IMM(ALU_RSH, 3, 31), false },
        { INSN(0xd4, 3, 0, 0, 32), true }, { INSN(0xdc, 3, 0, 0, 64), false }, { INSN(0xdc, 3, 0, 0, 16), true },
        { INSN(0xbf, 3, 4, 8, 0), false }, { INSN(0xbc, 3, 4, 8, 0), true },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct values values = follow(&cases[i].i, 1, 0);

        assert_int_equal(value_upper_zero(&values.reg[3]), cases[i].zero);
    }
}

static void check_bytes(const struct value *value, const char *kinds, const int32_t *offsets)
{
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(value->bytes.kind[i],
                         kinds[i] == '0' ? BYTE_ZERO : kinds[i] == '?' ? BYTE_UNKNOWN : BYTE_LOADED);
        if (kinds[i] == 'm')
            assert_int_equal(value->bytes.offset[i], offsets[i]);
    }
}

static void test_bytes(void **state)
{
    struct values values;

    values = FOLLOW(0, ADD64_IMM(1, 10), LDX(2, 3, 1, 4));
    check_bytes(&values.reg[3], "mm000000", (const int32_t[]){ 14, 15 });
    values = FOLLOW(0, LDX(2, 3, 1, 4), ALU64_IMM(ALU_LSH, 3, 24));
    check_bytes(&values.reg[3], "000mm000", (const int32_t[]){ 0, 0, 0, 4, 5 });
    values = FOLLOW(0, LDX(2, 3, 1, 4), ALU32_IMM(ALU_LSH, 3, 24));
    check_bytes(&values.reg[3], "000m0000", (const int32_t[]){ 0, 0, 0, 4 });
    values = FOLLOW(0, LDX(8, 3, 1, 4), ALU32_IMM(ALU_RSH, 3, 16));
    check_bytes(&values.reg[3], "mm000000", (const int32_t[]){ 6, 7 });
    values = FOLLOW(0, LDX(4, 3, 1, 4), INSN(0xdc, 3, 0, 0, 32));
    check_bytes(&values.reg[3], "mmmm0000", (const int32_t[]){ 7, 6, 5, 4 });
    values = FOLLOW(0, LDX(1, 3, 1, 4), LDX(1, 4, 1, 9), ALU64_IMM(ALU_LSH, 4, 8), ADD64_REG(3, 4));
    check_bytes(&values.reg[3], "mm000000", (const int32_t[]){ 4, 9 });
    assert_int_equal(values.reg[3].bytes.first, 0);
    assert_int_equal(values.reg[3].bytes.last, 1);
    values = FOLLOW(0, LDX(4, 3, 1, 4), ALU64_IMM(ALU_AND, 3, 0xff00), ALU64_IMM(ALU_LSH, 3, 4));
    check_bytes(&values.reg[3], "????????", NULL);
    /* both have a byte there */
    values = FOLLOW(0, LDX(2, 3, 1, 4), LDX(1, 4, 1, 9), ALU64_IMM(ALU_LSH, 4, 8), ADD64_REG(3, 4));
    check_bytes(&values.reg[3], "????????", NULL);
    /* something was stored in between; another base */
    values = FOLLOW(0, LDX(1, 3, 1, 4), ST(1, 2, 0, 0), LDX(1, 4, 1, 5), ALU64_IMM(ALU_LSH, 4, 8), ADD64_REG(3, 4));
    check_bytes(&values.reg[3], "????????", NULL);
    values = FOLLOW(0, LDX(1, 3, 1, 4), LDX(1, 4, 2, 5), ALU64_IMM(ALU_LSH, 4, 8), ADD64_REG(3, 4));
    check_bytes(&values.reg[3], "????????", NULL);
}

/* What is written in other ways is not known. */
static void test_forgotten(void **state)
{
    struct values values;

    values = FOLLOW(0, MOV64_REG(3, 1), MOV64_REG(6, 1), MOV64_IMM(0, 1), CALL(0));
    assert_true(equal(&values, 6, 6, 0));
    assert_false(values.reg[3].number == values.reg[6].number);
    assert_false(value_upper_zero(&values.reg[0]));
    values = FOLLOW(0, MOV64_IMM(0, 1), MOV64_IMM(4, 1), INSN(0xdb, 1, 4, 0, ATOMIC_COMPARE_EXCHANGE));
    assert_false(value_upper_zero(&values.reg[0]));
    assert_true(value_upper_zero(&values.reg[4]));
    values = FOLLOW(0, MOV64_IMM(4, 1), INSN(0xdb, 1, 4, 0, ATOMIC_EXCHANGE));
    assert_false(value_upper_zero(&values.reg[4]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sums),
        cmocka_unit_test(test_narrow),
        cmocka_unit_test(test_upper_zero),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_forgotten),
    };

    return cmocka_run_group_tests_name("provenance", tests, NULL, NULL);
}
