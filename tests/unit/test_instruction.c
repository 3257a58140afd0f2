/* SPDX-License-Identifier: MIT */
/* The table of instructions: what is refused, and in which words.  (The public vectors are in test_conformance.c.) */
#include "jit.h"

#include <errno.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- single instructions ---- */

static int check(struct instruction i, struct jit_error *error)
{
    *error = (struct jit_error){ 0 };
    return instruction_check(i, NULL, "f", 3, error);
}

static void test_refusals(void **state)
{
    static const struct { struct instruction i; int r; const char *rule, *text; } cases[] = {
        { INSN(0xff, 0, 0, 0, 0), -EINVAL, "instruction", "opcode 0xff" },
        { INSN(0x0f, 11, 0, 0, 0), -EINVAL, "instruction", "destination field (11) names" },
        { INSN(0x0f, 0, 15, 0, 0), -EINVAL, "instruction", "source field (15) names a register" },
        { INSN(0x0f, 10, 1, 0, 0), -EINVAL, "instruction", "R10, which is read-only" },
        { INSN(0x79, 10, 1, 0, 0), -EINVAL, "instruction", "R10, which is read-only" },
        { INSN(0xdc, 0, 0, 0, 24), -EINVAL, "instruction", "immediate field (24)" },
        { INSN(0x3f, 0, 1, 2, 0), -EINVAL, "instruction", "offset field (2)" },
        { INSN(0xbc, 0, 1, 32, 0), -EINVAL, "instruction", "offset field (32)" },
        { INSN(0x85, 0, 3, 0, 0), -EINVAL, "instruction", "source field (3)" },
        { INSN(0x18, 0, 0, 0, 0), -EINVAL, "instruction", "second half is missing" },
        { INSN(0xdb, 1, 2, 0, 0x77), -EINVAL, "instruction", "immediate field (119)" },
        { INSN(0xdb, 1, 2, 0, 0xe0), -EINVAL, "instruction", "immediate field (224)" },
        { INSN(0xdb, 1, 10, 0, 1), -EINVAL, "instruction", "R10, which is read-only" },
        { INSN(0xc3, 1, 10, 0, 0xe1), -EINVAL, "instruction", "R10, which is read-only" },
        { INSN(0xd3, 1, 2, 0, 0), -EINVAL, "instruction", "opcode 0xd3" },
        { INSN(0x8d, 2, 0, 0, 0), -EOPNOTSUPP, "unsupported", "callx: calls through a register" },
        { INSN(0x8d, 0, 0, 0, 2), -EOPNOTSUPP, "unsupported", "callx: calls through a register" },   /* clang 14, 16 */
        { INSN(0x8d, 0, 2, 0, 0), -EOPNOTSUPP, "unsupported", "callx: calls through a register" },
        { INSN(0x30, 0, 0, 0, 0), -EOPNOTSUPP, "unsupported", "ldabsb: loads of the legacy packet group" },
        { INSN(0x50, 0, 1, 0, 0), -EOPNOTSUPP, "unsupported", "ldindb: loads of the legacy packet group" },
        { INSN(0x85, 0, 3, 0, 1234), -EINVAL, "instruction", "source" },
    };
    struct jit_error error;

    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(check(cases[i].i, &error), cases[i].r);
        assert_string_equal(error.rule, cases[i].rule);
        assert_string_equal(error.function, "f");
        assert_int_equal(error.instruction, 3);
        if (!strstr(error.text, cases[i].text))
            fail_msg("\"%s\" does not say \"%s\"", error.text, cases[i].text);
    }
}

/* Calls of helpers are calls through a register where a program was compiled without -O2. */
static void test_hint(void **state)
{
    struct jit_error error;

    assert_int_equal(check(INSN(0x8d, 0, 0, 0, 2), &error), -EOPNOTSUPP);
    assert_non_null(strstr(error.hint, "-O2"));
}

static void test_wide_load(void **state)
{
    const struct instruction half = INSN(0, 0, 0, 0, 6), none = INSN(0, 0, 0, 0, 0);
    const struct instruction wrong[] = { INSN(1, 0, 0, 0, 6), INSN(0, 1, 0, 0, 6),
                                         INSN(0, 0, 1, 0, 6), INSN(0, 0, 0, 1, 6) };
    struct jit_error error;

    for (uint8_t kind = 0; kind < 7; kind++) {
        const struct instruction load = INSN(0x18, 1, kind, 0, 5);
        bool number = kind == WIDE_NUMBER || kind == WIDE_MAP_VALUE, index = kind == WIDE_MAP || kind == WIDE_FUNCTION;

        assert_int_equal(instruction_check(load, &none, "f", 0, &error), number || index ? 0 : -EOPNOTSUPP);
        assert_int_equal(instruction_check(load, &half, "f", 0, &error), number ? 0 : index ? -EINVAL : -EOPNOTSUPP);
    }
    for (size_t i = 0; i < COUNT(wrong); i++)
        assert_int_equal(instruction_check(INSN(0x18, 1, 0, 0, 5), &wrong[i], "f", 0, &error), -EINVAL);
}

/* So many opcodes has RFC 9669, and so many are refused: callx, and six of the group packet. */
static void test_opcodes(void **state)
{
    const struct instruction half = INSN(0, 0, 0, 0, 0);
    unsigned accepted = 0, refused = 0;

    for (unsigned opcode = 0; opcode < 256; opcode++) {
        struct jit_error error = { 0 };
        bool swap = opcode == 0xd4 || opcode == 0xdc || opcode == 0xd7;
        int r = instruction_check(INSN((uint8_t)opcode, 0, 0, 0, swap ? 16 : 0), &half, "f", 0, &error);

        accepted += r == 0;
        refused += r == -EOPNOTSUPP;
        assert_true(r == 0 || error.rule);
        assert_int_equal(r == -EINVAL, strcmp(instruction_name(INSN((uint8_t)opcode, 0, 0, 0, 0)), "unknown") == 0);
    }
    assert_int_equal(accepted, 11 * 4 + 2 + 4 + 3 + 11 * 4 + 4 + 4 * 3 + 3 + 1 + 2);
    assert_int_equal(refused, 7);
}

/* Ten operations, each with 4 and 8 bytes; nothing else. */
static void test_atomics(void **state)
{
    unsigned accepted = 0;

    for (int32_t operation = -256; operation < 512; operation++)
        accepted += instruction_check(INSN(0xdb, 1, 2, -8, operation), NULL, "f", 0, NULL) == 0 &&
                    instruction_check(INSN(0xc3, 1, 2, -8, operation), NULL, "f", 0, NULL) == 0;
    assert_int_equal(accepted, 10);
    assert_int_equal(instruction_check(INSN(0xdb, 1, 10, 0, ATOMIC_COMPARE_EXCHANGE), NULL, "f", 0, NULL), 0);
}

/* ---- how they are written ---- */

static void test_format(void **state)
{
    static const struct { struct instruction i; const char *text; } cases[] = {
        { INSN(0x07, 3, 0, 0, 1), "r3 += 1" },
        { INSN(0x0f, 5, 4, 0, 0), "r5 += r4" },
        { INSN(0xb4, 0, 0, 0, 0), "w0 = 0" },
        { INSN(0xbc, 0, 1, 0, 0), "w0 = w1" },
        { INSN(0xbc, 0, 1, 8, 0), "w0 = (s8)w1" },
        { INSN(0xbf, 0, 1, 32, 0), "r0 = (s32)r1" },
        { INSN(0x97, 2, 0, 0, 7), "r2 %= 7" },
        { INSN(0x3c, 2, 3, 1, 0), "w2 s/= w3" },
        { INSN(0xc7, 2, 0, 0, 63), "r2 s>>= 63" },
        { INSN(0x84, 2, 0, 0, 0), "w2 = -w2" },
        { INSN(0xdc, 2, 0, 0, 16), "r2 = be16 r2" },
        { INSN(0x61, 2, 10, -8, 0), "r2 = *(u32 *)(r10 - 8)" },
        { INSN(0x91, 2, 1, 4, 0), "r2 = *(s8 *)(r1 + 4)" },
        { INSN(0x7a, 10, 0, INT16_MIN, -5), "*(u64 *)(r10 - 32768) = -5" },
        { INSN(0x6b, 10, 3, -2, 0), "*(u16 *)(r10 - 2) = r3" },
        { INSN(0x2d, 3, 8, 2, 0), "if r3 > r8 goto +2" },
        { INSN(0xc6, 3, 0, -3, 9), "if w3 s< 9 goto -3" },
        { INSN(0x05, 0, 0, 5, 0), "goto +5" },
        { INSN(0x06, 0, 0, 0, -70000), "gotol -70000" },
        { INSN(0x85, 0, 0, 0, 1), "call 1" },
        { INSN(0x8d, 2, 0, 0, 0), "callx r2" },
        { INSN(0x95, 0, 0, 0, 0), "exit" },
        { INSN(0x18, 2, 0, 0, -1), "r2 = 0x7ffffffff ll" },
        { INSN(0xdb, 1, 2, -8, 0x40), "lock *(u64 *)(r1 - 8) |= r2" },
        { INSN(0xc3, 1, 2, 0, 0x01), "r2 = atomic_fetch_add((u32 *)(r1 + 0), r2)" },
        { INSN(0xdb, 1, 2, 0, 0xf1), "r0 = cmpxchg((u64 *)(r1 + 0), r0, r2)" },
        { INSN(0xff, 1, 2, 0, 0), "unknown 0xff" },
        { INSN(0xdb, 1, 2, 0, 0x77), "unknown 0xdb" },
    };
    char buffer[INSTRUCTION_FORMAT_SIZE], name[2 * INSTRUCTION_FORMAT_SIZE];

    for (size_t i = 0; i < COUNT(cases); i++)
        assert_string_equal(instruction_format(cases[i].i, 7, NULL, buffer), cases[i].text);
    assert_string_equal(instruction_format(INSN(0x85, 0, 0, 0, 1), 0, "bpf_f", buffer), "call bpf_f");
    assert_string_equal(instruction_format(INSN(0x18, 1, 1, 0, 1), 0, "m", buffer), "r1 = m ll");
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    assert_int_equal(strlen(instruction_format(INSN(0x85, 0, 0, 0, 1), 0, name, buffer)), sizeof(buffer) - 1);
}

/* Each opcode of the table has a form of its own: none is written as another one. */
static void test_forms(void **state)
{
    char text[256][INSTRUCTION_FORMAT_SIZE];

    for (unsigned opcode = 0; opcode < 256; opcode++) {
        const struct instruction i = INSN((uint8_t)opcode, 1, 2, 0, 16);
        bool known = strcmp(instruction_name(i), "unknown") != 0 && !instruction_is_atomic(i);

        instruction_format(i, 0, NULL, text[opcode]);
        assert_int_equal(strncmp(text[opcode], "unknown", 7) != 0, known);
        for (unsigned other = 0; known && other < opcode; other++)
            assert_string_not_equal(text[other], text[opcode]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_hint),
        cmocka_unit_test(test_wide_load),
        cmocka_unit_test(test_opcodes),
        cmocka_unit_test(test_atomics),
        cmocka_unit_test(test_format),
        cmocka_unit_test(test_forms),
    };

    return cmocka_run_group_tests_name("instruction", tests, NULL, NULL);
}
