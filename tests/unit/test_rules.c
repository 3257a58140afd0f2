/* SPDX-License-Identifier: MIT */
/*
 * The x86-64 back end's rules, each on the smallest programs that it is for and on some that it must leave alone: the
 * bytes that come out, and that they compute what the interpreter does.
 */
#include "jit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "context.h"
#include "interpreter.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MEMORY 64               /* bytes that R1 points to */
#define INDEX 3                 /* R2 */

#define ALU64(operation, dst, src) INSN((uint8_t)((operation) << 4 | 0x0f), dst, src, 0, 0)
#define ALU64_IMM(operation, dst, imm) INSN((uint8_t)((operation) << 4 | 0x07), dst, 0, 0, imm)
#define ALU32(operation, dst, src) INSN((uint8_t)((operation) << 4 | 0x0c), dst, src, 0, 0)
#define ALU32_IMM(operation, dst, imm) INSN((uint8_t)((operation) << 4 | 0x04), dst, 0, 0, imm)

#define CODE_MAX 24

static const struct row {
    const char *name;
    const char *architecture;
    struct instruction code[CODE_MAX];          /* up to the exit */
    const char *bytes;          /* what comes out, hexadecimal, without the return */
    uint8_t mark[CODE_MAX];     /* what the verifier would have said, too */
} rows[] = {
    /* ---- loads of bytes ---- */
    { "two bytes", "x86_64",
      { LDX(1, 0, 1, 5), LDX(1, 3, 1, 4), ALU64_IMM(ALU_LSH, 0, 8), ALU64(ALU_OR, 0, 3) }, "0fb74704", { 0 } },
    { "two bytes, the other way round", "x86_64",
      { LDX(1, 0, 1, 4), LDX(1, 3, 1, 5), ALU64_IMM(ALU_LSH, 0, 8), ALU64(ALU_OR, 0, 3) },
      "0fb7470466c1c808", { 0 } },
    { "four bytes in 32-bit arithmetic, added", "x86_64",
      { LDX(1, 0, 1, 3), LDX(1, 3, 1, 2), ALU32_IMM(ALU_LSH, 3, 8), ALU32(ALU_ADD, 0, 3), LDX(1, 3, 1, 1),
        ALU32_IMM(ALU_LSH, 3, 16), ALU32(ALU_XOR, 0, 3), LDX(1, 3, 1, 0), ALU32_IMM(ALU_LSH, 3, 24),
        ALU32(ALU_OR, 0, 3) }, "8b070fc8", { 0 } },
    { "eight bytes of two words", "x86_64",
      { LDX(4, 3, 1, 8), LDX(4, 0, 1, 12), ALU64_IMM(ALU_LSH, 0, 32), ALU64(ALU_OR, 0, 3) }, "488b4708", { 0 } },
    { "the base is overwritten by the last load", "x86_64",
      { LDX(1, 0, 1, 4), LDX(1, 1, 1, 5), ALU64_IMM(ALU_LSH, 1, 8), ALU64(ALU_OR, 1, 0), MOV64_REG(0, 1) },
      "0fb77f044889f8", { 0 } },
    { "swapped afterwards", "x86_64",
      { LDX(1, 0, 1, 4), LDX(1, 3, 1, 5), ALU64_IMM(ALU_LSH, 3, 8), ALU64(ALU_OR, 0, 3), INSN(0xdc, 0, 0, 0, 16) },
      "0fb7470466c1c808", { 0 } },
    { "one byte is read elsewhere too", "x86_64",
      { LDX(1, 0, 1, 5), LDX(1, 3, 1, 4), ALU64_IMM(ALU_LSH, 0, 8), ALU64(ALU_OR, 0, 3), ALU64(ALU_MUL, 0, 3) },
      "0fb657040fb74704480fafc2", { 0 } },
    { "not: a store in between", "x86_64",
      { LDX(1, 0, 1, 5), STX(1, 1, 0, 4), LDX(1, 3, 1, 4), ALU64_IMM(ALU_LSH, 0, 8), ALU64(ALU_OR, 0, 3) },
      "0fb647058847040fb6570448c1e0084809d0", { 0 } },
    { "not: bytes that are not adjacent", "x86_64",
      { LDX(1, 0, 1, 6), LDX(1, 3, 1, 4), ALU64_IMM(ALU_LSH, 0, 8), ALU64(ALU_OR, 0, 3) },
      "0fb647060fb6570448c1e0084809d0", { 0 } },
    { "not: bytes that overlap", "x86_64",
      { LDX(2, 0, 1, 5), LDX(1, 3, 1, 4), ALU64_IMM(ALU_LSH, 0, 8), ALU64(ALU_ADD, 0, 0), ALU64(ALU_OR, 0, 3) },
      "0fb747050fb6570448c1e0084801c04809d0", { 0 } },
    { "not: both bytes are needed by themselves", "x86_64",
      { LDX(1, 0, 1, 5), LDX(1, 3, 1, 4), MOV64_REG(4, 0), ALU64_IMM(ALU_LSH, 0, 8), ALU64(ALU_OR, 0, 3),
        ALU64(ALU_MUL, 0, 3), ALU64(ALU_MUL, 0, 4) }, "0fb647050fb657044889c148c1e0084809d0480fafc2480fafc1", { 0 } },
    { "a byte is copied before the value is complete", "x86_64",
      { LDX(1, 3, 1, 4), LDX(1, 0, 1, 5), MOV64_REG(4, 3), ALU64_IMM(ALU_LSH, 0, 8), ALU64(ALU_OR, 3, 0),
        ALU64(ALU_MUL, 4, 2), MOV64_REG(0, 3), ALU64(ALU_XOR, 0, 4) },
      "0fb657044889d10fb75704480fafce4889d04831c8", { 0 } },
    { "not: a jump leads in between", "x86_64",
      { MOV64_IMM(0, 9), JEQ_IMM(2, INDEX, 1), LDX(1, 0, 1, 5), LDX(1, 3, 1, 4), ALU64_IMM(ALU_LSH, 0, 8),
        ALU64(ALU_OR, 0, 3) }, "b8090000004883fe0374040fb647050fb6570448c1e0084809d0", { 0 } },
    { "an index in 32-bit arithmetic that does not wrap", "x86_64",
      { ALU32(ALU_MOV, 3, 2), ALU32_IMM(ALU_ADD, 3, 1), MOV64_REG(4, 1), ALU64(ALU_ADD, 4, 3), LDX(1, 0, 4, 0),
        ALU64(ALU_ADD, 1, 2), LDX(1, 3, 1, 0), ALU64_IMM(ALU_LSH, 0, 8), ALU64(ALU_OR, 0, 3) }, "0fb70437",
      { VERIFIED_SOURCE_32, VERIFIED_NO_WRAP } },
    { "not: an index that may wrap", "x86_64",
      { ALU32(ALU_MOV, 3, 2), ALU32_IMM(ALU_ADD, 3, 1), MOV64_REG(4, 1), ALU64(ALU_ADD, 4, 3), LDX(1, 0, 4, 0),
        ALU64(ALU_ADD, 1, 2), LDX(1, 3, 1, 0), ALU64_IMM(ALU_LSH, 0, 8), ALU64(ALU_OR, 0, 3) },
      "8d56010fb604170fb6143748c1e0084809d0",
      { VERIFIED_SOURCE_32 } },

    /* ---- extensions ---- */
    { "up and down by 32", "x86_64",
      { LDX(8, 0, 1, 0), ALU64_IMM(ALU_LSH, 0, 32), ALU64_IMM(ALU_RSH, 0, 32) }, "488b0789c0", { 0 } },
    { "up and down by 56, with the sign", "x86_64",
      { LDX(8, 0, 1, 0), ALU64_IMM(ALU_LSH, 0, 56), ALU64_IMM(ALU_ARSH, 0, 56) }, "488b07480fbec0", { 0 } },
    { "up and down by 16 in 32-bit arithmetic", "x86_64",
      { LDX(8, 3, 1, 0), MOV64_REG(0, 3), ALU32_IMM(ALU_LSH, 0, 16), ALU32_IMM(ALU_RSH, 0, 16) },
      "488b170fb7c2", { 0 } },
    { "not: by different numbers", "x86_64",
      { LDX(8, 0, 1, 0), ALU64_IMM(ALU_LSH, 0, 32), ALU64_IMM(ALU_RSH, 0, 48) }, "488b0748c1e02048c1e830", { 0 } },
    { "zero already, as a load made it", "x86_64",
      { LDX(4, 0, 1, 0), ALU32(ALU_MOV, 0, 0), ALU64_IMM(ALU_LSH, 0, 32), ALU64_IMM(ALU_RSH, 0, 32) },
      "8b07", { 0 } },
    { "zero already, as the verifier knows", "x86_64",
      { MOV64_REG(0, 2), ALU32(ALU_MOV, 0, 0) }, "4889f0", { 0, VERIFIED_SOURCE_32 } },
    { "not: the upper half may be set", "x86_64", { LDX(8, 0, 1, 0), ALU32(ALU_MOV, 0, 0) }, "488b0789c0", { 0 } },

    { "a mask of what a shift leaves", "x86_64",
      { LDX(8, 0, 1, 0), INSN(OPCODE_LOAD_64, 3, 0, 0, -4096), INSN(0, 0, 0, 0, 0), ALU64(ALU_AND, 0, 3),
        ALU64_IMM(ALU_RSH, 0, 12) }, "488b07c1e80c", { 0 } },
    { "not: another mask", "x86_64",
      { LDX(8, 0, 1, 0), INSN(OPCODE_LOAD_64, 3, 0, 0, -4096), INSN(0, 0, 0, 0, 0), ALU64(ALU_AND, 0, 3),
        ALU64_IMM(ALU_RSH, 0, 11) }, "488b07ba00f0ffff4821d048c1e80b", { 0 } },

    /* ---- rotates ---- */
    { "32 bits", "x86_64",
      { LDX(4, 0, 1, 0), ALU32(ALU_MOV, 3, 0), ALU32_IMM(ALU_RSH, 3, 25), ALU32_IMM(ALU_LSH, 0, 7),
        ALU32(ALU_OR, 0, 3) }, "8b07c1c007", { 0 } },
    { "64 bits, the copy becomes the result", "x86_64",
      { LDX(8, 0, 1, 0), MOV64_REG(3, 0), ALU64_IMM(ALU_LSH, 3, 13), ALU64_IMM(ALU_RSH, 0, 51), ALU64(ALU_XOR, 3, 0),
        MOV64_REG(0, 3) }, "488b074889c248c1c20d4889d0", { 0 } },
    { "to another register", "x86_64-v3",
      { LDX(8, 3, 1, 0), MOV64_REG(0, 3), ALU64_IMM(ALU_LSH, 0, 13), MOV64_REG(4, 3), ALU64_IMM(ALU_RSH, 4, 51),
        ALU64(ALU_OR, 0, 4), ALU64(ALU_MUL, 0, 3) }, "488b17c4e3fbf0c233480fafc2", { 0 } },
    { "not: numbers that do not add up", "x86_64",
      { LDX(4, 0, 1, 0), ALU32(ALU_MOV, 3, 0), ALU32_IMM(ALU_RSH, 3, 24), ALU32_IMM(ALU_LSH, 0, 7),
        ALU32(ALU_OR, 0, 3) }, "8b0789c2c1ea18c1e00709d0", { 0 } },
    { "not: of different values", "x86_64",
      { LDX(4, 0, 1, 0), LDX(4, 3, 1, 4), ALU32_IMM(ALU_RSH, 3, 25), ALU32_IMM(ALU_LSH, 0, 7), ALU32(ALU_OR, 0, 3) },
      "8b078b5704c1ea19c1e00709d0", { 0 } },
    { "not: a part is read afterwards", "x86_64",
      { LDX(4, 0, 1, 0), ALU32(ALU_MOV, 3, 0), ALU32_IMM(ALU_RSH, 3, 25), ALU32_IMM(ALU_LSH, 0, 7),
        ALU32(ALU_OR, 0, 3), ALU64(ALU_MUL, 0, 3) }, "8b0789c2c1ea19c1e00709d0480fafc2", { 0 } },
    { "not: a part is read in another block", "x86_64",
      { LDX(4, 0, 1, 0), ALU32(ALU_MOV, 3, 0), ALU32_IMM(ALU_RSH, 3, 25), ALU32_IMM(ALU_LSH, 0, 7),
        ALU32(ALU_OR, 0, 3), JEQ_IMM(2, 0, 1), ALU64(ALU_MUL, 0, 3) },
      "8b0789c2c1ea19c1e00709d04885f67404480fafc2", { 0 } },

    /* ---- copies ---- */
    { "sum of a copy", "x86_64", { MOV64_REG(0, 2), ADD64_IMM(0, 100) }, "488d4664", { 0 } },
    { "difference of a copy, 32 bits", "x86_64", { MOV64_REG(0, 2), ALU32_IMM(ALU_SUB, 0, 1) }, "8d46ff", { 0 } },
    { "product of a copy", "x86_64", { MOV64_REG(0, 2), ALU64_IMM(ALU_MUL, 0, 100) }, "486bc664", { 0 } },
    { "product with 9", "x86_64", { MOV64_REG(0, 2), ALU64_IMM(ALU_MUL, 0, 9) }, "488d04f6", { 0 } },
    { "a copy shifted by a register", "x86_64-v3",
      { LDX(8, 3, 1, 0), MOV64_REG(0, 3), ALU64(ALU_LSH, 0, 2) }, "488b17c4e2c9f7c2", { 0 } },
    { "a copy shifted by a register, without BMI2", "x86_64",
      { LDX(8, 3, 1, 0), MOV64_REG(0, 3), ALU32(ALU_RSH, 0, 2) },
      "488b174989d24989cb4889f141d3ea4c89d94c89d0", { 0 } },
    { "a copy compared", "x86_64",
      { MOV64_IMM(0, 1), MOV64_REG(3, 2), INSN(0x25, 3, 0, 1, 7), MOV64_IMM(0, 2) },
      "b8010000004883fe077705b802000000", { 0 } },
    { "a copy as the second operand", "x86_64",
      { LDX(8, 0, 1, 0), MOV64_REG(3, 2), ALU64(ALU_XOR, 0, 3) }, "488b074831f0", { 0 } },
    { "not: the original has changed", "x86_64",
      { MOV64_REG(0, 2), ADD64_IMM(2, 1), ADD64_IMM(0, 100), ALU64(ALU_MUL, 0, 2) },
      "4889f04883c6014883c064480fafc6", { 0 } },

    /* ---- sums and addresses ---- */
    { "a scaled operand", "x86_64",
      { LDX(8, 0, 1, 0), ALU64_IMM(ALU_LSH, 2, 3), ADD64_REG(0, 2) }, "488b07488d04f0", { 0 } },
    { "not: scaled by 16", "x86_64",
      { LDX(8, 0, 1, 0), ALU64_IMM(ALU_LSH, 2, 4), ADD64_REG(0, 2) }, "488b0748c1e6044801f0", { 0 } },
    { "a sum of a sum", "x86_64", { LDX(8, 0, 1, 0), ADD64_REG(0, 2), ADD64_IMM(0, 100) },
      "488b07488d443064", { 0 } },
    { "an address: base, scaled index and offset", "x86_64",
      { MOV64_REG(3, 2), ALU64_IMM(ALU_LSH, 3, 2), MOV64_REG(4, 1), ADD64_REG(4, 3), LDX(4, 0, 4, 8) },
      "8b44b708", { 0 } },
    { "an address in place", "x86_64", { ADD64_REG(1, 2), LDX(1, 0, 1, 8) }, "0fb6443708", { 0 } },
    { "an address of a store", "x86_64",
      { MOV64_REG(3, 1), ADD64_REG(3, 2), STX(2, 3, 2, 4), ST(1, 3, 6, 9), LDX(8, 0, 1, 4) },
      "6689743704c644370609488b4704", { 0 } },
    { "not: the sum is read afterwards", "x86_64",
      { ADD64_REG(1, 2), LDX(1, 0, 1, 8), LDX(1, 1, 1, 9), ADD64_REG(0, 1) }, "4801f70fb647080fb67f094801f8", { 0 } },
    { "not: the index has changed", "x86_64",
      { MOV64_REG(3, 1), ADD64_REG(3, 2), MOV64_IMM(2, 0), LDX(1, 0, 3, 0), ADD64_REG(0, 2) },
      "488d143731f60fb6024801f0", { 0 } },

    /* ---- divisions by numbers ---- */
    { "a quotient, the reciprocal rounded up", "x86_64", { LDX(8, 0, 1, 0), ALU32_IMM(ALU_DIV, 0, 10) },
      "488b0789c041bacdcccccc490fafc248c1e823", { 0 } },
    { "a quotient, the reciprocal rounded down", "x86_64", { LDX(8, 0, 1, 0), ALU32_IMM(ALU_DIV, 0, 7) },
      "488b0789c04883c00141ba92244992490fafc248c1e822", { 0 } },
    { "a remainder", "x86_64", { LDX(8, 0, 1, 0), ALU32_IMM(ALU_MOD, 0, 10) },
      "488b074189c341bacdcccccc4d0fafda49c1eb23456bdb0a4429d8", { 0 } },
    { "a quotient of 64 bits, R3 is kept", "x86_64",
      { LDX(8, 3, 1, 0), LDX(8, 0, 1, 8), ALU64_IMM(ALU_DIV, 0, 7), ALU64(ALU_XOR, 0, 3) },
      "488b17488b47084989d149bb499224499224499249f7e34c01d84883d20048c1ea024889d04c89ca4831d0", { 0 } },
    { "a remainder of 64 bits, nothing is kept", "x86_64",
      { LDX(8, 4, 1, 8), ALU64_IMM(ALU_MOD, 4, 10), MOV64_REG(0, 4) },
      "488b4f084889c849bbcdcccccccccccccc49f7e348c1ea03486bd20a4889c84829d04889c14889c8", { 0 } },
    { "64 bits of which 32 are zero", "x86_64", { LDX(4, 0, 1, 0), ALU64_IMM(ALU_DIV, 0, 10) },
      "8b0741bacdcccccc490fafc248c1e823", { 0 } },
    { "not: 64 bits by a number that is larger", "x86_64",
      { LDX(4, 0, 1, 0), ALU64_IMM(ALU_DIV, 0, -10) },
      "8b0749bb050000000000008049f7e34c01d84883d20048c1ea3f4889d0", { 0 } },
    { "by a power of two", "x86_64",
      { LDX(8, 0, 1, 0), ALU64_IMM(ALU_DIV, 0, 8), ALU64_IMM(ALU_MOD, 0, 64) }, "488b0748c1e80383e03f", { 0 } },
    { "by zero", "x86_64",
      { LDX(8, 0, 1, 0), ALU32_IMM(ALU_MOD, 0, 0), LDX(8, 3, 1, 8), ALU64_IMM(ALU_DIV, 3, 0), ALU64(ALU_XOR, 0, 3) },
      "488b0789c031d24831d0", { 0 } },
    { "signed, without a look at the divisor", "x86_64",
      { LDX(8, 0, 1, 0), INSN(0x37, 0, 0, 1, 10) }, "488b0741bb0a000000489949f7fb4989c34c89d8", { 0 } },

    /* ---- jumps of which it is known where they lead ---- */
    { "never", "x86_64", { MOV64_IMM(0, 9), JEQ_IMM(2, INDEX + 1, 1), MOV64_IMM(0, 2) }, "b809000000b802000000",
      { 0, VERIFIED_NEVER } },
    { "always", "x86_64", { MOV64_IMM(0, 9), JEQ_IMM(2, INDEX, 1), MOV64_IMM(0, 2) }, "b809000000eb05b802000000",
      { 0, VERIFIED_ALWAYS } },
    { "both: nobody comes there", "x86_64", { MOV64_IMM(0, 9), JEQ_IMM(2, INDEX, 1), JEQ_IMM(2, 7, 0) },
      "b809000000eb020f0b", { 0, VERIFIED_ALWAYS, VERIFIED_ALWAYS | VERIFIED_NEVER } },

    /* ---- jumps that are not needed ---- */
    { "to what comes next", "x86_64", { MOV64_IMM(0, 9), JA(0), ADD64_IMM(0, 2) }, "b8090000004883c002", { 0 } },
    { "over what is nothing", "x86_64",
      { MOV64_IMM(0, 9), JEQ_IMM(2, INDEX, 2), JA(1), MOV64_IMM(3, 1), ADD64_IMM(0, 2) }, "b8090000004883c002", { 0 } },
    { "around a jump", "x86_64", { MOV64_IMM(0, 9), JEQ_IMM(2, INDEX, 1), JA(1), MOV64_IMM(0, 2) },
      "b8090000004883fe037505b802000000", { 0 } },
    { "around a jump, a bit", "x86_64", { MOV64_IMM(0, 9), INSN(0x45, 2, 0, 1, 4), JA(1), MOV64_IMM(0, 2) },
      "b809000000f7c6040000007405b802000000", { 0 } },
    { "not: another jump leads to the jump", "x86_64",
      { MOV64_IMM(0, 9), JEQ_IMM(2, 5, 1), JEQ_IMM(2, INDEX, 1), JA(1), MOV64_IMM(0, 2) },
      "b8090000004883fe0574064883fe037402eb05b802000000", { 0 } },

    /* ---- what nobody reads ---- */
    { "dropped", "x86_64", { MOV64_IMM(0, 1), LDX(8, 3, 1, 0), ALU64(ALU_MUL, 3, 2), MOV64_IMM(0, 2) },
      "b802000000", { 0 } },
};

static struct bytecode *program_of(const struct row *row)
{
    struct instruction code[CODE_MAX + 1];
    uint32_t count = 0;

    while (count < CODE_MAX && row->code[count].opcode)
        count += instruction_length(row->code[count]);
    memcpy(code, row->code, sizeof(row->code));
    code[count] = EXIT();
    return jit_bytecode(code, count + 1, NULL);
}

static struct code compile_row(const struct row *row, const struct bytecode *bytecode)
{
    struct verified verified;
    struct code code;

    assert_int_equal(verified_assume(bytecode, &verified), 0);
    for (uint32_t i = 0; i + 1 < bytecode->instructions; i++)
        verified.mark[i] |= row->mark[i];
    assert_int_equal(compile_verified(&verified, architecture_find(row->architecture), &code, NULL), 0);
    verified_clear(&verified);
    return code;
}

/* What comes out is what the row says; a return is the last byte, and the key's extension may be the first. */
static bool check_bytes(const struct row *row, const struct code *code)
{
    char hex[512] = "";
    size_t first = code->bytes[0] == 0x89 && code->bytes[1] == 0xf6 ? 2 : 0;

    assert_true(code->size < sizeof(hex) / 2);
    assert_int_equal(code->bytes[code->size - 1], 0xc3);
    for (size_t i = first; i + 1 < code->size; i++)
        snprintf(hex + strlen(hex), 3, "%02x", code->bytes[i]);
    if (strcmp(hex, row->bytes) == 0)
        return true;
    print_error("%s: %s, not %s\n", row->name, hex, row->bytes);
    return false;
}

static void check_result(const struct row *row, const struct bytecode *bytecode, jit_function *function)
{
    struct interpreter *interpreter = interpreter_new(bytecode, 1000);
    uint8_t ours[MEMORY], theirs[MEMORY];
    uint64_t address = interpreter_add(interpreter, "memory", theirs, sizeof(theirs), true), expected, result;
    struct jit_error error = { 0 };

    for (unsigned round = 0; round < 20; round++) {
        for (size_t i = 0; i < MEMORY; i++)
            ours[i] = theirs[i] = (uint8_t)(rand() >> 8);
        if (interpreter_run(interpreter, address, INDEX, &expected, &error) < 0)
            fail_msg("%s: %s", row->name, error.text);
        result = jit_call(function, ours, INDEX);
        if (result != expected || memcmp(ours, theirs, MEMORY) != 0)
            fail_msg("%s: %#llx, not %#llx", row->name, (unsigned long long)result, (unsigned long long)expected);
    }
    interpreter_free(interpreter);
}

static bool is_run_here(const struct row *row)
{
    return strcmp(row->architecture, "x86_64") == 0 || architecture_native() == architecture_find(row->architecture);
}

static void test_rows(void **state)
{
    unsigned wrong = 0;

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct bytecode *bytecode = program_of(&rows[i]);
        struct code code = compile_row(&rows[i], bytecode);

        wrong += !check_bytes(&rows[i], &code);
        if (is_run_here(&rows[i]))
            check_result(&rows[i], bytecode, jit_install(code.bytes, code.size));
        code_clear(&code);
        bytecode_free(bytecode);
    }
    assert_int_equal(wrong, 0);
}

/* ---- the key ---- */

static const struct key_row {
    const char *name;
    struct instruction code[CODE_MAX];          /* with the exit */
    const char *context;        /* "": a table's */
    bool is_read;               /* it is extended at the entry */
} key_rows[] = {
    { "returned", { MOV64_REG(0, 2), EXIT() }, "", true },
    { "read where a jump leads", { MOV64_IMM(0, 1), JEQ_IMM(1, 0, 1), MOV64_REG(0, 2), EXIT() }, "", true },
    { "read where a jump does not lead", { MOV64_IMM(0, 1), JEQ_IMM(1, 0, 1), EXIT(), MOV64_REG(0, 2), EXIT() }, "", true },
    { "an argument of a call", { CALL(1), EXIT(), MOV64_REG(0, 2), EXIT() }, "", true },
    { "not: not named", { MOV64_REG(0, 1), EXIT() }, "", false },
    { "not: overwritten", { MOV64_IMM(2, 3), MOV64_REG(0, 1), ADD64_REG(0, 2), EXIT() }, "", false },
    { "not: overwritten, by an instruction that reads it for nothing",
      { MOV64_REG(3, 2), LDX(8, 2, 1, 0), MOV64_REG(0, 2), EXIT() }, "", false },
    { "not: an argument of a static call", { MOV64_REG(0, 2), EXIT() }, CONTEXT_CALL_PREFIX "sum", false },
};

static void test_key(void **state)
{
    static const uint32_t two[] = { 2, 2, 0 };
    static const uint8_t extension[] = { 0x89, 0xf6 };

    for (size_t i = 0; i < COUNT(key_rows); i++) {
        const struct key_row *row = &key_rows[i];
        struct row as_row = { .architecture = "x86_64" };
        bool calls = row->code[0].opcode == OPCODE_CALL;
        struct bytecode *bytecode;
        struct code code;
        uint32_t count = 0;

        while (row->code[count].opcode)
            count++;
        bytecode = jit_bytecode(row->code, count, calls ? two : NULL);
        if (row->context[0])
            strcpy(bytecode->context, row->context);
        code = compile_row(&as_row, bytecode);
        if ((memcmp(code.bytes, extension, sizeof(extension)) == 0) != row->is_read)
            fail_msg("%s: begins with %02x %02x", row->name, code.bytes[0], code.bytes[1]);
        code_clear(&code);
        bytecode_free(bytecode);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_key),
    };

    return cmocka_run_group_tests_name("rules", tests, NULL, NULL);
}
