/* SPDX-License-Identifier: MIT */
/* Calls in machine code: of functions, of callbacks, of the helpers that are code in place. */
#include "jit.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>

#include "helper.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define LOAD_64(dst, kind, low, high) INSN(OPCODE_LOAD_64, dst, kind, 0, low), INSN(0, 0, 0, 0, high)
#define HELPER(number) INSN(OPCODE_CALL, 0, CALL_HELPER, 0, number)

/* ---- functions ---- */

/*
 * R6 to R9 and R10 survive a callee that overwrites them; each function has a stack of its own; R1
 * to R5 arrive, R0 returns.
 */
static void test_calls(void **state)
{
    struct instruction code[64];
    uint32_t n = 0, counts[3] = { 0 };
    struct bytecode *bytecode;
    jit_function *function;

    for (uint8_t i = 6; i < 10; i++)
        code[n++] = MOV64_IMM(i, 100 + i);
    code[n++] = ST(8, 10, -512, 7);
    code[n++] = ST(8, 10, -8, 8);
    for (uint8_t i = 1; i < 6; i++)
        code[n++] = MOV64_IMM(i, 1 << i);
    code[n++] = CALL(1);                                /* 62 + 1 */
    for (uint8_t i = 6; i < 10; i++)
        code[n++] = ADD64_REG(0, i);                    /* + 430 */
    code[n++] = LDX(8, 1, 10, -512);
    code[n++] = ADD64_REG(0, 1);                        /* + 7 */
    code[n++] = LDX(8, 1, 10, -8);
    code[n++] = ADD64_REG(0, 1);                        /* + 8 */
    code[n++] = EXIT();
    counts[0] = n;
    code[n++] = MOV64_IMM(0, 1);
    for (uint8_t i = 1; i < 6; i++)
        code[n++] = ADD64_REG(0, i);
    code[n++] = ST(8, 10, -512, -1);
    code[n++] = ST(8, 10, -8, -1);
    for (uint8_t i = 6; i < 10; i++)
        code[n++] = MOV64_IMM(i, -1);
    code[n++] = EXIT();
    counts[1] = n - counts[0];
    bytecode = jit_bytecode(code, n, counts);
    function = jit_install_unverified(bytecode);
    assert_int_equal(jit_call(function, NULL, 0), 63 + 430 + 15);
    bytecode_free(bytecode);
}

/* ---- loop ---- */

/* loop(R2 of the program, function 1, &sum, R1 of the program), and the sum of what the callback saw above it. */
static const struct instruction loop_caller[] = {
    MOV64_IMM(6, 600), MOV64_IMM(7, 700), ST(8, 10, -8, 0),
    MOV64_REG(4, 1), MOV64_REG(1, 2), LOAD_64(2, WIDE_FUNCTION, 1, 0), MOV64_REG(3, 10), ADD64_IMM(3, -8),
    HELPER(HELPER_LOOP),
    INSN(0x1d, 6, 7, 4, 0), LDX(8, 1, 10, -8), INSN(0x67, 1, 0, 0, 32), ADD64_REG(0, 1), EXIT(),
    MOV64_IMM(0, 0), EXIT(),    /* R6 equals R7: it never does */
};

/* *sum += index + 1; stop at index 5 */
static const struct instruction loop_callback[] = {
    LDX(8, 3, 2, 0), ADD64_REG(3, 1), ADD64_IMM(3, 1), STX(8, 2, 3, 0), MOV64_IMM(6, 7), MOV64_IMM(7, 7),
    MOV64_IMM(0, 0), INSN(0x55, 1, 0, 1, 5), MOV64_IMM(0, 1), EXIT(),
};

static struct bytecode *two_functions(const struct instruction *first, uint32_t first_count,
                                      const struct instruction *second, uint32_t second_count)
{
    struct instruction code[64];
    const uint32_t counts[] = { first_count, second_count, 0 };

    assert_true(first_count + second_count <= COUNT(code));
    memcpy(code, first, first_count * sizeof(*code));
    memcpy(code + first_count, second, second_count * sizeof(*code));
    return jit_bytecode(code, first_count + second_count, counts);
}

static void test_loop(void **state)
{
    struct bytecode *bytecode =
        two_functions(loop_caller, COUNT(loop_caller), loop_callback, COUNT(loop_callback));
    jit_function *function = jit_install_unverified(bytecode);

    for (uint64_t count = 0; count < 10; count++) {
        uint64_t ran = count < 6 ? count : 6;

        assert_int_equal(jit_call(function, NULL, count), ran * (ran + 1) / 2 << 32 | ran);
    }
    assert_int_equal(jit_call(function, NULL, 1 << 23), 21ull << 32 | 6);
    assert_int_equal(jit_call(function, NULL, (1 << 23) + 1), -E2BIG);
    assert_int_equal(jit_call(function, NULL, UINT32_MAX), -E2BIG);
    assert_int_equal(jit_call(function, (void *)1, 3), -EINVAL);
    bytecode_free(bytecode);
}

/* All iterations of the longest loop, in a loop in a loop: 16 * 16 * 2^15. */
static void test_loop_nested(void **state)
{
    struct instruction code[64];
    uint32_t n = 0, counts[5] = { 0 };
    struct bytecode *bytecode;

    for (uint32_t function = 0; function < 3; function++) {
        uint32_t before = n;

        if (function > 0)
            code[n++] = MOV64_REG(6, 2);        /* the sum is handed down */
        if (function == 0) {
            code[n++] = ST(8, 10, -8, 0);
            code[n++] = MOV64_REG(6, 10);
            code[n++] = ADD64_IMM(6, -8);
        }
        code[n++] = MOV64_IMM(1, function < 2 ? 16 : 1 << 15);
        code[n++] = INSN(OPCODE_LOAD_64, 2, WIDE_FUNCTION, 0, (int32_t)function + 1);
        code[n++] = INSN(0, 0, 0, 0, 0);
        code[n++] = MOV64_REG(3, 6);
        code[n++] = MOV64_IMM(4, 0);
        code[n++] = HELPER(HELPER_LOOP);
        code[n++] = MOV64_IMM(0, 0);
        if (function == 0)
            code[n++] = LDX(8, 0, 6, 0);
        code[n++] = EXIT();
        counts[function] = n - before;
    }
    counts[3] = n;
    code[n++] = MOV64_IMM(3, 1);
    code[n++] = INSN(0xdb, 2, 3, 0, ATOMIC_ADD);
    code[n++] = MOV64_IMM(0, 0);
    code[n++] = EXIT();
    counts[3] = n - counts[3];
    bytecode = jit_bytecode(code, n, counts);
    assert_int_equal(jit_call(jit_install_unverified(bytecode), NULL, 0), 16 * 16 << 15);
    bytecode_free(bytecode);
}

/* ---- lookup ---- */

#define ENTRIES 5
#define VALUE_SIZE 12
#define STRIDE 16

/* What lookup of the program's key in region 0 gives. */
static struct bytecode *lookup_program(uint32_t map_type)
{
    static const struct instruction code[] = {
        STX(4, 10, 2, -4), LOAD_64(1, WIDE_MAP, 0, 0), MOV64_REG(2, 10), ADD64_IMM(2, -4),
        HELPER(HELPER_MAP_LOOKUP), EXIT(),
    };
    struct bytecode sizes = { .instructions = COUNT(code), .functions = 1, .regions = 1 };
    struct bytecode *bytecode = bytecode_new(&sizes);

    memcpy(bytecode->instruction, code, sizeof(code));
    bytecode->function[0] = (struct bytecode_function){ "f", 0, COUNT(code) };
    bytecode->region[0] = (struct bytecode_region){
        .name = "map", .kind = REGION_MAP, .size = ENTRIES * STRIDE, .map_type = map_type, .key_size = 4,
        .value_size = VALUE_SIZE, .max_entries = ENTRIES,
    };
    return bytecode;
}

static void test_lookup(void **state)
{
    static const uint32_t beyond[] = { ENTRIES, ENTRIES + 1, INT32_MAX, 0x80000000, UINT32_MAX };
    struct bytecode *bytecode = lookup_program(BPF_MAP_TYPE_ARRAY);
    struct verified verified;
    struct machine machine;
    struct code code;

    assert_int_equal(verified_assume(bytecode, &verified), 0);
    verified.region[5] = 0;
    verified.map_kind[5] = BPF_MAP_TYPE_ARRAY;
    assert_int_equal(compile_verified(&verified, architecture_native(), &code, NULL), 0);
    assert_int_equal(machine_load(bytecode, &code, &machine, NULL), 0);
    for (uint32_t key = 0; key < ENTRIES; key++)
        assert_ptr_equal(jit_call(machine.run, NULL, key), machine.arena.memory[0] + key * STRIDE);
    for (size_t i = 0; i < COUNT(beyond); i++)
        assert_int_equal(jit_call(machine.run, NULL, beyond[i]), 0);
    machine_clear(&machine);
    code_clear(&code);
    verified_clear(&verified);
    bytecode_free(bytecode);
}

/* ---- what has no code ---- */

static void check_refused(struct bytecode *bytecode, uint32_t call, uint32_t region, const char *text)
{
    struct verified verified;
    struct jit_error error = { 0 };
    struct code code = { .size = 1234 };

    assert_int_equal(verified_assume(bytecode, &verified), 0);
    verified.region[call] = region;
    verified.map_kind[call] = region == VERIFIED_NO_REGION ? 0 : bytecode->region[region].map_type;
    assert_int_equal(compile_verified(&verified, architecture_native(), &code, &error), -EOPNOTSUPP);
    assert_string_equal(error.rule, "helper");
    assert_int_equal(error.instruction, call);
    assert_non_null(strstr(error.text, text));
    assert_int_equal(code.size, 1234);
    verified_clear(&verified);
    bytecode_free(bytecode);
}

/* A record of a ring that was found in a map of maps: code cannot name the ring that it is given back to. */
static struct bytecode *submit_program(void)
{
    struct bytecode *bytecode = lookup_program(BPF_MAP_TYPE_RINGBUF);

    bytecode->instruction[5].immediate = BPF_FUNC_ringbuf_submit;
    bytecode->region[0].kind = REGION_INNER;
    return bytecode;
}

static void test_refused(void **state)
{
    const struct instruction unknown[] = { HELPER(99999), EXIT() }, known[] = { MOV64_IMM(1, 0), HELPER(12), EXIT() };

    check_refused(lookup_program(BPF_MAP_TYPE_ARRAY), 5, VERIFIED_NO_REGION, "helper 1 (map_lookup_elem): its map");
    check_refused(lookup_program(BPF_MAP_TYPE_QUEUE), 5, 0, "helper 1 (map_lookup_elem): its map");
    check_refused(submit_program(), 5, 0, "helper 132 (ringbuf_submit): its memory");
    check_refused(jit_bytecode(unknown, COUNT(unknown), NULL), 0, VERIFIED_NO_REGION, "helper 99999 (no helper");
    check_refused(jit_bytecode(known, COUNT(known), NULL), 1, VERIFIED_NO_REGION, "helper 12 (");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calls),
        cmocka_unit_test(test_loop),
        cmocka_unit_test(test_loop_nested),
        cmocka_unit_test(test_lookup),
        cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests_name("call", tests, NULL, NULL);
}
