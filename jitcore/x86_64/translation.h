/* SPDX-License-Identifier: MIT */
/*
 * One program on its way to x86-64, for the files of this folder that emit parts of it.
 *
 * R1 to R5 are System V's first argument registers, so a dispatcher jumps straight to a program; R6 to R9 are registers
 * that the convention preserves, as eBPF's does.  RSP is the stack pointer; R9 to R11 of x86-64 are free at each
 * instruction for what one translation needs in between, and R12 is the loop helper's.
 */
#ifndef JITCORE_X86_64_TRANSLATION_H
#define JITCORE_X86_64_TRANSLATION_H

#include "../verified.h"
#include "encode.h"

static inline enum x86_register x86_64_register(unsigned bpf)
{
    static const uint8_t registers[INSTRUCTION_REGISTERS] = {
        RAX, RDI, RSI, RDX, RCX, R8, RBX, R13, R14, R15, RBP,
    };

    return (enum x86_register)registers[bpf];
}

/* The frame of the function that is being translated. */
struct frame {
    uint8_t saved[6];           /* enum x86_register, in the order in which they are pushed */
    unsigned saved_count;
    bool stack_pointer;         /* RBP is R10 */
    int32_t stack;              /* bytes below RBP, a multiple of 8 */
};

struct operation;

struct translation {
    struct emitter *emitter;
    const struct verified *verified;
    const struct bytecode *bytecode;
    struct operation *operation;        /* per instruction: what is emitted for it; operation.h */
    bool has_bmi2;
    uint8_t *wide;              /* per instruction: its branches take the long form */
    uint8_t *misfit;            /* per instruction: in this layout a branch must be long */
    uint64_t *label;            /* image offsets: of each instruction, */
    uint64_t *entry;            /* of each function's entry, */
    uint64_t *region;           /* of each constant region, */
    uint64_t callback;          /* and of what is called with a callback's address in R11 */
    bool *is_callback;          /* per function: its address is taken, and it can run */
    uint32_t function;          /* where we are */
    uint32_t index;
    struct frame frame;
};

/*
 * arithmetic.c: one instruction of class ALU or ALU64 that is no operation of its own.  `live` are the registers that
 * are read behind it: others may be lost.
 */
void x86_64_emit_arithmetic(struct emitter *emitter, struct instruction instruction, uint16_t live);

/* reciprocal.c: OPERATION_QUOTIENT and OPERATION_REMAINDER */
void x86_64_emit_division(struct translation *t, const struct operation *operation);

/* straighten.c: drop jumps that are not needed, and set where the others lead (operation.h).  -ENOMEM. */
int x86_64_straighten(const struct verified *verified, struct operation *operation);

/* memory.c: atomic operations, lddw */
void x86_64_emit_atomic(struct translation *t, struct instruction instruction);
void x86_64_emit_load_64(struct translation *t, struct instruction low, struct instruction high);

/* call.c: calls of functions, and of helpers, which are code in place; what calls callbacks */
void x86_64_emit_call(struct translation *t, struct instruction instruction);
void x86_64_emit_callbacks(struct translation *t);

/*
 * Of an array that the program names itself: its size is known, and where it is when the code is placed, so that a
 * lookup is an operation of its own (operation.h).  The index is in R11 of x86-64, or a number; the result goes to R0.
 */
bool x86_64_is_array_lookup(const struct verified *verified, uint32_t at);
void x86_64_emit_array_lookup(struct translation *t);
void x86_64_emit_array_value(struct translation *t, uint32_t index);

#endif
