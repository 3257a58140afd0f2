/* SPDX-License-Identifier: MIT */
/*
 * What the tests of jitcore share: programs from arrays of instructions, and running machine code.
 */
#ifndef TESTS_UNIT_JIT_H
#define TESTS_UNIT_JIT_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "bytecode.h"
#include "compiler.h"
#include "machine.h"

/* ---- instructions ---- */

#define INSN(code, dst, src, off, imm)                                                             \
    ((struct instruction){ code, (uint8_t)((dst) | (src) << 4), off, imm })
#define MOV64_IMM(dst, imm) INSN(0xb7, dst, 0, 0, imm)
#define MOV64_REG(dst, src) INSN(0xbf, dst, src, 0, 0)
#define ADD64_IMM(dst, imm) INSN(0x07, dst, 0, 0, imm)
#define ADD64_REG(dst, src) INSN(0x0f, dst, src, 0, 0)
#define SIZE_BITS(size) ((size) == 4 ? 0x00 : (size) == 2 ? 0x08 : (size) == 1 ? 0x10 : 0x18)
#define LDX(size, dst, src, off) INSN(0x61 | SIZE_BITS(size), dst, src, off, 0)
#define STX(size, dst, src, off) INSN(0x63 | SIZE_BITS(size), dst, src, off, 0)
#define ST(size, dst, off, imm) INSN(0x62 | SIZE_BITS(size), dst, 0, off, imm)
#define JA(off) INSN(0x05, 0, 0, off, 0)
#define JEQ_IMM(dst, imm, off) INSN(0x15, dst, 0, off, imm)
#define CALL(function) INSN(0x85, 0, CALL_LOCAL, 0, function)
#define EXIT() INSN(0x95, 0, 0, 0, 0)

/*
 * A program of functions: `counts` has the number of instructions of each, ending with 0; NULL: one function.  Named
 * f0, f1, ..., for context "packet".  To be freed with bytecode_free().
 */
struct bytecode *jit_bytecode(const struct instruction *instructions, uint32_t count, const uint32_t *counts);

/* `count` jumps, each of which leads far away, until all were executed and the last one leads behind them. */
void jit_zigzag(struct instruction *instructions, uint32_t count);

/* The context of tests/programs/packet.h. */
struct context *jit_packet_context(void);

/* ---- machine code ---- */

/*
 * Code that can be called: written through one mapping of a memfd, run through another; never both
 * in one.
 */
typedef uint64_t jit_function(void *context, uint64_t key);
jit_function *jit_install(const void *bytes, size_t size);

/*
 * Compile without the verifier: all code counts as reached and nothing is known of it.  Asserts success.  It stays in
 * memory.
 */
jit_function *jit_install_unverified(const struct bytecode *bytecode);

/*
 * Call it, and assert that it keeps what System V says a function keeps: RBX, RBP, RSP, R12 to R15.
 */
uint64_t jit_call(jit_function *function, void *context, uint64_t key);

/* ---- files ---- */

/*
 * The whole of $DIRECTORY/path (an environment variable; "." if unset).  NULL if it is not there.
 * To be freed.
 */
void *jit_read_file(const char *directory, const char *path, size_t *ret_size);

#endif
