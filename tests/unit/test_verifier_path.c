/* SPDX-License-Identifier: MIT */
/* The verifier: paths: loops, what ends a path early and must not, limits; facts for the compiler. */
#include "verifier.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A state is kept behind each. */
#define WAY(n) UNKNOWN(3), JUMP_IMM(JUMP_EQ, 3, n, 1), MOV64_IMM(4, n), MOV64_IMM(5, n)

static void test_loops(void **state)
{
    static const struct program programs[] = {
        { "for ever", { JA(-1), EXIT() }, { 0 }, "infinite-loop", NULL },
        { "for ever, with work", { MOV64_IMM(3, 1), ALU_IMM(ALU_XOR, 3, 1), JA(-2), EXIT() }, { 0 }, "infinite-loop",
          NULL },
        { "until a number that the context has", { MOV64_IMM(3, 0), UNKNOWN(4), JUMP_IMM(JUMP_NE, 4, 7, -2), RETURN() },
          { 0 }, "infinite-loop", "constant number" },
        { "for ever, a long way round", { WAY(1), WAY(2), WAY(3), WAY(4), WAY(5), WAY(6), WAY(7), JA(-29), EXIT() },
          { 0 }, "infinite-loop", NULL },
        { "100 times", { MOV64_IMM(3, 0), ADD64_IMM(3, 1), JUMP_IMM(JUMP_NE, 3, 100, -2), RETURN() }, { 0 }, NULL,
          NULL },
        { "64 times, with an access", { MOV64_IMM(3, 0), REGION(4, DATA, 0), ADD64_REG(4, 3), LDX(1, 0, 4, 0),
          ADD64_IMM(3, 1), JUMP_IMM(JUMP_NE, 3, 64, -6), RETURN() }, { 0 }, NULL, NULL },
        { "65 times", { MOV64_IMM(3, 0), REGION(4, DATA, 0), ADD64_REG(4, 3), LDX(1, 0, 4, 0), ADD64_IMM(3, 1),
          JUMP_IMM(JUMP_NE, 3, 65, -6), RETURN() }, { 0 }, "bounds", "64" },
        { "past the end of the count", { MOV64_IMM(3, 1), ADD64_IMM(3, 2), JUMP_IMM(JUMP_NE, 3, 100, -2), RETURN() },
          { 0 }, "limit", NULL },
        { "through the packet", { PACKET(3, 4), MOV64_IMM(6, 0), MOV64_REG(5, 3), ADD64_IMM(5, 1),
          JUMP_REG(JUMP_GT, 5, 4, 4), LDX(1, 0, 3, 0), MOV64_REG(3, 5), ADD64_IMM(6, 1), JUMP_IMM(JUMP_NE, 6, 99, -7),
          RETURN() }, { 0 }, NULL, NULL },
    };

    verifier_check(programs, COUNT(programs));
}

/*
 * Two ways lead to one place, a harmless one and one that is not; behind it is what only the second one must not do.
 * Each of them is looked at first once.  16 steps that
 * change nothing make sure that a state is kept there.
 */
#define TWO_WAYS() UNKNOWN(9), UNKNOWN(8)
#define NOTHING() MOV64_REG(8, 8), MOV64_REG(8, 8), MOV64_REG(8, 8), MOV64_REG(8, 8)
#define MEETING() JUMP_IMM(JUMP_EQ, 8, 77, 0), NOTHING(), JUMP_IMM(JUMP_EQ, 8, 78, 0), NOTHING(), \
    JUMP_IMM(JUMP_EQ, 8, 79, 0), JUMP_IMM(JUMP_EQ, 8, 80, 0)

/* The path that jumps is looked at last: let it be the one that does not skip what follows. */
static void turn(struct program *program)
{
    struct instruction *at = program->code;

    while (instruction_class(*at) != CLASS_JMP || instruction_destination(*at) != 9 || at->immediate != 1)
        at++;
    memmove(at + 2, at + 1, (size_t)(program->code + CODE_MAX - (at + 2)) * sizeof(*at));
    at[1] = JA(at->offset);
    at->offset = 1;
    program->counts[0] += program->counts[0] > 0;
}

static void test_pruning(void **state)
{
    static const struct program programs[] = {
        { "an index that differs", { TWO_WAYS(), MOV64_IMM(3, 0), JUMP_IMM(JUMP_NE, 9, 1, 1), MOV64_IMM(3, 64),
          MEETING(), REGION(4, DATA, 0), ADD64_REG(4, 3), LDX(1, 0, 4, 0), EXIT() }, { 0 }, "bounds", NULL },
        { "the other way round", { TWO_WAYS(), MOV64_IMM(3, 64), JUMP_IMM(JUMP_EQ, 9, 1, 1), MOV64_IMM(3, 0),
          MEETING(), REGION(4, DATA, 0), ADD64_REG(4, 3), LDX(1, 0, 4, 0), EXIT() }, { 0 }, "bounds", NULL },
        { "through arithmetic", { TWO_WAYS(), MOV64_IMM(3, 0), JUMP_IMM(JUMP_NE, 9, 1, 1), MOV64_IMM(3, 63),
          MEETING(), REGION(4, DATA, 0), MOV64_IMM(5, 1), ADD64_REG(5, 3), ADD64_REG(4, 5), LDX(1, 0, 4, 0), EXIT() },
          { 0 }, "bounds", NULL },
        { "through the stack", { TWO_WAYS(), ST(8, 10, -8, 0), JUMP_IMM(JUMP_NE, 9, 1, 1), ST(8, 10, -8, 64),
          MEETING(), LDX(8, 3, 10, -8), REGION(4, DATA, 0), ADD64_REG(4, 3), LDX(1, 0, 4, 0), EXIT() },
          { 0 }, "bounds", NULL },
        { "through a part of a slot", { TWO_WAYS(), ST(8, 10, -8, 0), JUMP_IMM(JUMP_NE, 9, 1, 1), ST(8, 10, -8, 64),
          MEETING(), LDX(2, 3, 10, -8), REGION(4, DATA, 0), ADD64_REG(4, 3), LDX(1, 0, 4, 0), EXIT() },
          { 0 }, "bounds", NULL },
        { "by a jump that it decides", { TWO_WAYS(), MOV64_IMM(3, 0), JUMP_IMM(JUMP_NE, 9, 1, 1), MOV64_IMM(3, 1),
          MEETING(), JUMP_IMM(JUMP_EQ, 3, 0, 1), LDX(1, 0, 9, 0), RETURN() }, { 0 }, "pointer", NULL },
        { "by a limit that it is compared with", { TWO_WAYS(), UNKNOWN(5), MOV64_IMM(3, 63),
          JUMP_IMM(JUMP_NE, 9, 1, 1), MOV64_IMM(3, 64), MEETING(), MOV64_IMM(0, 0), JUMP_REG(JUMP_GT, 5, 3, 4),
          REGION(4, DATA, 0), ADD64_REG(4, 5), LDX(1, 0, 4, 0), EXIT() }, { 0 }, "bounds", NULL },
        { "by a limit, through a copy", { TWO_WAYS(), UNKNOWN(5), MOV64_REG(7, 5), MOV64_IMM(3, 63),
          JUMP_IMM(JUMP_NE, 9, 1, 1), MOV64_IMM(3, 64), MEETING(), MOV64_IMM(0, 0), JUMP_REG(JUMP_GT, 7, 3, 4),
          REGION(4, DATA, 0), ADD64_REG(4, 5), LDX(1, 0, 4, 0), EXIT() }, { 0 }, "bounds", NULL },
        { "a copy that is none", { TWO_WAYS(), UNKNOWN(5), MOV64_REG(7, 5), JUMP_IMM(JUMP_NE, 9, 1, 1), UNKNOWN(7),
          MEETING(), MOV64_IMM(0, 0), JUMP_IMM(JUMP_GT, 7, 63, 4), REGION(4, DATA, 0), ADD64_REG(4, 5),
          LDX(1, 0, 4, 0), EXIT() }, { 0 }, "pointer-offset", NULL },
        { "a register that is not set", { TWO_WAYS(), MOV64_IMM(3, 0), JUMP_IMM(JUMP_NE, 9, 1, 1), CALL(1), MEETING(),
          MOV64_REG(0, 3), EXIT(), RETURN() }, { 19, 2 }, "register-read", NULL },
        { "a slot that is not written", { TWO_WAYS(), JUMP_IMM(JUMP_EQ, 9, 1, 1), ST(8, 10, -8, 0), MEETING(),
          LDX(8, 0, 10, -8), EXIT() }, { 0 }, "stack-read", NULL },
        { "a slot of which half is written", { TWO_WAYS(), ST(4, 10, -8, 0), JUMP_IMM(JUMP_EQ, 9, 1, 1),
          ST(8, 10, -8, 0), MEETING(), LDX(8, 0, 10, -8), EXIT() }, { 0 }, "stack-read", NULL },
        { "a slot that holds a pointer", { TWO_WAYS(), ST(8, 10, -8, 0), JUMP_IMM(JUMP_NE, 9, 1, 1), STX(8, 10, 1, -8),
          MEETING(), LDX(8, 0, 10, -8), EXIT() }, { 0 }, "pointer-leak", NULL },
        { "a pointer elsewhere", { TWO_WAYS(), REGION(3, DATA, 0), JUMP_IMM(JUMP_NE, 9, 1, 2), REGION(3, DATA, 64),
          MEETING(), LDX(1, 0, 3, 0), EXIT() }, { 0 }, "bounds", NULL },
        { "less of the packet", { TWO_WAYS(), PACKET(3, 4), MOV64_REG(5, 3), ADD64_IMM(5, 8),
          MOV64_IMM(0, 0), JUMP_IMM(JUMP_EQ, 9, 1, 1), JUMP_REG(JUMP_GT, 5, 4, 13), MEETING(), LDX(8, 0, 3, 0),
          EXIT() },
          { 0 }, "packet-bounds", NULL },
        { "what a function gets", { TWO_WAYS(), MOV64_IMM(6, 0), JUMP_IMM(JUMP_NE, 9, 1, 1), MOV64_IMM(6, 64),
          MEETING(), MOV64_REG(1, 6), CALL(1), RETURN(), REGION(4, DATA, 0), ADD64_REG(4, 1), LDX(1, 0, 4, 0),
          EXIT() }, { 21, 5 }, "bounds", NULL },
        { "what a function returns", { TWO_WAYS(), MOV64_IMM(6, 0), JUMP_IMM(JUMP_NE, 9, 1, 1), MOV64_IMM(6, 64),
          MEETING(), MOV64_REG(1, 6), CALL(1), REGION(4, DATA, 0), ADD64_REG(4, 0), LDX(1, 0, 4, 0),
          EXIT(), MOV64_REG(0, 1), EXIT() }, { 24, 2 }, "bounds", NULL },
        { "what a function reads from the caller's stack", { TWO_WAYS(), ST(8, 10, -8, 0), JUMP_IMM(JUMP_NE, 9, 1, 1),
          ST(8, 10, -8, 64), MEETING(), MOV64_REG(1, 10), CALL(1), RETURN(), LDX(8, 3, 1, -8), REGION(4, DATA, 0),
          ADD64_REG(4, 3), LDX(1, 0, 4, 0), EXIT() }, { 21, 6 }, "bounds", NULL },
        { "NULL together with another", { TWO_WAYS(), ST(4, 10, -4, 1), MAP(1, HASH), MOV64_REG(2, 10),
          ADD64_IMM(2, -4),
          CALL_HELPER(BPF_FUNC_map_lookup_elem), MOV64_REG(6, 0), MAP(1, HASH), MOV64_REG(2, 10), ADD64_IMM(2, -4),
          CALL_HELPER(BPF_FUNC_map_lookup_elem), JUMP_IMM(JUMP_NE, 9, 1, 1), MOV64_REG(6, 0), MEETING(),
          JUMP_IMM(JUMP_EQ, 0, 0, 1), LDX(8, 0, 6, 0), RETURN() }, { 0 }, "null", NULL },
        /* The first path explores what is behind the second meeting, the second one is covered there, and the third one
           meets the second at the first. */
        { "what a path that was covered rests on", { TWO_WAYS(), MOV64_IMM(3, 0), JUMP_IMM(JUMP_EQ, 9, 1, 2),
          JUMP_IMM(JUMP_EQ, 9, 2, 2), JA(13), MOV64_IMM(3, 64), MEETING(), MEETING(), REGION(4, DATA, 0),
          ADD64_REG(4, 3), LDX(1, 0, 4, 0), EXIT() }, { 0 }, "bounds", NULL },
        { "numbers that nothing rests on", { TWO_WAYS(), MOV64_IMM(3, 0), JUMP_IMM(JUMP_NE, 9, 1, 1), MOV64_IMM(3, 64),
          MEETING(), MOV64_REG(0, 3), EXIT() }, { 0 }, NULL, NULL },
    };

    verifier_check(programs, COUNT(programs));
    for (size_t i = 0; i < COUNT(programs); i++) {
        struct program turned = programs[i];

        turn(&turned);
        verifier_check(&turned, 1);
    }
}

/* 40 jumps, each of which changes a number that nothing rests on: 2^40 paths, of which few are looked at. */
static void test_paths_are_pruned(void **state)
{
    struct instruction code[256];
    uint32_t n = 0;
    struct context *context = jit_packet_context();
    struct verifier_statistics statistics;
    struct jit_error error = { 0 };
    struct verified verified;
    struct bytecode *bytecode;

    code[n++] = MOV64_IMM(0, 0);
    for (int i = 0; i < 40; i++) {
        code[n++] = LDX(8, 3, 1, AT(value));
        code[n++] = JUMP_IMM(JUMP_EQ, 3, i, 1);
        code[n++] = ADD64_IMM(0, 1 << (i % 30));
        code[n++] = ALU_IMM(ALU_XOR, 0, i);
    }
    code[n++] = EXIT();
    bytecode = jit_bytecode(code, n, NULL);
    assert_int_equal(verifier_run(bytecode, context, NULL, &verified, &statistics, &error), 0);
    assert_in_range(statistics.processed, n, 20 * n);
    assert_true(statistics.pruned >= 20);
    verified_clear(&verified);
    bytecode_free(bytecode);
    context_free(context);
}

/* What was not seen of a path that was covered goes through 65,000 jumps, each of which leads far away. */
static void test_zigzag(void **state)
{
    const struct instruction head[] = { TWO_WAYS(), LDDW(3, 0, 1), JUMP_IMM(JUMP_NE, 9, 1, 1), MOV64_IMM(3, 0),
                                        MEETING() };
    const uint32_t count = BYTECODE_INSTRUCTIONS_MAX, jumps = count - COUNT(head) - 2;
    struct instruction *code = calloc(count, sizeof(*code));
    struct context *context = jit_packet_context();
    struct jit_error error = { 0 };
    struct verified verified;
    struct bytecode *bytecode;

    assert_non_null(code);
    memcpy(code, head, sizeof(head));
    jit_zigzag(code + COUNT(head), jumps);
    code[count - 2] = MOV64_REG(0, 3);
    code[count - 1] = EXIT();
    bytecode = jit_bytecode(code, count, NULL);
    assert_int_equal(verifier_run(bytecode, context, NULL, &verified, NULL, &error), 0);
    assert_int_equal(verified.mark[count - 2] & (VERIFIED_REACHED | VERIFIED_SOURCE_32), VERIFIED_REACHED);
    verified_clear(&verified);
    bytecode_free(bytecode);
    context_free(context);
    free(code);
}

static void test_limit(void **state)
{
    const struct program program = { "100 times", { MOV64_IMM(3, 0), ADD64_IMM(3, 1), JUMP_IMM(JUMP_NE, 3, 100, -2),
                                     RETURN() }, { 0 }, NULL, NULL };
    /* The first attempt takes an eighth of them, and the next one 203. */
    const struct verifier_options enough = { .instructions_max = 231 }, few = { .instructions_max = 230 };
    struct verifier_statistics statistics;
    struct bytecode *bytecode;
    struct verified verified;
    struct jit_error error;

    assert_int_equal(verifier_try(&program, &enough, &verified, &statistics, &bytecode, &error), 0);
    assert_int_equal(statistics.processed, 231);
    verified_clear(&verified);
    bytecode_free(bytecode);
    assert_int_equal(verifier_try(&program, &few, &verified, &statistics, &bytecode, &error), -E2BIG);
    assert_string_equal(error.rule, "limit");
    bytecode_free(bytecode);
}

static void test_message(void **state)
{
    const struct program program = { "a load", { MOV64_IMM(6, 3), LDX(8, 0, 2, 0), EXIT() }, { 0 }, NULL, NULL };
    struct bytecode *bytecode;
    struct verified verified;
    struct jit_error error;

    assert_int_equal(verifier_try(&program, NULL, &verified, NULL, &bytecode, &error), -EINVAL);
    assert_string_equal(error.function, "f0");
    assert_int_equal(error.instruction, 1);
    assert_non_null(strstr(error.registers, "R1 = context"));
    assert_non_null(strstr(error.registers, "R6 = 3"));
    bytecode_free(bytecode);
}

static void check_marks(const struct program *program, uint32_t at, uint8_t set, uint8_t unset)
{
    struct bytecode *bytecode;
    struct verified verified;
    struct jit_error error;

    if (verifier_try(program, NULL, &verified, NULL, &bytecode, &error) < 0)
        fail_msg("%s: %s", program->name, error.text);
    if ((verified.mark[at] & set) != set || verified.mark[at] & unset)
        fail_msg("%s: marks 0x%x of %u, not 0x%x without 0x%x", program->name, verified.mark[at], at, set, unset);
    verified_clear(&verified);
    bytecode_free(bytecode);
}

static void test_facts(void **state)
{
    static const struct {
        struct program program;
        uint32_t at;
        uint8_t set, unset;
    } cases[] = {
        { { "not reached", { RETURN(), RETURN() }, { 4 }, NULL, NULL }, 2, 0, VERIFIED_REACHED },
        { { "always", { JUMP_IMM(JUMP_EQ, 2, -1, 0), RETURN() }, { 0 }, NULL, NULL }, 0, VERIFIED_NEVER,
          VERIFIED_ALWAYS },
        { { "never", { JUMP_IMM(JUMP_NE, 2, -1, 0), RETURN() }, { 0 }, NULL, NULL }, 0, VERIFIED_ALWAYS,
          VERIFIED_NEVER },
        { { "perhaps", { JUMP_IMM(JUMP_NE, 2, 1, 0), RETURN() }, { 0 }, NULL, NULL }, 0, VERIFIED_DESTINATION_32,
          VERIFIED_ALWAYS | VERIFIED_NEVER },
        { { "a pointer has 64 bits", { MOV64_REG(3, 1), RETURN() }, { 0 }, NULL, NULL }, 0, VERIFIED_REACHED,
          VERIFIED_SOURCE_32 },
        { { "the key has 32", { MOV64_REG(3, 2), RETURN() }, { 0 }, NULL, NULL }, 0, VERIFIED_SOURCE_32, 0 },
        { { "a sum that does not wrap", { UP_TO_7(3), ALU32_IMM(ALU_ADD, 3, 1), RETURN() }, { 0 }, NULL, NULL }, 2,
          VERIFIED_NO_WRAP, 0 },
        { { "one that does", { ALU32_IMM(ALU_ADD, 2, 1), RETURN() }, { 0 }, NULL, NULL }, 0, VERIFIED_REACHED,
          VERIFIED_NO_WRAP },
        { { "a difference", { UP_TO_7(3), ALU32_IMM(ALU_SUB, 3, 1), RETURN() }, { 0 }, NULL, NULL }, 2,
          VERIFIED_REACHED, VERIFIED_NO_WRAP },
        { { "on both paths", { MOV64_IMM(3, 1), JUMP_IMM(JUMP_EQ, 2, 0, 1), LDX(8, 3, 1, AT(value)), MOV64_REG(0, 3),
            EXIT() }, { 0 }, NULL, NULL }, 3, VERIFIED_REACHED, VERIFIED_SOURCE_32 },
        { { "on a path that was covered", { TWO_WAYS(), MOV64_IMM(3, 0), JUMP_IMM(JUMP_NE, 9, 1, 2),
            LDDW(3, 0, 1), MEETING(), MOV64_REG(0, 3), EXIT() }, { 0 }, NULL, NULL }, 18, VERIFIED_REACHED,
          VERIFIED_SOURCE_32 },
        { { "the other way round", { TWO_WAYS(), LDDW(3, 0, 1), JUMP_IMM(JUMP_NE, 9, 1, 1), MOV64_IMM(3, 0), MEETING(),
            MOV64_REG(0, 3), EXIT() }, { 0 }, NULL, NULL }, 18, VERIFIED_REACHED, VERIFIED_SOURCE_32 },
        { { "through a function", { TWO_WAYS(), LDDW(3, 0, 1), JUMP_IMM(JUMP_NE, 9, 1, 1), MOV64_IMM(3, 0), MEETING(),
            MOV64_REG(1, 3), CALL(1), MOV64_REG(6, 0), RETURN(), MOV64_REG(0, 1), EXIT() }, { 23, 2 }, NULL, NULL }, 20,
          VERIFIED_REACHED, VERIFIED_SOURCE_32 },
        { { "a copy on one path only", { LDX(8, 6, 1, AT(value)), LDX(8, 9, 1, AT(value)), JUMP_IMM(JUMP_EQ, 2, 0, 2),
            MOV64_REG(7, 6), INSN(0x05, 0, 0, 1, 0), MOV64_REG(7, 9), JUMP_IMM(JUMP_GT, 6, 10, 2),
            INSN(0xbc, 0, 7, 0, 0), EXIT(), RETURN() }, { 0 }, NULL, NULL }, 7, VERIFIED_REACHED,
          VERIFIED_SOURCE_32 },
    };

    for (size_t i = 0; i < COUNT(cases); i++)
        check_marks(&cases[i].program, cases[i].at, cases[i].set, cases[i].unset);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loops),   cmocka_unit_test(test_pruning), cmocka_unit_test(test_paths_are_pruned),
        cmocka_unit_test(test_zigzag),
        cmocka_unit_test(test_limit),   cmocka_unit_test(test_message), cmocka_unit_test(test_facts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
