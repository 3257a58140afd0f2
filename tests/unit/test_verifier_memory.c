/* SPDX-License-Identifier: MIT */
/* The verifier: what may be read and written.  Refused programs, each beside the nearest one that is accepted. */
#include "verifier.h"

static void test_registers(void **state)
{
    static const struct program programs[] = {
        { "R0 is not set", { EXIT() }, { 0 }, "register-read", "reads R0" },
        { "R0 is set", { RETURN() }, { 0 }, NULL, NULL },
        { "R3 at the start", { MOV64_REG(0, 3), EXIT() }, { 0 }, "register-read", "reads R3" },
        { "nothing was called", { MOV64_REG(0, 3), EXIT() }, { 0 }, "register-read", "set the variable on every path" },
        { "the key", { MOV64_REG(0, 2), EXIT() }, { 0 }, NULL, NULL },
        { "set on one path only", { JUMP_IMM(JUMP_EQ, 2, 0, 1), MOV64_IMM(0, 1), EXIT() }, { 0 }, "register-read",
          NULL },
        { "set on both", { MOV64_IMM(0, 0), JUMP_IMM(JUMP_EQ, 2, 0, 1), MOV64_IMM(0, 1), EXIT() }, { 0 }, NULL, NULL },
        { "through a number", { LDX(8, 0, 2, 0), EXIT() }, { 0 }, "pointer", "a number" },
        { "through NULL", { MOV64_IMM(1, 0), LDX(8, 0, 1, 0), EXIT() }, { 0 }, "pointer", "a number" },
        { "the context is returned", { MOV64_REG(0, 1), EXIT() }, { 0 }, "pointer-leak", "the program returns" },
        { "a byte of an unreached function", { RETURN(), LDX(1, 0, 0, 0), EXIT() }, { 4 }, NULL, NULL },
    };

    verifier_check(programs, COUNT(programs));
}

static void test_stack(void **state)
{
    static const struct program programs[] = {
        { "read before written", { LDX(8, 0, 10, -8), EXIT() }, { 0 }, "stack-read", "bytes -8 to -1" },
        { "half written", { ST(4, 10, -8, 1), LDX(8, 0, 10, -8), EXIT() }, { 0 }, "stack-read", NULL },
        { "both halves", { ST(4, 10, -8, 1), ST(4, 10, -4, 1), LDX(8, 0, 10, -8), EXIT() }, { 0 }, NULL, NULL },
        { "the half that is written", { ST(4, 10, -8, 1), LDX(4, 0, 10, -8), EXIT() }, { 0 }, NULL, NULL },
        { "the other", { ST(4, 10, -8, 1), LDX(4, 0, 10, -4), EXIT() }, { 0 }, "stack-read", NULL },
        { "over two slots", { ST(8, 10, -8, 1), ST(8, 10, -16, 1), LDX(8, 0, 10, -12), EXIT() }, { 0 }, NULL, NULL },
        { "over one and nothing", { ST(8, 10, -8, 1), LDX(8, 0, 10, -12), EXIT() }, { 0 }, "stack-read", NULL },
        { "the last byte", { ST(1, 10, -512, 1), LDX(1, 0, 10, -512), EXIT() }, { 0 }, NULL, NULL },
        { "behind the last", { ST(1, 10, -513, 1), RETURN() }, { 0 }, "stack-bounds", "-513" },
        { "above R10", { ST(1, 10, 0, 1), RETURN() }, { 0 }, "stack-bounds", NULL },
        { "over R10", { ST(8, 10, -4, 1), RETURN() }, { 0 }, "stack-bounds", NULL },
        { "index that is not bounded", { UNKNOWN(3), MOV64_REG(4, 10), ADD64_REG(4, 3), ST(1, 4, -8, 1), RETURN() },
          { 0 }, "pointer-offset", NULL },
        { "index 0 to 7", { UP_TO_7(3), MOV64_REG(4, 10), ADD64_REG(4, 3), ST(1, 4, -8, 1), RETURN() },
          { 0 }, NULL, NULL },
        { "index 0 to 7, one too high", { UP_TO_7(3), MOV64_REG(4, 10), ADD64_REG(4, 3), ST(1, 4, -7, 1), RETURN() },
          { 0 }, "stack-bounds", NULL },
        { "variable read of what is written",
          { ST(8, 10, -8, 1), UP_TO_7(3), MOV64_REG(4, 10), ADD64_REG(4, 3), LDX(1, 0, 4, -8), EXIT() },
          { 0 }, NULL, NULL },
        { "variable read of what is not",
          { ST(4, 10, -8, 1), UP_TO_7(3), MOV64_REG(4, 10), ADD64_REG(4, 3), LDX(1, 0, 4, -8), EXIT() },
          { 0 }, "stack-read", NULL },
        { "a variable write writes nothing for sure",
          { UP_TO_7(3), MOV64_REG(4, 10), ADD64_REG(4, 3), ST(1, 4, -8, 1), LDX(1, 0, 10, -8), EXIT() },
          { 0 }, "stack-read", NULL },
        { "a variable write leaves numbers unknown",
          { ST(8, 10, -8, 1), UP_TO_7(3), MOV64_REG(4, 10), ADD64_REG(4, 3), ST(1, 4, -8, 99), LDX(8, 5, 10, -8),
            REGION(6, DATA, 0), ADD64_REG(6, 5), LDX(1, 0, 6, 0), EXIT() },
          { 0 }, "pointer-offset", NULL },
        { "a number that stays known",
          { ST(8, 10, -8, 1), LDX(8, 5, 10, -8), REGION(6, DATA, 0), ADD64_REG(6, 5), LDX(1, 0, 6, 62), EXIT() },
          { 0 }, NULL, NULL },
        { "a half that is stored over it",
          { ST(8, 10, -8, 1), ST(4, 10, -8, 64), LDX(8, 5, 10, -8), REGION(6, DATA, 0), ADD64_REG(6, 5),
            LDX(1, 0, 6, 0), EXIT() }, { 0 }, "bounds", NULL },
        { "halves are kept apart",
          { ST(4, 10, -8, 3), ST(4, 10, -4, 99), LDX(4, 5, 10, -8), REGION(6, DATA, 0), ADD64_REG(6, 5),
            LDX(1, 0, 6, 60), EXIT() }, { 0 }, NULL, NULL },
    };

    verifier_check(programs, COUNT(programs));
}

static void test_spills(void **state)
{
    static const struct program programs[] = {
        { "a pointer comes back", { STX(8, 10, 1, -8), LDX(8, 3, 10, -8), LDX(4, 0, 3, AT(size)), EXIT() },
          { 0 }, NULL, NULL },
        { "a part of it is read", { STX(8, 10, 1, -8), LDX(4, 0, 10, -8), EXIT() }, { 0 }, "pointer-leak", NULL },
        { "a part of it is stored", { STX(4, 10, 1, -8), RETURN() }, { 0 }, "pointer-leak", NULL },
        { "it is stored across slots", { STX(8, 10, 1, -12), RETURN() }, { 0 }, "pointer-leak", NULL },
        { "a byte is stored over it: not a pointer any more",
          { STX(8, 10, 1, -8), ST(1, 10, -8, 0), LDX(8, 3, 10, -8), LDX(4, 0, 3, AT(size)), EXIT() },
          { 0 }, "stack-read", NULL },
        { "the rest of it must not be read as a number",
          { STX(8, 10, 1, -8), ST(4, 10, -8, 0), LDX(4, 0, 10, -4), EXIT() }, { 0 }, "stack-read", NULL },
        { "a variable write may have hit it",
          { STX(8, 10, 1, -8), UP_TO_7(3), MOV64_REG(4, 10), ADD64_REG(4, 3), ST(1, 4, -8, 0), LDX(8, 3, 10, -8),
            LDX(4, 0, 3, AT(size)), EXIT() }, { 0 }, "stack-read", NULL },
        { "a variable write elsewhere",
          { STX(8, 10, 1, -16), UP_TO_7(3), MOV64_REG(4, 10), ADD64_REG(4, 3), ST(1, 4, -8, 0), LDX(8, 3, 10, -16),
            LDX(4, 0, 3, AT(size)), EXIT() }, { 0 }, NULL, NULL },
        { "a variable read may see it",
          { ST(8, 10, -8, 0), STX(8, 10, 1, -16), UP_TO_7(3), MOV64_REG(4, 10), ADD64_REG(4, 3), LDX(1, 0, 4, -16),
            EXIT() }, { 0 }, "pointer-leak", NULL },
        { "an unaligned read across it",
          { ST(8, 10, -8, 0), STX(8, 10, 1, -16), LDX(8, 0, 10, -12), EXIT() }, { 0 }, "pointer-leak", NULL },
        { "a number on the stack, compared in its register",
          { UNKNOWN(3), STX(8, 10, 3, -8), JUMP_IMM(JUMP_GT, 3, 56, 5), LDX(8, 4, 10, -8), REGION(5, DATA, 0),
            ADD64_REG(5, 4), LDX(8, 0, 5, 0), RETURN() }, { 0 }, NULL, NULL },
        { "in its register, compared as loaded from the stack",
          { UNKNOWN(3), STX(8, 10, 3, -8), LDX(8, 4, 10, -8), JUMP_IMM(JUMP_GT, 4, 56, 4), REGION(5, DATA, 0),
            ADD64_REG(5, 3), LDX(8, 0, 5, 0), RETURN() }, { 0 }, NULL, NULL },
        { "compared, and one too far",
          { UNKNOWN(3), STX(8, 10, 3, -8), JUMP_IMM(JUMP_GT, 3, 57, 5), LDX(8, 4, 10, -8), REGION(5, DATA, 0),
            ADD64_REG(5, 4), LDX(8, 0, 5, 0), RETURN() }, { 0 }, "bounds", NULL },
        { "compared where another is on the stack by now",
          { UNKNOWN(3), STX(8, 10, 3, -8), UNKNOWN(6), STX(8, 10, 6, -8), JUMP_IMM(JUMP_GT, 3, 56, 5),
            LDX(8, 4, 10, -8), REGION(5, DATA, 0), ADD64_REG(5, 4), LDX(8, 0, 5, 0), RETURN() }, { 0 },
          "pointer-offset", NULL },
        { "compared where a byte of it was changed",
          { UNKNOWN(3), STX(8, 10, 3, -8), ST(1, 10, -8, 1), JUMP_IMM(JUMP_GT, 3, 56, 5), LDX(8, 4, 10, -8),
            REGION(5, DATA, 0), ADD64_REG(5, 4), LDX(8, 0, 5, 0), RETURN() }, { 0 }, "pointer-offset", NULL },
        { "compared where its half is on the stack",
          { UNKNOWN(3), ST(8, 10, -8, 0), STX(4, 10, 3, -8), JUMP_IMM(JUMP_GT, 3, 56, 5), LDX(8, 4, 10, -8),
            REGION(5, DATA, 0), ADD64_REG(5, 4), LDX(8, 0, 5, 0), RETURN() }, { 0 }, "pointer-offset", NULL },
    };

    verifier_check(programs, COUNT(programs));
}

static void test_context(void **state)
{
    static const struct program programs[] = {
        { "a field", { LDX(4, 0, 1, AT(size)), EXIT() }, { 0 }, NULL, NULL },
        { "a part of a field", { LDX(2, 0, 1, AT(size) + 2), EXIT() }, { 0 }, NULL, NULL },
        { "over a field's end", { LDX(4, 0, 1, AT(size) + 2), EXIT() }, { 0 }, "context",
          "that the hook declares; near it: \"size\" (4 bytes at 24) and \"status\" (4 bytes at 28)" },
        { "no field", { LDX(1, 0, 1, AT(undeclared)), EXIT() }, { 0 }, "context", NULL },
        { "ahead of it", { LDX(1, 0, 1, -1), EXIT() }, { 0 }, "context", "near it: \"" },
        { "behind it", { LDX(1, 0, 1, 4000), EXIT() }, { 0 }, "context", "near it: \"" },
        { "a store", { ST(4, 1, AT(status), 1), RETURN() }, { 0 }, NULL, NULL },
        { "a store to what is only read", { ST(4, 1, AT(size), 1), RETURN() }, { 0 }, "context", "read-only" },
        { "a store to data", { ST(8, 1, AT(data), 1), RETURN() }, { 0 }, "context", "read-only" },
        { "a half of data", { LDX(4, 0, 1, AT(data)), EXIT() }, { 0 }, "context", "a pointer" },
        { "by a constant", { ADD64_IMM(1, 16), LDX(4, 0, 1, AT(size) - 16), EXIT() }, { 0 }, NULL, NULL },
        { "by a variable", { UP_TO_7(3), ADD64_REG(1, 3), LDX(1, 0, 1, 0), EXIT() }, { 0 }, "context-variable", NULL },
        { "a pointer is stored", { STX(8, 1, 10, AT(value)), RETURN() }, { 0 }, "pointer-leak", NULL },
        { "its own pointer is stored", { STX(8, 1, 1, AT(value)), RETURN() }, { 0 }, "pointer-leak", NULL },
    };

    verifier_check(programs, COUNT(programs));
}

static void test_regions(void **state)
{
    static const struct program programs[] = {
        { "the last bytes", { REGION(1, DATA, 56), LDX(8, 0, 1, 0), EXIT() }, { 0 }, NULL, NULL },
        { "one further", { REGION(1, DATA, 57), LDX(8, 0, 1, 0), EXIT() }, { 0 }, "bounds", "bytes 57 to 64" },
        { "one ahead", { REGION(1, DATA, 0), LDX(1, 0, 1, -1), EXIT() }, { 0 }, "bounds", NULL },
        { "a store", { REGION(1, DATA, 0), ST(8, 1, 0, 1), RETURN() }, { 0 }, NULL, NULL },
        { "a store to .rodata", { REGION(1, RODATA, 0), ST(8, 1, 0, 1), RETURN() }, { 0 }, "read-only", NULL },
        { "a store to a map that is only read", { REGION(1, READ_ONLY, 0), ST(8, 1, 0, 1), RETURN() },
          { 0 }, "read-only", NULL },
        { "an atomic there", { MOV64_IMM(2, 0), REGION(1, READ_ONLY, 0), ATOMIC64(1, 2, 0, ATOMIC_ADD), RETURN() },
          { 0 }, "read-only", NULL },
        { "a load there", { REGION(1, READ_ONLY, 0), LDX(8, 0, 1, 0), EXIT() }, { 0 }, NULL, NULL },
        { "a pointer is stored", { REGION(3, DATA, 0), STX(8, 3, 1, 0), RETURN() }, { 0 }, "pointer-leak", NULL },
        { "an index 0 to 7", { UP_TO_7(3), REGION(4, DATA, 57), ADD64_REG(4, 3), LDX(1, 0, 4, -1), EXIT() },
          { 0 }, NULL, NULL },
        { "an index 0 to 7, one too far", { UP_TO_7(3), REGION(4, DATA, 57), ADD64_REG(4, 3), LDX(1, 0, 4, 0), EXIT() },
          { 0 }, "bounds", NULL },
        { "what is in .data is not known",
          { REGION(3, DATA, 0), LDX(8, 4, 3, 0), ADD64_REG(3, 4), LDX(1, 0, 3, 0), EXIT() }, { 0 }, "pointer-offset",
          NULL },
        { "what is in .rodata is", { REGION(3, RODATA, 3), LDX(1, 4, 3, 0), ADD64_REG(3, 4), LDX(8, 0, 3, 1), EXIT() },
          { 0 }, NULL, NULL },
        { "and counts", { REGION(3, RODATA, 3), LDX(1, 4, 3, 0), ADD64_REG(3, 4), LDX(8, 0, 3, 2), EXIT() },
          { 0 }, "bounds", "bytes 9 to 16" },
        { "with its sign", { REGION(3, RODATA, 3), LDXS(1, 4, 3, 0), ADD64_REG(3, 4), LDX(8, 0, 3, 1), EXIT() },
          { 0 }, NULL, NULL },
        { "a map is no memory", { MAP(1, HASH), LDX(8, 0, 1, 0), EXIT() }, { 0 }, "pointer", "a map" },
        { "a function is no memory", { FUNCTION(1, 1), LDX(8, 0, 1, 0), EXIT(), RETURN() }, { 4, 2 }, "pointer",
          "a function" },
    };

    verifier_check(programs, COUNT(programs));
}

static void test_packet(void **state)
{
    static const struct program programs[] = {
        { "not compared", { PACKET(3, 4), LDX(1, 0, 3, 0), EXIT() }, { 0 }, "packet-bounds", "data_end" },
        { "if (p + 8 > end) return", { PACKET(3, 4), MOV64_REG(5, 3), ADD64_IMM(5, 8), MOV64_IMM(0, 0),
          JUMP_REG(JUMP_GT, 5, 4, 1), LDX(8, 0, 3, 0), EXIT() }, { 0 }, NULL, NULL },
        { "one byte more", { PACKET(3, 4), MOV64_REG(5, 3), ADD64_IMM(5, 8), MOV64_IMM(0, 0),
          JUMP_REG(JUMP_GT, 5, 4, 1), LDX(8, 0, 3, 1), EXIT() }, { 0 }, "packet-bounds", "bytes 1 to 8" },
        { "on the wrong path", { PACKET(3, 4), MOV64_REG(5, 3), ADD64_IMM(5, 8), MOV64_IMM(0, 0),
          JUMP_REG(JUMP_LE, 5, 4, 1), LDX(1, 0, 3, 0), EXIT() }, { 0 }, "packet-bounds", NULL },
        { "if (p + 8 >= end) return: one more", { PACKET(3, 4), MOV64_REG(5, 3), ADD64_IMM(5, 8), MOV64_IMM(0, 0),
          JUMP_REG(JUMP_GE, 5, 4, 1), LDX(8, 0, 3, 1), EXIT() }, { 0 }, NULL, NULL },
        { "if (end < p + 8) return", { PACKET(3, 4), MOV64_REG(5, 3), ADD64_IMM(5, 8), MOV64_IMM(0, 0),
          JUMP_REG(JUMP_LT, 4, 5, 1), LDX(8, 0, 3, 0), EXIT() }, { 0 }, NULL, NULL },
        { "if (end > p + 8): one more", { PACKET(3, 4), MOV64_REG(5, 3), ADD64_IMM(5, 8), MOV64_IMM(0, 0),
          JUMP_REG(JUMP_GT, 4, 5, 1), EXIT(), LDX(8, 0, 3, 1), EXIT() }, { 0 }, NULL, NULL },
        { "if (end <= p + 8) return, else one more", { PACKET(3, 4), MOV64_REG(5, 3), ADD64_IMM(5, 8), MOV64_IMM(0, 0),
          JUMP_REG(JUMP_LE, 4, 5, 1), LDX(8, 0, 3, 1), EXIT() }, { 0 }, NULL, NULL },
        { "signed comparisons say nothing", { PACKET(3, 4), MOV64_REG(5, 3), ADD64_IMM(5, 8), MOV64_IMM(0, 0),
          JUMP_REG(JUMP_SGT, 5, 4, 1), LDX(8, 0, 3, 0), EXIT() }, { 0 }, "packet-bounds", NULL },
        { "of the low half they are refused", { PACKET(3, 4), JUMP32_REG(JUMP_GT, 3, 4, 0), RETURN() },
          { 0 }, "pointer-comparison", NULL },
        { "p != end, with p <= end", { PACKET(3, 4), MOV64_IMM(0, 0), JUMP_REG(JUMP_EQ, 3, 4, 1), LDX(1, 0, 3, 0),
          EXIT() }, { 0 }, NULL, NULL },
        { "p + 1 != end", { PACKET(3, 4), ADD64_IMM(3, 1), MOV64_IMM(0, 0), JUMP_REG(JUMP_EQ, 3, 4, 1),
          LDX(1, 0, 3, 0), EXIT() }, { 0 }, "packet-bounds", NULL },
        { "ahead of the packet", { PACKET(3, 4), MOV64_REG(5, 3), ADD64_IMM(5, 8), MOV64_IMM(0, 0),
          JUMP_REG(JUMP_GT, 5, 4, 1), LDX(1, 0, 3, -1), EXIT() }, { 0 }, "packet-bounds", NULL },
        { "a store", { PACKET(3, 4), MOV64_REG(5, 3), ADD64_IMM(5, 8), MOV64_IMM(0, 0), JUMP_REG(JUMP_GT, 5, 4, 1),
          ST(1, 3, 0, 0), EXIT() }, { 0 }, "packet-store", NULL },
        { "p + index, compared", { UP_TO_7(6), PACKET(3, 4), ADD64_REG(3, 6), MOV64_REG(5, 3), ADD64_IMM(5, 1),
          MOV64_IMM(0, 0), JUMP_REG(JUMP_GT, 5, 4, 1), LDX(1, 0, 3, 0), EXIT() }, { 0 }, NULL, NULL },
        { "p + index, compared without", { UP_TO_7(6), PACKET(3, 4), MOV64_REG(5, 3), ADD64_IMM(5, 1), MOV64_IMM(0, 0),
          JUMP_REG(JUMP_GT, 5, 4, 2), ADD64_REG(3, 6), LDX(1, 0, 3, 0), EXIT() }, { 0 }, "packet-bounds", NULL },
        { "before an index, compared", { UP_TO_7(6), ADD64_IMM(6, 8), PACKET(3, 4), ADD64_REG(3, 6), MOV64_REG(5, 3),
          ADD64_IMM(5, 1), MOV64_IMM(0, 0), JUMP_REG(JUMP_GT, 5, 4, 1), LDX(1, 0, 3, -8), EXIT() }, { 0 }, NULL, NULL },
        { "before an index that may be behind the end", { UP_TO_7(6), ADD64_IMM(6, 8), PACKET(3, 4), ADD64_REG(3, 6),
          LDX(1, 0, 3, -8), EXIT() }, { 0 }, "packet-bounds", NULL },
        { "another index than the one compared", { UP_TO_7(6), UP_TO_7(7), PACKET(3, 4), MOV64_REG(5, 3),
          ADD64_REG(5, 6), ADD64_REG(3, 7), ADD64_IMM(5, 1), MOV64_IMM(0, 0), JUMP_REG(JUMP_GT, 5, 4, 1),
          LDX(1, 0, 3, 0), EXIT() }, { 0 }, "packet-bounds", NULL },
        { "p + index may be behind the end", { UP_TO_7(6), PACKET(3, 4), ADD64_REG(3, 6), MOV64_IMM(0, 0),
          JUMP_REG(JUMP_LE, 3, 4, 1), LDX(1, 0, 0, 0), EXIT() }, { 0 }, "pointer", NULL },
        { "p may not", { PACKET(3, 4), MOV64_IMM(0, 0), JUMP_REG(JUMP_LE, 3, 4, 1), LDX(1, 0, 0, 0), EXIT() },
          { 0 }, NULL, NULL },
        { "an index that may be negative", { UP_TO_7(6), ADD64_IMM(6, -1), PACKET(3, 4), ADD64_REG(3, 6),
          MOV64_REG(5, 3), ADD64_IMM(5, 1), MOV64_IMM(0, 0), JUMP_REG(JUMP_GT, 5, 4, 1), LDX(1, 0, 3, 0), EXIT() },
          { 0 }, "packet-bounds", NULL },
        { "the end is no memory", { PACKET(3, 4), LDX(1, 0, 4, 0), EXIT() }, { 0 }, "pointer", NULL },
        { "the length is a number", { PACKET(3, 4), ALU_REG(ALU_SUB, 4, 3), MOV64_REG(0, 4), EXIT() },
          { 0 }, NULL, NULL },
        { "its low half, too", { PACKET(3, 4), ALU32_REG(ALU_SUB, 4, 3), MOV64_REG(0, 4), EXIT() }, { 0 }, NULL, NULL },
        { "a distance to the stack is an address", { PACKET(3, 4), ALU_REG(ALU_SUB, 4, 10), MOV64_REG(0, 4), EXIT() },
          { 0 }, "pointer-arithmetic", NULL },
    };

    verifier_check(programs, COUNT(programs));
}

static void test_atomics(void **state)
{
    static const struct program programs[] = {
        { "on the stack", { ST(8, 10, -8, 0), MOV64_IMM(2, 1), ATOMIC64(10, 2, -8, ATOMIC_ADD), RETURN() },
          { 0 }, NULL, NULL },
        { "on what is not written", { MOV64_IMM(2, 1), ATOMIC64(10, 2, -8, ATOMIC_ADD), RETURN() },
          { 0 }, "stack-read", NULL },
        { "not aligned", { ST(8, 10, -8, 0), MOV64_IMM(2, 1), ATOMIC32(10, 2, -6, ATOMIC_ADD), RETURN() },
          { 0 }, "alignment", NULL },
        { "aligned to 4 for 4", { ST(8, 10, -8, 0), MOV64_IMM(2, 1), ATOMIC32(10, 2, -4, ATOMIC_ADD), RETURN() },
          { 0 }, NULL, NULL },
        { "an index that is not a multiple", { UP_TO_7(3), REGION(4, DATA, 0), ADD64_REG(4, 3), MOV64_IMM(2, 1),
          ATOMIC64(4, 2, 0, ATOMIC_ADD), RETURN() }, { 0 }, "alignment", NULL },
        { "an index that is", { UP_TO_7(3), ALU_IMM(ALU_LSH, 3, 2), REGION(4, DATA, 0), ADD64_REG(4, 3),
          MOV64_IMM(2, 1), ATOMIC32(4, 2, 0, ATOMIC_ADD), RETURN() }, { 0 }, NULL, NULL },
        { "on the context", { MOV64_IMM(2, 1), ATOMIC64(1, 2, AT(value), ATOMIC_ADD), RETURN() }, { 0 }, "atomic",
          NULL },
        { "a pointer is exchanged into memory", { REGION(4, DATA, 0), ATOMIC64(4, 1, 0, ATOMIC_EXCHANGE), RETURN() },
          { 0 }, "pointer-leak", NULL },
        { "a pointer is compared with memory", { REGION(4, DATA, 0), MOV64_REG(0, 1), MOV64_IMM(2, 0),
          ATOMIC64(4, 2, 0, ATOMIC_COMPARE_EXCHANGE), RETURN() }, { 0 }, "pointer-leak", NULL },
        { "R0 must be set for that", { REGION(4, DATA, 0), MOV64_IMM(2, 0),
          ATOMIC64(4, 2, 0, ATOMIC_COMPARE_EXCHANGE), RETURN() }, { 0 }, "register-read", "reads R0" },
        { "a pointer on the stack is fetched", { STX(8, 10, 1, -8), MOV64_IMM(2, 0),
          ATOMIC64(10, 2, -8, ATOMIC_EXCHANGE), MOV64_REG(0, 2), EXIT() }, { 0 }, "pointer-leak", NULL },
        { "what is fetched is not known", { ST(8, 10, -8, 1), MOV64_IMM(2, 0), ATOMIC64(10, 2, -8, ATOMIC_EXCHANGE),
          REGION(4, DATA, 0), ADD64_REG(4, 2), LDX(1, 0, 4, 0), EXIT() }, { 0 }, "pointer-offset", NULL },
        { "nor what it leaves", { ST(8, 10, -8, 1), MOV64_IMM(2, 0), ATOMIC64(10, 2, -8, ATOMIC_ADD),
          LDX(8, 2, 10, -8), REGION(4, DATA, 0), ADD64_REG(4, 2), LDX(1, 0, 4, 0), EXIT() }, { 0 }, "pointer-offset",
          NULL },
        { "compare and exchange leaves it in R0", { ST(8, 10, -8, 1), MOV64_IMM(0, 1), MOV64_IMM(2, 0),
          ATOMIC64(10, 2, -8, ATOMIC_COMPARE_EXCHANGE), REGION(4, DATA, 0), ADD64_REG(4, 0), LDX(1, 0, 4, 0),
          EXIT() }, { 0 }, "pointer-offset", NULL },
        { "the source stays without fetch", { ST(8, 10, -8, 1), MOV64_IMM(2, 1), ATOMIC64(10, 2, -8, ATOMIC_ADD),
          REGION(4, DATA, 0), ADD64_REG(4, 2), LDX(1, 0, 4, 0), EXIT() }, { 0 }, NULL, NULL },
    };

    verifier_check(programs, COUNT(programs));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_registers), cmocka_unit_test(test_stack),  cmocka_unit_test(test_spills),
        cmocka_unit_test(test_context),   cmocka_unit_test(test_regions), cmocka_unit_test(test_packet),
        cmocka_unit_test(test_atomics),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
