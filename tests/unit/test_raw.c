/* SPDX-License-Identifier: MIT */
/* Raw instructions in canonical form: distances become indices, functions are found. */
#include "jit.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>

#include "interpreter.h"
#include "raw.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define CALL_HELPER(number) INSN(OPCODE_CALL, 0, 0, 0, number)
#define CALL_REGISTER(number) INSN(0x8d, number, 0, 0, 0)

static int make(const struct instruction *code, uint32_t count, bool helper, struct bytecode **ret,
                struct jit_error *error)
{
    return raw_bytecode(code, count, NULL, 0, helper, ret, error);
}

static uint64_t interpret(const struct bytecode *bytecode)
{
    struct interpreter *interpreter = interpreter_new(bytecode, 1000);
    struct jit_error error;
    uint64_t r0 = 0;

    assert_non_null(interpreter);
    if (interpreter_run(interpreter, 0, 0, &r0, &error) < 0)
        fail_msg("%s", error.text);
    interpreter_free(interpreter);
    return r0;
}

static void test_functions_are_found(void **state)
{
    static const struct instruction code[] = {
        MOV64_IMM(1, 5),  CALL(2),          ADD64_IMM(0, 1),  EXIT(),           /* function 0 */
        MOV64_REG(0, 1),  CALL(1),          EXIT(),                             /* function 1, at 4 */
        MOV64_IMM(0, 10), EXIT(),                                               /* function 2, at 7 */
    };
    struct bytecode *bytecode;

    assert_int_equal(make(code, COUNT(code), false, &bytecode, NULL), 0);
    assert_int_equal(bytecode->functions, 3);
    assert_int_equal(bytecode->function[1].first, 4);
    assert_int_equal(bytecode->function[2].first, 7);
    assert_int_equal(bytecode->instruction[1].immediate, 1);
    assert_int_equal(bytecode->instruction[5].immediate, 2);
    assert_int_equal(interpret(bytecode), 11);
    bytecode_free(bytecode);
}

static void test_callbacks_are_found(void **state)
{
    static const struct instruction code[] = {
        MOV64_IMM(1, 3), INSN(OPCODE_LOAD_64, 2, WIDE_FUNCTION, 0, 5), INSN(0, 0, 0, 0, 0), MOV64_IMM(3, 0),
        MOV64_IMM(4, 0), CALL_HELPER(181), EXIT(),
        MOV64_IMM(0, 0), EXIT(),
    };
    struct bytecode *bytecode;

    assert_int_equal(make(code, COUNT(code), false, &bytecode, NULL), 0);
    assert_int_equal(bytecode->functions, 2);
    assert_int_equal(bytecode->function[1].first, 7);
    assert_int_equal(bytecode->instruction[1].immediate, 1);
    assert_int_equal(interpret(bytecode), 3);
    bytecode_free(bytecode);
}

static void test_helper(void **state)
{
    static const struct instruction by_number[] = { MOV64_IMM(1, 7), CALL_HELPER(RAW_HELPER), EXIT() };
    static const struct instruction by_register[] = { MOV64_IMM(1, 7), MOV64_IMM(3, RAW_HELPER), CALL_REGISTER(3),
                                                      EXIT() };
    static const struct instruction first[] = { MOV64_IMM(1, RAW_HELPER), CALL_REGISTER(1), EXIT() };
    struct bytecode *bytecode;

    assert_int_equal(make(by_number, COUNT(by_number), true, &bytecode, NULL), 0);
    assert_int_equal(interpret(bytecode), 7);
    bytecode_free(bytecode);
    assert_int_equal(make(by_register, COUNT(by_register), true, &bytecode, NULL), 0);
    assert_int_equal(interpret(bytecode), 7);
    bytecode_free(bytecode);
    assert_int_equal(make(first, COUNT(first), true, &bytecode, NULL), 0);
    assert_int_equal(interpret(bytecode), RAW_HELPER);
    bytecode_free(bytecode);
}

static void test_callx_of_another_number_is_an_invalid_access(void **state)
{
    static const struct instruction code[] = { MOV64_IMM(1, 7), MOV64_IMM(2, 6), CALL_REGISTER(2), EXIT() };
    struct bytecode *bytecode;
    struct interpreter *interpreter;
    struct jit_error error;
    uint64_t r0;

    assert_int_equal(make(code, COUNT(code), true, &bytecode, NULL), 0);
    interpreter = interpreter_new(bytecode, 1000);
    assert_int_equal(interpreter_run(interpreter, 0, 0, &r0, &error), -EFAULT);
    assert_string_equal(error.rule, "bounds");
    interpreter_free(interpreter);
    bytecode_free(bytecode);
}

static void test_refusals(void **state)
{
    static const struct {
        struct instruction code[4];
        uint32_t count;
        bool helper;
        const char *rule, *text;
    } cases[] = {
        { { EXIT() }, 0, false, "bytecode", "0 instructions" },
        { { CALL(1), EXIT() }, 2, false, "bytecode", "call leads out of the program" },
        { { CALL(-2), EXIT() }, 2, false, "bytecode", "call leads out of the program" },
        { { CALL(INT32_MIN), EXIT() }, 2, false, "bytecode", "call leads out of the program" },
        { { CALL(1), EXIT(), EXIT() }, 3, true, NULL, NULL },
        { { CALL(1), INSN(OPCODE_LOAD_64, 0, 0, 0, 0), INSN(0, 0, 0, 0, 0), EXIT() }, 4, false, "instruction", "" },
        { { JA(1), EXIT(), CALL(-2), EXIT() }, 4, false, "bytecode", "leads out of the function" },
        { { INSN(OPCODE_LOAD_64, 2, WIDE_FUNCTION, 0, 7), INSN(0, 0, 0, 0, 0), EXIT() }, 3, false, "bytecode",
          "lddw leads out of the program" },
        { { CALL_REGISTER(1), EXIT() }, 2, false, "unsupported", "callx" },
        { { CALL_REGISTER(6), EXIT() }, 2, true, "unsupported", "callx" },
        { { INSN(0x8d, 1, 0, 0, 1), EXIT() }, 2, true, "unsupported", "callx" },
        { { INSN(OPCODE_CALL, 1, 0, 0, RAW_HELPER), EXIT() }, 2, true, "instruction", "destination" },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct bytecode *bytecode = NULL;
        struct jit_error error = { .rule = "none" };
        int r = make(cases[i].code, cases[i].count, cases[i].helper, &bytecode, &error);

        if (cases[i].rule && (r >= 0 || strcmp(error.rule, cases[i].rule) != 0 || !strstr(error.text, cases[i].text)))
            fail_msg("case %zu: %d, rule %s: %s", i, r, error.rule, error.text);
        if (!cases[i].rule)
            assert_int_equal(r, 0);
        bytecode_free(bytecode);
    }
}

static void test_regions_are_copied(void **state)
{
    static const struct instruction code[] = { INSN(OPCODE_LOAD_64, 1, WIDE_MAP_VALUE, 0, 0), INSN(0, 0, 0, 0, 0),
                                               LDX(8, 0, 1, 0), EXIT() };
    uint8_t contents[8] = { 42 };
    const struct bytecode_region region = { .name = "map", .kind = REGION_MAP, .size = 8, .contents = contents,
                                            .map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 8,
                                            .max_entries = 1 };
    struct bytecode *bytecode;

    assert_int_equal(raw_bytecode(code, COUNT(code), &region, 1, false, &bytecode, NULL), 0);
    contents[0] = 0;
    assert_int_equal(interpret(bytecode), 42);
    bytecode_free(bytecode);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_functions_are_found),
        cmocka_unit_test(test_callbacks_are_found),
        cmocka_unit_test(test_helper),
        cmocka_unit_test(test_callx_of_another_number_is_an_invalid_access),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_regions_are_copied),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
