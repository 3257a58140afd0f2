/* SPDX-License-Identifier: MIT */
/*
 * The verifier: what it knows of numbers, seen by the accesses that it allows: instructions, jumps, links.  (The domain
 * itself is tested in test_scalar.)
 */
#include "verifier.h"

/* A byte of .data (64 bytes) at an index; 5 instructions. */
#define ACCESS(index) REGION(4, DATA, 0), ADD64_REG(4, index), LDX(1, 0, 4, 0), EXIT()

static void test_jumps(void **state)
{
    static const struct program programs[] = {
        { "jgt 63", { UNKNOWN(3), MOV64_IMM(0, 0), JUMP_IMM(JUMP_GT, 3, 63, 4), ACCESS(3), EXIT() }, { 0 }, NULL,
          NULL },
        { "jgt 64", { UNKNOWN(3), MOV64_IMM(0, 0), JUMP_IMM(JUMP_GT, 3, 64, 4), ACCESS(3), EXIT() }, { 0 }, "bounds",
          "0 to 64" },
        { "jge 64", { UNKNOWN(3), MOV64_IMM(0, 0), JUMP_IMM(JUMP_GE, 3, 64, 4), ACCESS(3), EXIT() }, { 0 }, NULL,
          NULL },
        { "jsgt 63 leaves the negative", { UNKNOWN(3), MOV64_IMM(0, 0), JUMP_IMM(JUMP_SGT, 3, 63, 4), ACCESS(3),
          EXIT() }, { 0 }, "pointer-offset", NULL },
        { "jsgt 63 and jslt 0", { UNKNOWN(3), MOV64_IMM(0, 0), JUMP_IMM(JUMP_SGT, 3, 63, 5),
          JUMP_IMM(JUMP_SLT, 3, 0, 4), ACCESS(3), EXIT() }, { 0 }, NULL, NULL },
        { "the low half alone says nothing of all", { UNKNOWN(3), MOV64_IMM(0, 0), JUMP32_IMM(JUMP_GT, 3, 63, 4),
          ACCESS(3), EXIT() }, { 0 }, "pointer-offset", NULL },
        { "the low half of a zero-extended number does", { UNKNOWN(3), ALU32_REG(ALU_MOV, 3, 3), MOV64_IMM(0, 0),
          JUMP32_IMM(JUMP_GT, 3, 63, 4), ACCESS(3), EXIT() }, { 0 }, NULL, NULL },
        { "jeq", { UNKNOWN(3), MOV64_IMM(0, 0), JUMP_IMM(JUMP_NE, 3, 5, 4), ACCESS(3), EXIT() }, { 0 }, NULL, NULL },
        { "jne, on the wrong path", { UNKNOWN(3), MOV64_IMM(0, 0), JUMP_IMM(JUMP_EQ, 3, 5, 4), ACCESS(3), EXIT() },
          { 0 }, "pointer-offset", NULL },
        { "jset: no bit above the sixth", { UNKNOWN(3), MOV64_IMM(0, 0), JUMP_IMM(JUMP_SET, 3, -64, 4), ACCESS(3),
          EXIT() }, { 0 }, NULL, NULL },
        { "jset: no bit above the seventh", { UNKNOWN(3), MOV64_IMM(0, 0), JUMP_IMM(JUMP_SET, 3, -128, 4), ACCESS(3),
          EXIT() }, { 0 }, "bounds", NULL },
        { "by a register", { UNKNOWN(3), UP_TO_7(5), MOV64_IMM(0, 0), JUMP_REG(JUMP_GT, 3, 5, 4), ACCESS(3), EXIT() },
          { 0 }, NULL, NULL },
        { "a range that cannot be", { UP_TO_7(3), MOV64_IMM(0, 0), JUMP_IMM(JUMP_LE, 3, 7, 1), LDX(1, 0, 0, 0),
          EXIT() }, { 0 }, NULL, NULL },
        { "a range that can", { UP_TO_7(3), MOV64_IMM(0, 0), JUMP_IMM(JUMP_LE, 3, 6, 1), LDX(1, 0, 0, 0), EXIT() },
          { 0 }, "pointer", NULL },
    };

    verifier_check(programs, COUNT(programs));
}

/* Mistakes that verifiers have made. */
static void test_arithmetic(void **state)
{
    static const struct program programs[] = {
        { "and", { UNKNOWN(3), ALU_IMM(ALU_AND, 3, 63), ACCESS(3) }, { 0 }, NULL, NULL },
        { "and of more bits", { UNKNOWN(3), ALU_IMM(ALU_AND, 3, 65), ACCESS(3) }, { 0 }, "bounds", NULL },
        { "mod", { UNKNOWN(3), ALU_IMM(ALU_MOD, 3, 64), ACCESS(3) }, { 0 }, NULL, NULL },
        { "mod 0 changes nothing", { UNKNOWN(3), MOV64_IMM(5, 0), ALU_REG(ALU_MOD, 3, 5), ACCESS(3) },
          { 0 }, "pointer-offset", NULL },
        { "signed mod", { UNKNOWN(3), INSN(ALU_MOD << 4 | CLASS_ALU64, 3, 0, 1, 64), ACCESS(3) },
          { 0 }, "bounds", "-63 to 63" },
        { "mod as compilers make it next to the division", { UNKNOWN(3), MOV64_REG(5, 3), ALU_IMM(ALU_DIV, 5, 10),
          ALU_IMM(ALU_MUL, 5, 10), ALU_REG(ALU_SUB, 3, 5), ACCESS(3) }, { 0 }, "pointer-offset", "barrier_var" },
        { "shift right", { UNKNOWN(3), ALU_IMM(ALU_RSH, 3, 58), ACCESS(3) }, { 0 }, NULL, NULL },
        { "shift right of the sign", { UNKNOWN(3), ALU_IMM(ALU_ARSH, 3, 58), ACCESS(3) }, { 0 }, "bounds", NULL },
        { "shift by 64 is by 0", { UNKNOWN(3), MOV64_IMM(5, 64), ALU_REG(ALU_RSH, 3, 5), ACCESS(3) },
          { 0 }, "pointer-offset", NULL },
        { "32-bit shift by 32 is by 0", { UNKNOWN(3), MOV64_IMM(5, 32), ALU32_REG(ALU_RSH, 3, 5), ACCESS(3) },
          { 0 }, "pointer-offset", NULL },
        { "or keeps the high bits", { UP_TO_7(3), ALU_IMM(ALU_OR, 3, 64), ACCESS(3) }, { 0 }, "bounds", "64 to 71" },
        { "xor may clear and set", { UP_TO_7(3), ALU_IMM(ALU_XOR, 3, 64), ACCESS(3) }, { 0 }, "bounds", NULL },
        { "32-bit operations zero the upper half", { UNKNOWN(3), ALU32_IMM(ALU_AND, 3, 63), ACCESS(3) },
          { 0 }, NULL, NULL },
        { "a 32-bit sum wraps", { UP_TO_7(3), ALU32_IMM(ALU_SUB, 3, 8), ALU32_IMM(ALU_ADD, 3, 8), ACCESS(3) },
          { 0 }, NULL, NULL },
        { "a 32-bit difference is not negative", { UP_TO_7(3), ALU32_IMM(ALU_SUB, 3, 8), ADD64_IMM(3, 8), ACCESS(3) },
          { 0 }, "pointer-offset", NULL },
        { "a sign that is extended", { UNKNOWN(3), MOVSX(3, 3, 8), ACCESS(3) }, { 0 }, "bounds", "-128 to 127" },
        { "a sign that is not there", { UP_TO_7(3), MOVSX(3, 3, 8), ACCESS(3) }, { 0 }, NULL, NULL },
        { "a sign-extending load", { PACKET(5, 6), MOV64_REG(7, 5), ADD64_IMM(7, 1), MOV64_IMM(0, 0),
          JUMP_REG(JUMP_GT, 7, 6, 5), LDXS(1, 3, 5, 0), ACCESS(3), EXIT() }, { 0 }, "bounds", "-128" },
        { "the smallest by -1 is the smallest", { LDDW(3, 0, INT32_MIN), INSN(ALU_DIV << 4 | CLASS_ALU64, 3, 0, 1, -1),
          ALU_IMM(ALU_RSH, 3, 57), ACCESS(3) }, { 0 }, "bounds", "64 to 64" },
        { "multiplication overflows", { UNKNOWN(3), ALU_IMM(ALU_AND, 3, 1), LDDW(5, 0, INT32_MIN),
          ALU_REG(ALU_MUL, 3, 5), ALU_IMM(ALU_MUL, 3, 2), ACCESS(3) }, { 0 }, NULL, NULL },
        { "byte swap", { UNKNOWN(3), ALU_IMM(ALU_AND, 3, 63), INSN(0xdc, 3, 0, 0, 16), ACCESS(3) },
          { 0 }, "bounds", NULL },
        { "twice", { UNKNOWN(3), ALU_IMM(ALU_AND, 3, 63), INSN(0xdc, 3, 0, 0, 16), INSN(0xdc, 3, 0, 0, 16),
          ACCESS(3) }, { 0 }, NULL, NULL },
        { "cut to 16 bits", { UNKNOWN(3), INSN(0xd4, 3, 0, 0, 16), ALU_IMM(ALU_RSH, 3, 10), ACCESS(3) },
          { 0 }, NULL, NULL },
        { "negation", { UP_TO_7(3), INSN(0x87, 3, 0, 0, 0), ADD64_IMM(3, 7), ACCESS(3) }, { 0 }, NULL, NULL },
    };

    verifier_check(programs, COUNT(programs));
}

static void test_links(void **state)
{
    static const struct program programs[] = {
        { "a copy is bounded, too", { UNKNOWN(3), MOV64_REG(5, 3), MOV64_IMM(0, 0), JUMP_IMM(JUMP_GT, 5, 63, 4),
          ACCESS(3), EXIT() }, { 0 }, NULL, NULL },
        { "not if one was changed", { UNKNOWN(3), MOV64_REG(5, 3), ALU_IMM(ALU_RSH, 5, 1), MOV64_IMM(0, 0),
          JUMP_IMM(JUMP_GT, 5, 31, 4), ACCESS(3), EXIT() }, { 0 }, "pointer-offset", NULL },
        { "not by a 32-bit copy", { UNKNOWN(3), ALU32_REG(ALU_MOV, 5, 3), MOV64_IMM(0, 0),
          JUMP_IMM(JUMP_GT, 5, 63, 4), ACCESS(3), EXIT() }, { 0 }, "pointer-offset", NULL },
        { "by a 32-bit copy of 32 bits", { UNKNOWN(3), ALU32_REG(ALU_MOV, 3, 3), ALU32_REG(ALU_MOV, 5, 3),
          MOV64_IMM(0, 0), JUMP_IMM(JUMP_GT, 5, 63, 4), ACCESS(3), EXIT() }, { 0 }, NULL, NULL },
        { "on the stack", { UNKNOWN(3), MOV64_REG(5, 3), STX(8, 10, 3, -8), MOV64_IMM(0, 0),
          JUMP_IMM(JUMP_GT, 5, 63, 5), LDX(8, 3, 10, -8), ACCESS(3), EXIT() }, { 0 }, NULL, NULL },
        { "with a constant added", { UNKNOWN(3), MOV64_REG(5, 3), ADD64_IMM(5, -10), MOV64_IMM(0, 0),
          JUMP_IMM(JUMP_GT, 5, 53, 4), ACCESS(3), EXIT() }, { 0 }, NULL, NULL },
        { "that is too much", { UNKNOWN(3), MOV64_REG(5, 3), ADD64_IMM(5, -10), MOV64_IMM(0, 0),
          JUMP_IMM(JUMP_GT, 5, 54, 4), ACCESS(3), EXIT() }, { 0 }, "bounds", "10 to 64" },
        { "with a 32-bit constant added it is another number", { UNKNOWN(3), MOV64_REG(5, 3), ALU32_IMM(ALU_ADD, 5, 0),
          MOV64_IMM(0, 0), JUMP_IMM(JUMP_GT, 5, 63, 4), ACCESS(3), EXIT() }, { 0 }, "pointer-offset", NULL },
    };

    verifier_check(programs, COUNT(programs));
}

static void test_pointers(void **state)
{
    static const struct program programs[] = {
        { "a product", { ALU_IMM(ALU_MUL, 1, 2), RETURN() }, { 0 }, "pointer-arithmetic", NULL },
        { "a 32-bit sum", { ALU32_IMM(ALU_ADD, 10 - 9, 2), RETURN() }, { 0 }, "pointer-arithmetic", NULL },
        { "the low half", { ALU32_REG(ALU_MOV, 3, 1), RETURN() }, { 0 }, "pointer-arithmetic", NULL },
        { "sign-extended", { MOVSX(3, 1, 32), RETURN() }, { 0 }, "pointer-arithmetic", NULL },
        { "negated", { INSN(0x87, 1, 0, 0, 0), RETURN() }, { 0 }, "pointer-arithmetic", NULL },
        { "swapped", { INSN(0xd7, 1, 0, 0, 64), RETURN() }, { 0 }, "pointer-arithmetic", NULL },
        { "a sum of two", { MOV64_REG(3, 10), ADD64_REG(3, 1), RETURN() }, { 0 }, "pointer-arithmetic", NULL },
        { "a number minus a pointer", { MOV64_IMM(3, 0), ALU_REG(ALU_SUB, 3, 1), RETURN() },
          { 0 }, "pointer-arithmetic", NULL },
        { "a number plus a pointer", { REGION(5, DATA, 0), MOV64_IMM(3, 8), ADD64_REG(3, 5), LDX(8, 0, 3, 48), EXIT() },
          { 0 }, NULL, NULL },
        { "a map plus a number", { MAP(3, HASH), ADD64_IMM(3, 8), RETURN() }, { 0 }, "pointer-arithmetic", NULL },
        { "far away", { REGION(3, DATA, 0), LDDW(5, 1 << 30, 0), ADD64_REG(3, 5), RETURN() }, { 0 }, "pointer-offset",
          NULL },
        { "far away in steps", { REGION(3, DATA, 0), ADD64_IMM(3, 1 << 29), ADD64_IMM(3, 1 << 29), RETURN() },
          { 0 }, "pointer-offset", NULL },
        { "and back", { REGION(3, DATA, 0), ADD64_IMM(3, 1 << 20), ADD64_IMM(3, -(1 << 20)), LDX(8, 0, 3, 0),
          EXIT() }, { 0 }, NULL, NULL },
        { "minus an index", { UP_TO_7(5), REGION(3, DATA, 7), ALU_REG(ALU_SUB, 3, 5), LDX(1, 0, 3, 0), EXIT() },
          { 0 }, NULL, NULL },
        { "minus an index, one too far", { UP_TO_7(5), REGION(3, DATA, 6), ALU_REG(ALU_SUB, 3, 5), LDX(1, 0, 3, 0),
          EXIT() }, { 0 }, "bounds", "-1" },
        { "to the stack, or what is below 8", { UP_TO_7(5), STX(8, 10, 5, -16), MOV64_REG(3, 10), ADD64_IMM(3, -16),
          ALU_REG(ALU_OR, 3, 5), LDX(1, 0, 3, 0), EXIT() }, { 0 }, NULL, NULL },
        { "what is below 8, or to the stack", { UP_TO_7(5), STX(8, 10, 5, -16), MOV64_REG(3, 10), ADD64_IMM(3, -16),
          ALU_REG(ALU_OR, 5, 3), LDX(1, 0, 5, 0), EXIT() }, { 0 }, NULL, NULL },
        { "to the stack, or a constant below 8", { UP_TO_7(5), STX(8, 10, 5, -16), MOV64_REG(3, 10),
          ADD64_IMM(3, -16), ALU_IMM(ALU_OR, 3, 7), LDX(1, 0, 3, 0), EXIT() }, { 0 }, NULL, NULL },
        { "to the stack, or what is below 8, one too far", { UP_TO_7(5), STX(8, 10, 5, -8), MOV64_REG(3, 10),
          ADD64_IMM(3, -8), ALU_REG(ALU_OR, 3, 5), LDX(2, 0, 3, 0), EXIT() }, { 0 }, "stack-bounds", "-8 to 0" },
        { "to the stack, at no multiple of 8, or what is below 8", { UP_TO_7(5), STX(8, 10, 5, -8), MOV64_REG(3, 10),
          ADD64_IMM(3, -4), ALU_REG(ALU_OR, 3, 5), RETURN() }, { 0 }, "pointer-arithmetic", NULL },
        { "to the stack, at any byte of eight, or 1", { UP_TO_7(5), MOV64_REG(3, 10), ADD64_IMM(3, -8),
          ADD64_REG(3, 5), ALU_IMM(ALU_OR, 3, 1), RETURN() }, { 0 }, "pointer-arithmetic", NULL },
        { "to the stack, or 8", { MOV64_REG(3, 10), ADD64_IMM(3, -16), ALU_IMM(ALU_OR, 3, 8), RETURN() },
          { 0 }, "pointer-arithmetic", NULL },
        { "to the stack, 32 bits, or 1", { MOV64_REG(3, 10), ALU32_IMM(ALU_OR, 3, 1), RETURN() },
          { 0 }, "pointer-arithmetic", NULL },
        { "to a variable, or 1", { REGION(3, DATA, 0), ALU_IMM(ALU_OR, 3, 1), RETURN() },
          { 0 }, "pointer-arithmetic", NULL },
        { "to the stack, or one to the stack", { MOV64_REG(3, 10), ALU_REG(ALU_OR, 3, 10), RETURN() },
          { 0 }, "pointer-arithmetic", NULL },
        { "compared with a number", { JUMP_IMM(JUMP_EQ, 1, 5, 0), RETURN() }, { 0 }, "pointer-comparison", NULL },
        { "compared with another", { JUMP_REG(JUMP_EQ, 1, 10, 0), RETURN() }, { 0 }, "pointer-comparison", NULL },
        { "its bits tested", { JUMP_IMM(JUMP_SET, 1, 0, 0), RETURN() }, { 0 }, "pointer-comparison", NULL },
        { "the packet's bits tested", { PACKET(3, 4), JUMP_REG(JUMP_SET, 3, 4, 0), RETURN() },
          { 0 }, "pointer-comparison", NULL },
        { "never 0", { MOV64_IMM(0, 0), JUMP_IMM(JUMP_NE, 10, 0, 1), LDX(1, 0, 0, 0), EXIT() }, { 0 }, NULL, NULL },
        { "the packet may be at 0", { PACKET(3, 4), MOV64_IMM(0, 0), JUMP_IMM(JUMP_NE, 3, 0, 1), LDX(1, 0, 0, 0),
          EXIT() }, { 0 }, "pointer", NULL },
        { "within one object", { REGION(3, DATA, 0), REGION(5, DATA, 64), LDX(1, 0, 3, 0), ADD64_IMM(3, 1),
          JUMP_REG(JUMP_NE, 3, 5, -3), EXIT() }, { 0 }, NULL, NULL },
        { "within one object, beyond its end", { REGION(3, DATA, 0), REGION(5, DATA, 64), ADD64_IMM(5, 1),
          LDX(1, 0, 3, 0), ADD64_IMM(3, 1), JUMP_REG(JUMP_NE, 3, 5, -3), EXIT() }, { 0 }, "bounds", "64 to 64" },
    };

    verifier_check(programs, COUNT(programs));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_jumps),
        cmocka_unit_test(test_arithmetic),
        cmocka_unit_test(test_links),
        cmocka_unit_test(test_pointers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
