/* SPDX-License-Identifier: MIT */
/* Which registers are live: what instructions read and write, and how that goes through jumps. */
#include "jit.h"

#include <stdlib.h>

#include "liveness.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define R(n) (1u << (n))

static void test_reads_and_writes(void **state)
{
    static const struct {
        struct instruction i;
        uint16_t reads, writes;
    } cases[] = {
        { ADD64_REG(3, 4), R(3) | R(4), R(3) },
        { ADD64_IMM(3, 4), R(3), R(3) },
        { MOV64_REG(3, 4), R(4), R(3) },
        { MOV64_IMM(3, 4), 0, R(3) },
        { INSN(0x87, 3, 0, 0, 0), R(3), R(3) },                         /* neg */
        { INSN(0xdc, 3, 0, 0, 16), R(3), R(3) },                        /* be: no source, though the bit is set */
        { INSN(OPCODE_LOAD_64, 3, 1, 0, 2), 0, R(3) },
        { LDX(4, 3, 10, -4), R(10), R(3) },
        { ST(4, 3, 0, 1), R(3), 0 },
        { STX(4, 3, 4, 0), R(3) | R(4), 0 },
        { INSN(0xdb, 3, 4, 0, ATOMIC_ADD), R(3) | R(4), 0 },
        { INSN(0xdb, 3, 4, 0, ATOMIC_ADD | ATOMIC_FETCH), R(3) | R(4), R(4) },
        { INSN(0xdb, 3, 4, 0, ATOMIC_EXCHANGE), R(3) | R(4), R(4) },
        { INSN(0xc3, 3, 4, 0, ATOMIC_COMPARE_EXCHANGE), R(0) | R(3) | R(4), R(0) },
        { JA(1), 0, 0 },
        { INSN(OPCODE_JUMP_32, 0, 0, 0, 1), 0, 0 },
        { JEQ_IMM(3, 1, 1), R(3), 0 },
        { INSN(0x1e, 3, 4, 1, 0), R(3) | R(4), 0 },
        { CALL(1), 0x3e, 0x3f },
        { INSN(OPCODE_CALL, 0, CALL_HELPER, 0, 1), 0x3e, 0x3f },
        { EXIT(), R(0), 0 },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(liveness_reads(cases[i].i), cases[i].reads);
        assert_int_equal(liveness_writes(cases[i].i), cases[i].writes);
    }
}

static void check(const struct instruction *code, uint32_t count, const uint16_t *expected)
{
    struct bytecode *bytecode = jit_bytecode(code, count, NULL);
    uint16_t before[32], after[32];

    assert_true(count <= COUNT(after));
    assert_int_equal(liveness_of_program(bytecode, before, after), 0);
    for (uint32_t i = 0; i < count; i++)
        if (after[i] != expected[i])
            fail_msg("behind instruction %u: %#x, not %#x", i, after[i], expected[i]);
    assert_int_equal(before[count - 1], R(0));
    assert_int_equal(before[0], (after[0] & ~liveness_writes(code[0])) | liveness_reads(code[0]));
    bytecode_free(bytecode);
}

static void test_straight(void **state)
{
    const struct instruction code[] = {
        INSN(OPCODE_LOAD_64, 3, 0, 0, 1), INSN(0, 0, 0, 0, 0), MOV64_REG(4, 3), ADD64_REG(4, 1), MOV64_REG(0, 4),
        EXIT(),
    };
    const uint16_t expected[] = { R(1) | R(3), R(1) | R(3), R(1) | R(4), R(4), R(0), 0 };

    check(code, COUNT(code), expected);
}

/* Either way leads on: what one of them reads is live before both. */
static void test_branch(void **state)
{
    const struct instruction code[] = {
        MOV64_IMM(0, 0), JEQ_IMM(1, 0, 2), MOV64_REG(0, 2), EXIT(), MOV64_REG(0, 3), EXIT(),
    };
    const uint16_t expected[] = { R(1) | R(2) | R(3), R(2) | R(3), R(0), 0, R(0), 0 };

    check(code, COUNT(code), expected);
}

/* What a loop reads at its beginning is live at its end, and so is what is read behind it. */
static void test_loop(void **state)
{
    const struct instruction code[] = {
        MOV64_IMM(0, 0), MOV64_IMM(6, 9), ADD64_REG(0, 7), MOV64_REG(5, 0), ADD64_IMM(6, -1), INSN(0x55, 6, 0, -4, 0),
        ADD64_REG(0, 8), EXIT(),
    };
    const uint16_t loop = R(0) | R(6) | R(7) | R(8);
    const uint16_t expected[] = { R(0) | R(7) | R(8), loop, loop, loop, loop, R(0) | R(6) | R(7) | R(8), R(0), 0 };

    check(code, COUNT(code), expected);
}

/* Jumps back to what jumps back further: more than one pass is needed. */
static void test_ladder(void **state)
{
    const struct instruction code[] = {
        JA(4), MOV64_REG(0, 9), EXIT(), JEQ_IMM(1, 0, -3), JA(-3), JEQ_IMM(2, 0, -3), JA(-2), EXIT(),
    };
    const uint16_t all = R(0) | R(1) | R(2) | R(9);
    const uint16_t expected[] = { all, R(0), 0, R(0) | R(9), R(0), all, all, 0 };

    check(code, COUNT(code), expected);
}

/* Each jump leads to one that was looked at before it, or will be long after: passes over all would take a minute. */
static void test_zigzag(void **state)
{
    const uint32_t count = BYTECODE_INSTRUCTIONS_MAX;
    struct instruction *code = calloc(count, sizeof(*code));
    uint16_t *before = calloc(count, sizeof(*before)), *behind = calloc(count, sizeof(*behind));
    struct bytecode *bytecode;

    assert_true(code && before && behind);
    jit_zigzag(code, count - 2);
    code[count - 2] = MOV64_REG(0, 7);
    code[count - 1] = EXIT();
    bytecode = jit_bytecode(code, count, NULL);
    assert_int_equal(liveness_of_program(bytecode, before, behind), 0);
    for (uint32_t at = 0; at + 1 < count; at++)
        assert_int_equal(before[at], R(7));
    bytecode_free(bytecode);
    free(code);
    free(before);
    free(behind);
}

/* What functions read is their own. */
static void test_functions(void **state)
{
    const struct instruction code[] = { CALL(1), EXIT(), MOV64_REG(0, 6), EXIT() };
    const uint32_t counts[] = { 2, 2, 0 };
    struct bytecode *bytecode = jit_bytecode(code, COUNT(code), counts);
    uint16_t before[COUNT(code)], behind[COUNT(code)];

    assert_int_equal(liveness_of_program(bytecode, before, behind), 0);
    assert_int_equal(before[0], 0x3e);
    assert_int_equal(behind[1], 0);
    assert_int_equal(before[2], R(6));
    bytecode_free(bytecode);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_and_writes),
        cmocka_unit_test(test_straight),
        cmocka_unit_test(test_branch),
        cmocka_unit_test(test_loop),
        cmocka_unit_test(test_ladder),
        cmocka_unit_test(test_zigzag),
        cmocka_unit_test(test_functions),
    };

    return cmocka_run_group_tests_name("liveness", tests, NULL, NULL);
}
