/* SPDX-License-Identifier: MIT */
/*
 * One eBPF instruction, as RFC 9669 section 3.1 lays it out, little endian; and the table of all of
 * them: what each is called, which of its fields it uses, and whether it is supported.
 */
#ifndef JITCORE_INSTRUCTION_H
#define JITCORE_INSTRUCTION_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"

struct instruction {
    uint8_t opcode;
    uint8_t registers;          /* destination in bits 0-3, source in bits 4-7 */
    int16_t offset;
    int32_t immediate;
};

_Static_assert(sizeof(struct instruction) == 8, "RFC 9669 section 3.1");

#define INSTRUCTION_REGISTERS 11        /* R0 to R10 */
#define INSTRUCTION_STACK_SIZE 512      /* bytes below R10 */

/* Opcode bits 0-2 (RFC 9669 section 3.2). */
enum instruction_class {
    CLASS_LD = 0,
    CLASS_LDX = 1,
    CLASS_ST = 2,
    CLASS_STX = 3,
    CLASS_ALU = 4,              /* 32 bits */
    CLASS_JMP = 5,
    CLASS_JMP32 = 6,
    CLASS_ALU64 = 7,
};

/* Opcode bits 4-7 of arithmetic (section 4.1). */
enum instruction_arithmetic {
    ALU_ADD = 0x0,
    ALU_SUB = 0x1,
    ALU_MUL = 0x2,
    ALU_DIV = 0x3,
    ALU_OR = 0x4,
    ALU_AND = 0x5,
    ALU_LSH = 0x6,
    ALU_RSH = 0x7,
    ALU_NEG = 0x8,
    ALU_MOD = 0x9,
    ALU_XOR = 0xa,
    ALU_MOV = 0xb,
    ALU_ARSH = 0xc,
    ALU_END = 0xd,
};

/* Opcode bits 4-7 of jumps (section 4.3). */
enum instruction_jump {
    JUMP_ALWAYS = 0x0,
    JUMP_EQ = 0x1,
    JUMP_GT = 0x2,
    JUMP_GE = 0x3,
    JUMP_SET = 0x4,
    JUMP_NE = 0x5,
    JUMP_SGT = 0x6,
    JUMP_SGE = 0x7,
    JUMP_CALL = 0x8,
    JUMP_EXIT = 0x9,
    JUMP_LT = 0xa,
    JUMP_LE = 0xb,
    JUMP_SLT = 0xc,
    JUMP_SLE = 0xd,
};

/* Whole opcodes with a meaning of their own. */
#define OPCODE_LOAD_64 0x18             /* two instructions long */
#define OPCODE_CALL 0x85
#define OPCODE_EXIT 0x95
#define OPCODE_JUMP_16 0x05             /* distance in the offset field */
#define OPCODE_JUMP_32 0x06             /* distance in the immediate */

/* The source field of OPCODE_CALL (section 4.3.1). */
enum instruction_call { CALL_HELPER = 0, CALL_LOCAL = 1, CALL_NATIVE = 2 /* Linux: a kernel function */ };

/* The immediate of an atomic operation (section 5.3). */
enum instruction_atomic {
    ATOMIC_FETCH = 0x01,        /* with the four below: what was in memory goes to the source register */
    ATOMIC_ADD = 0x00,
    ATOMIC_OR = 0x40,
    ATOMIC_AND = 0x50,
    ATOMIC_XOR = 0xa0,
    ATOMIC_EXCHANGE = 0xe1,
    ATOMIC_COMPARE_EXCHANGE = 0xf1,     /* with R0; what was in memory goes to R0 */
};

/* The source field of OPCODE_LOAD_64 (section 5.4), the kinds in canonical form: bytecode.h says what they hold. */
enum instruction_wide { WIDE_NUMBER = 0, WIDE_MAP = 1, WIDE_MAP_VALUE = 2, WIDE_FUNCTION = 4 };

static inline unsigned instruction_destination(struct instruction i)
{
    return i.registers & 15;
}

static inline unsigned instruction_source(struct instruction i)
{
    return i.registers >> 4;
}

static inline enum instruction_class instruction_class(struct instruction i)
{
    return (enum instruction_class)(i.opcode & 7);
}

/* Bits 4-7: which arithmetic or jump. */
static inline unsigned instruction_operation(struct instruction i)
{
    return i.opcode >> 4;
}

/* Arithmetic and jumps: is the second operand the source register (else the immediate)? */
static inline bool instruction_uses_source(struct instruction i)
{
    return i.opcode & 8;
}

static inline bool instruction_is_arithmetic(struct instruction i)
{
    return instruction_class(i) == CLASS_ALU || instruction_class(i) == CLASS_ALU64;
}

/* A jump, conditional or not, within the function; not a call, not an exit. */
bool instruction_is_jump(struct instruction i);

/* Where a jump leads, counted from the instruction behind it. */
int32_t instruction_jump_distance(struct instruction i);

/* Bytes that a load or store accesses: 1, 2, 4 or 8. */
unsigned instruction_access_size(struct instruction i);

/* Of a load: is the value sign-extended? */
bool instruction_access_signed(struct instruction i);

/* An atomic operation on memory; the other instructions of class STX are plain stores. */
bool instruction_is_atomic(struct instruction i);

/* How many struct instruction it takes: 1 or 2. */
unsigned instruction_length(struct instruction i);

/* "add64", "jeq32", "ldxdw", ...; "unknown" if the RFC has none with this opcode. */
const char *instruction_name(struct instruction i);

/*
 * Write it as disassemblers do, "r3 += 1", "r2 = *(u32 *)(r10 - 8)", "if w3 s> 8 goto +2", "call bpf_map_lookup_elem",
 * and return `buffer`.  `upper`: the immediate of an lddw's second half.  `name`: what a call or an lddw refers to; NULL:
 * its number.  What is too long is cut off.
 */
#define INSTRUCTION_FORMAT_SIZE 128
const char *instruction_format(struct instruction i, int32_t upper, const char *name,
                               char buffer[INSTRUCTION_FORMAT_SIZE]);

/*
 * Is this one an instruction, well formed and supported?  `next` is what follows it, NULL at the end of the function.
 * 0, or with `error`: -EINVAL rule "instruction" (unknown opcode, a register that does not exist, R10 written, a field
 * that is not used and not zero, half of a two-part instruction); -EOPNOTSUPP rule "unsupported" (the groups callx and
 * packet, whatever their fields hold, with a hint; other forms of lddw).  Shifts by an immediate beyond the width are
 * accepted, and masked as RFC 9669 section 4.1 says.  What indices refer to is not looked at (bytecode.h).
 * `function` and `index` are for the error's place.
 */
int instruction_check(struct instruction i, const struct instruction *next, const char *function,
                      int64_t index, struct jit_error *error);

#endif
