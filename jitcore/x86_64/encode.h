/* SPDX-License-Identifier: MIT */
/*
 * x86-64 instructions, one function an operand shape, in the order and with the digits of the
 * manual (Intel SDM volume 2): `op r/m, r` is opcode digit*8+1, `op r/m, imm` is 81 /digit.
 */
#ifndef JITCORE_X86_64_ENCODE_H
#define JITCORE_X86_64_ENCODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../emitter.h"

enum x86_register { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15 };

enum x86_width { WIDTH_32, WIDTH_64 };

/* [base + (index << scale) + offset] */
struct x86_memory {
    uint8_t base;               /* enum x86_register */
    uint8_t index;              /* likewise, not RSP, which stands for none */
    uint8_t scale;              /* 0 to 3 */
    int32_t offset;
};

#define X86_NO_INDEX RSP

static inline struct x86_memory x86_at(enum x86_register base, int32_t offset)
{
    return (struct x86_memory){ (uint8_t)base, X86_NO_INDEX, 0, offset };
}

enum x86_operation { OP_ADD = 0, OP_OR = 1, OP_ADC = 2, OP_AND = 4, OP_SUB = 5, OP_XOR = 6, OP_CMP = 7 };
enum x86_shift { SHIFT_ROL = 0, SHIFT_SHL = 4, SHIFT_SHR = 5, SHIFT_SAR = 7 };
enum x86_unary { UNARY_NEG = 3, UNARY_MUL = 4, UNARY_DIV = 6, UNARY_IDIV = 7 };

/* The low four bits of jcc. */
enum x86_condition {
    CONDITION_B = 0x2,
    CONDITION_AE = 0x3,
    CONDITION_E = 0x4,
    CONDITION_NE = 0x5,
    CONDITION_BE = 0x6,
    CONDITION_A = 0x7,
    CONDITION_L = 0xc,
    CONDITION_GE = 0xd,
    CONDITION_LE = 0xe,
    CONDITION_G = 0xf,
    CONDITION_ALWAYS = 0x10,
};

/* ---- registers and numbers ---- */
void x86_mov(struct emitter *emitter, enum x86_width width, enum x86_register to,
             enum x86_register from);
void x86_mov_number(struct emitter *emitter, enum x86_register to, uint64_t number);
void x86_op(struct emitter *emitter, enum x86_width width, enum x86_operation op,
            enum x86_register to, enum x86_register from);
void x86_op_number(struct emitter *emitter, enum x86_width width, enum x86_operation op,
                   enum x86_register to, int32_t number);
void x86_test(struct emitter *emitter, enum x86_width width, enum x86_register a,
              enum x86_register b);
void x86_test_number(struct emitter *emitter, enum x86_width width, enum x86_register a,
                     int32_t number);
void x86_imul(struct emitter *emitter, enum x86_width width, enum x86_register to,
              enum x86_register from);
void x86_imul_number(struct emitter *emitter, enum x86_width width, enum x86_register to, enum x86_register from,
                     int32_t number);
void x86_unary(struct emitter *emitter, enum x86_width width, enum x86_unary op,
               enum x86_register operand);
void x86_sign_extend_rax(struct emitter *emitter, enum x86_width width);
void x86_shift(struct emitter *emitter, enum x86_width width, enum x86_shift op,
               enum x86_register to, uint8_t count);
void x86_shift_cl(struct emitter *emitter, enum x86_width width, enum x86_shift op,
                  enum x86_register to);
void x86_zero_extend(struct emitter *emitter, unsigned bits, enum x86_register to, enum x86_register from);
void x86_sign_extend(struct emitter *emitter, enum x86_width width, unsigned bits,
                     enum x86_register to, enum x86_register from);
void x86_swap_16(struct emitter *emitter, enum x86_register operand);
void x86_swap(struct emitter *emitter, enum x86_width width, enum x86_register operand);

/* ---- BMI2: other registers as result and count, and no flags ---- */
void x86_shift_register(struct emitter *emitter, enum x86_width width, enum x86_shift op, enum x86_register to,
                        enum x86_register from, enum x86_register count);
void x86_rotate_right(struct emitter *emitter, enum x86_width width, enum x86_register to, enum x86_register from,
                      uint8_t count);

/* ---- memory; `size` is 1, 2, 4 or 8 bytes ---- */
void x86_lea(struct emitter *emitter, enum x86_width width, enum x86_register to, struct x86_memory from);
void x86_lea_relative(struct emitter *emitter, enum x86_register to, uint64_t position);
void x86_lea_relocation(struct emitter *emitter, enum x86_register to, enum relocation_kind kind, uint32_t index,
                        int32_t addend);
void x86_op_memory(struct emitter *emitter, enum x86_width width, enum x86_operation op, enum x86_register to,
                   struct x86_memory from);
void x86_load(struct emitter *emitter, unsigned size, enum x86_register to, struct x86_memory from);
void x86_load_signed(struct emitter *emitter, unsigned size, enum x86_register to, struct x86_memory from);
void x86_store(struct emitter *emitter, unsigned size, struct x86_memory to, enum x86_register from);
void x86_store_number(struct emitter *emitter, unsigned size, struct x86_memory to, int32_t number);
void x86_op_to_memory(struct emitter *emitter, enum x86_width width, enum x86_operation op, struct x86_memory to,
                      enum x86_register from);
void x86_op_to_memory_number(struct emitter *emitter, enum x86_width width, enum x86_operation op, struct x86_memory to,
                             int8_t number);
void x86_lock_op(struct emitter *emitter, enum x86_width width, enum x86_operation op, struct x86_memory to,
                 enum x86_register from);
void x86_lock_xadd(struct emitter *emitter, enum x86_width width, struct x86_memory to, enum x86_register from);
void x86_lock_cmpxchg(struct emitter *emitter, enum x86_width width, struct x86_memory to, enum x86_register from);
void x86_xchg(struct emitter *emitter, enum x86_width width, struct x86_memory to, enum x86_register from);
void x86_push(struct emitter *emitter, enum x86_register from);
void x86_pop(struct emitter *emitter, enum x86_register to);

/* ---- control; `to` is an image offset ---- */
#define X86_BRANCH_SHORT_SIZE 2         /* bytes */

static inline size_t x86_branch_near_size(enum x86_condition condition)
{
    return condition == CONDITION_ALWAYS ? 5 : 6;
}

void x86_branch_short(struct emitter *emitter, enum x86_condition condition, uint64_t to);
void x86_branch_near(struct emitter *emitter, enum x86_condition condition, uint64_t to);
void x86_call(struct emitter *emitter, uint64_t to);
void x86_call_relocation(struct emitter *emitter, enum relocation_kind kind, uint32_t index);
void x86_ret(struct emitter *emitter);
void x86_undefined(struct emitter *emitter);            /* ud2, which traps */

/* A short branch over what is emitted until x86_land() is given the result. */
size_t x86_skip(struct emitter *emitter, enum x86_condition condition);
void x86_land(struct emitter *emitter, size_t skip);

/* The same for any distance. */
size_t x86_skip_near(struct emitter *emitter, enum x86_condition condition);
void x86_land_near(struct emitter *emitter, size_t skip);

#endif
