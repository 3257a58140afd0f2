/* SPDX-License-Identifier: MIT */
/*
 * What is emitted for an instruction: by default the instruction as it is, or one operation in a form that x86-64 has
 * and eBPF has not (three operands, scaled addresses), or nothing.  Rules (rules.h) rewrite them; each stands at the
 * place of its instruction.  Registers are eBPF's.
 */
#ifndef JITCORE_X86_64_OPERATION_H
#define JITCORE_X86_64_OPERATION_H

#include "translation.h"

#define NO_REGISTER 15          /* its bit is in no mask of what is written */

enum operation_kind {
    OPERATION_INSTRUCTION,      /* `instruction`: as it is, but for registers that it only reads */
    OPERATION_NOTHING,
    OPERATION_MOVE,             /* to = a */
    OPERATION_ADD,              /* to = a + (b << scale) + number; b may be NO_REGISTER */
    OPERATION_MULTIPLY,         /* to = a * number */
    OPERATION_QUOTIENT,         /* to = a / number, unsigned; the number is no power of two, nor 0 */
    OPERATION_REMAINDER,        /* to = a % number, likewise */
    OPERATION_SHIFT,            /* to = a shifted by b */
    OPERATION_SHIFT_NUMBER,     /* to = a shifted by number */
    OPERATION_ROTATE,           /* to = a rotated left by number */
    OPERATION_ZERO_EXTEND,      /* to = the lower `number` bits of a: 8, 16, 32 */
    OPERATION_SIGN_EXTEND,      /* likewise, sign-extended to the width */
    OPERATION_LOAD,             /* to = `size` bytes at a + (b << scale) + number */
    OPERATION_LOAD_SIGNED,      /* likewise, sign-extended */
    OPERATION_LOAD_SWAPPED,     /* likewise, their order reversed; 2, 4 or 8 bytes */
    OPERATION_STORE,            /* `size` bytes of `to` to memory at a + (b << scale) + number; `to` is only read */
    OPERATION_STORE_NUMBER,     /* likewise, of the instruction's immediate */
    OPERATION_ARRAY_LOOKUP,     /* R0 = address of the array's value whose index is at a + (b << scale) + number;
                                   R1 to R5 are lost, as after any call */
    OPERATION_ARRAY_LOOKUP_INDEX,   /* likewise; the index is the lower half of a, or `number` if a is NO_REGISTER */
};

struct operation {
    uint8_t kind;               /* enum operation_kind */
    uint8_t width;              /* enum x86_width */
    uint8_t to, a, b;
    uint8_t scale;
    uint8_t size;               /* bytes */
    uint8_t shift;              /* enum x86_shift */
    bool upper_zero;            /* of a quotient or remainder: bits 32 to 63 of a are zero */
    uint16_t live;              /* registers that may be read behind it: known when the rules were applied */
    bool inverted;              /* of a conditional jump: taken if the instruction's condition is false */
    uint32_t target;            /* of a jump: instruction */
    int32_t number;
    struct instruction instruction;
};

/* What `instruction` does, in the most specific form.  Calls, jumps, atomics, divisions, ... stay instructions. */
struct operation operation_of(struct instruction instruction);

/* Of a call that x86_64_is_array_lookup() is true of. */
struct operation operation_array_lookup(struct instruction call);

/* Masks of the registers that it reads and writes. */
uint16_t operation_reads(const struct operation *operation);
uint16_t operation_writes(const struct operation *operation);

/* May it be left out where what it writes is not read? */
bool operation_is_pure(const struct operation *operation);

/* Does it read or write memory at a + (b << scale) + number? */
bool operation_has_address(const struct operation *operation);

/* Any but OPERATION_INSTRUCTION. */
void operation_emit(struct translation *t, const struct operation *operation);

#endif
