/* SPDX-License-Identifier: MIT */
/*
 * What the tests of the verifier share: a program, what the verifier says of it, and the regions and instructions that
 * the programs use.
 */
#ifndef TESTS_UNIT_VERIFIER_H
#define TESTS_UNIT_VERIFIER_H

#include "jit.h"

#include <linux/bpf.h>

#include "../programs/packet.h"
#include "verifier/verifier.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define AT(member) (int16_t)offsetof(struct packet, member)

/* ---- instructions ---- */

#define LDDW(dst, low, high) INSN(OPCODE_LOAD_64, dst, 0, 0, low), INSN(0, 0, 0, 0, high)
#define REGION(dst, region, offset) INSN(OPCODE_LOAD_64, dst, WIDE_MAP_VALUE, 0, region), INSN(0, 0, 0, 0, offset)
#define MAP(dst, region) INSN(OPCODE_LOAD_64, dst, WIDE_MAP, 0, region), INSN(0, 0, 0, 0, 0)
#define FUNCTION(dst, function) INSN(OPCODE_LOAD_64, dst, WIDE_FUNCTION, 0, function), INSN(0, 0, 0, 0, 0)
#define ALU_IMM(operation, dst, imm) INSN((operation) << 4 | CLASS_ALU64, dst, 0, 0, imm)
#define ALU_REG(operation, dst, src) INSN((operation) << 4 | 8 | CLASS_ALU64, dst, src, 0, 0)
#define ALU32_IMM(operation, dst, imm) INSN((operation) << 4 | CLASS_ALU, dst, 0, 0, imm)
#define ALU32_REG(operation, dst, src) INSN((operation) << 4 | 8 | CLASS_ALU, dst, src, 0, 0)
#define JUMP_IMM(operation, dst, imm, off) INSN((operation) << 4 | CLASS_JMP, dst, 0, off, imm)
#define JUMP_REG(operation, dst, src, off) INSN((operation) << 4 | 8 | CLASS_JMP, dst, src, off, 0)
#define JUMP32_IMM(operation, dst, imm, off) INSN((operation) << 4 | CLASS_JMP32, dst, 0, off, imm)
#define JUMP32_REG(operation, dst, src, off) INSN((operation) << 4 | 8 | CLASS_JMP32, dst, src, off, 0)
#define MOVSX(dst, src, bits) INSN(0xbf, dst, src, bits, 0)
#define LDXS(size, dst, src, off) INSN(0x81 | SIZE_BITS(size), dst, src, off, 0)
#define ATOMIC64(dst, src, off, operation) INSN(0xdb, dst, src, off, operation)
#define ATOMIC32(dst, src, off, operation) INSN(0xc3, dst, src, off, operation)
#define CALL_HELPER(number) INSN(OPCODE_CALL, 0, CALL_HELPER, 0, number)
#define RETURN() MOV64_IMM(0, 0), EXIT()

/* A number of which nothing is known, from the context; 0 to 7; the packet's ends. */
#define UNKNOWN(dst) LDX(8, dst, 1, AT(value))
#define UP_TO_7(dst) LDX(8, dst, 1, AT(value)), ALU_IMM(ALU_AND, dst, 7)
#define PACKET(start, stop) LDX(8, start, 1, AT(data)), LDX(8, stop, 1, AT(data_end))

/* ---- regions of all programs ---- */

enum {
    RODATA,                     /* 16 bytes: 1, 2, 3, ... */
    DATA,                       /* 64 bytes */
    HASH,                       /* keys of 4 bytes, values of 16 */
    READ_ONLY,                  /* an array of one value of 8 bytes that programs may only read */
    RING,
    WRITE_ONLY, QUEUE,          /* queues of 16 bytes; of the first one programs may not read */
    OUTER, INNER,               /* an array of hash maps with keys of 8 bytes, values of 24 */
    SEALED,                     /* as HASH, but programs may only read it */
    TEXT,                       /* constants: at 0 "%d%% %u", at 9 "ok", at 12 "a %-4s", at 20 "end%" without an end */
};

/* ---- functions of the workers' of all programs ---- */

enum {
    CHECKSUM,                   /* u32(const void*,u32) */
    FILL,                       /* void(u8*,u64,u8) */
    CLASSIFY,                   /* s32(const packet*,s16,bool) */
};

#define CALL_OF(native) INSN(OPCODE_CALL, 0, CALL_NATIVE, 0, native)

/* ---- a case ---- */

#define CODE_MAX 40

struct program {
    const char *name;
    struct instruction code[CODE_MAX];  /* to the first opcode 0 that is no half of lddw */
    uint32_t counts[4];                 /* of functions; all zero: one */
    const char *rule;                   /* NULL: accepted */
    const char *text;                   /* a part of its sentence or of its hint; NULL: any */
};

/*
 * Verify each for context "packet"; fail with the first about which the verifier says something else.
 */
void verifier_check(const struct program *programs, size_t count);

/* One program, with options; to be freed by the caller: verified_clear(), bytecode_free(). */
int verifier_try(const struct program *program, const struct verifier_options *options, struct verified *ret,
                 struct verifier_statistics *statistics, struct bytecode **bytecode, struct jit_error *error);

#endif
