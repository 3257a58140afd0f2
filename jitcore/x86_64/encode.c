/* SPDX-License-Identifier: MIT */
/* x86-64 instructions. */

#include "encode.h"

#include <assert.h>

/*
 * A prefix REX (0100WRXB) if one is needed: W for 64 bits, R and B for registers R8 to R15 in the
 * reg and r/m fields.  Without one, byte registers 4 to 7 would be AH to BH: `byte` asks for it
 * there.
 */
static void rex(struct emitter *emitter, enum x86_width width, unsigned reg, unsigned rm, bool byte)
{
    unsigned prefix = 0x40 | (width == WIDTH_64 ? 8 : 0) | (reg >> 3) << 2 | rm >> 3;

    if (prefix != 0x40 || byte)
        emit_8(emitter, (uint8_t)prefix);
}

/* ModRM, both operands registers: 11 reg rm. */
static void modrm(struct emitter *emitter, unsigned reg, unsigned rm)
{
    emit_8(emitter, (uint8_t)(0xc0 | (reg & 7) << 3 | (rm & 7)));
}

static bool fits_8(int64_t number)
{
    return number == (int8_t)number;
}

/*
 * ModRM, second operand [base + offset], with SIB where the base's number means "SIB follows" (RSP,
 * R12).
 */
static void modrm_memory(struct emitter *emitter, unsigned reg, enum x86_register base,
                         int32_t offset)
{
    bool none = offset == 0 && (base & 7) != RBP;       /* mod 00 there means RIP-relative */
    unsigned mod = none ? 0x00 : fits_8(offset) ? 0x40 : 0x80;

    emit_8(emitter, (uint8_t)(mod | (reg & 7) << 3 | (base & 7)));
    if ((base & 7) == RSP)
        emit_8(emitter, 0x24);
    if (mod == 0x40)
        emit_8(emitter, (uint8_t)offset);
    else if (mod == 0x80)
        emit_32(emitter, (uint32_t)offset);
}

/* opcode reg, rm */
static void op_register(struct emitter *emitter, enum x86_width width, uint8_t opcode, unsigned reg,
                        unsigned rm)
{
    rex(emitter, width, reg, rm, false);
    emit_8(emitter, opcode);
    modrm(emitter, reg, rm);
}

/* 0f opcode reg, rm */
static void op_register_0f(struct emitter *emitter, enum x86_width width, uint8_t opcode,
                           unsigned reg, unsigned rm, bool byte)
{
    rex(emitter, width, reg, rm, byte);
    emit_8(emitter, 0x0f);
    emit_8(emitter, opcode);
    modrm(emitter, reg, rm);
}

/* opcode reg, [base + offset] */
static void op_memory(struct emitter *emitter, enum x86_width width, uint8_t opcode, unsigned reg,
                      enum x86_register base, int32_t offset)
{
    rex(emitter, width, reg, base, false);
    emit_8(emitter, opcode);
    modrm_memory(emitter, reg, base, offset);
}

/* 0f opcode reg, [base + offset] */
static void op_memory_0f(struct emitter *emitter, enum x86_width width, uint8_t opcode,
                         unsigned reg, enum x86_register base, int32_t offset)
{
    rex(emitter, width, reg, base, false);
    emit_8(emitter, 0x0f);
    emit_8(emitter, opcode);
    modrm_memory(emitter, reg, base, offset);
}

/* ---- registers and numbers ---- */

/* mov to, from */
void x86_mov(struct emitter *emitter, enum x86_width width, enum x86_register to,
             enum x86_register from)
{
    op_register(emitter, width, 0x89, from, to);
}

/*
 * xor to, to; mov to32, number; mov to, number (sign-extended); or movabs to, number: the shortest
 */
void x86_mov_number(struct emitter *emitter, enum x86_register to, uint64_t number)
{
    if (number == 0) {
        op_register(emitter, WIDTH_32, 0x31, to, to);
    } else if (number == (uint32_t)number) {
        rex(emitter, WIDTH_32, 0, to, false);
        emit_8(emitter, (uint8_t)(0xb8 | (to & 7)));
        emit_32(emitter, (uint32_t)number);
    } else if (number == (uint64_t)(int64_t)(int32_t)number) {
        op_register(emitter, WIDTH_64, 0xc7, 0, to);
        emit_32(emitter, (uint32_t)number);
    } else {
        rex(emitter, WIDTH_64, 0, to, false);
        emit_8(emitter, (uint8_t)(0xb8 | (to & 7)));
        emit_64(emitter, number);
    }
}

/* add to, from */
void x86_op(struct emitter *emitter, enum x86_width width, enum x86_operation op,
            enum x86_register to, enum x86_register from)
{
    op_register(emitter, width, (uint8_t)(op << 3 | 1), from, to);
}

/* add to, number */
void x86_op_number(struct emitter *emitter, enum x86_width width, enum x86_operation op,
                   enum x86_register to, int32_t number)
{
    op_register(emitter, width, fits_8(number) ? 0x83 : 0x81, op, to);
    if (fits_8(number))
        emit_8(emitter, (uint8_t)number);
    else
        emit_32(emitter, (uint32_t)number);
}

/* test a, b */
void x86_test(struct emitter *emitter, enum x86_width width, enum x86_register a,
              enum x86_register b)
{
    op_register(emitter, width, 0x85, b, a);
}

/* test a, number */
void x86_test_number(struct emitter *emitter, enum x86_width width, enum x86_register a,
                     int32_t number)
{
    op_register(emitter, width, 0xf7, 0, a);
    emit_32(emitter, (uint32_t)number);
}

/* imul to, from */
void x86_imul(struct emitter *emitter, enum x86_width width, enum x86_register to,
              enum x86_register from)
{
    op_register_0f(emitter, width, 0xaf, to, from, false);
}

/* imul to, to, number */
void x86_imul_number(struct emitter *emitter, enum x86_width width, enum x86_register to,
                     int32_t number)
{
    op_register(emitter, width, 0x69, to, to);
    emit_32(emitter, (uint32_t)number);
}

/* neg operand; div operand (rdx:rax by it); idiv operand */
void x86_unary(struct emitter *emitter, enum x86_width width, enum x86_unary op,
               enum x86_register operand)
{
    op_register(emitter, width, 0xf7, op, operand);
}

/* cdq; cqo */
void x86_sign_extend_rax(struct emitter *emitter, enum x86_width width)
{
    rex(emitter, width, 0, 0, false);
    emit_8(emitter, 0x99);
}

/* shl to, count */
void x86_shift(struct emitter *emitter, enum x86_width width, enum x86_shift op,
               enum x86_register to, uint8_t count)
{
    op_register(emitter, width, 0xc1, op, to);
    emit_8(emitter, count);
}

/* shl to, cl */
void x86_shift_cl(struct emitter *emitter, enum x86_width width, enum x86_shift op,
                  enum x86_register to)
{
    op_register(emitter, width, 0xd3, op, to);
}

/* movzx to32, from16 */
void x86_zero_extend_16(struct emitter *emitter, enum x86_register to, enum x86_register from)
{
    op_register_0f(emitter, WIDTH_32, 0xb7, to, from, false);
}

/* movsx to, from8; movsx to, from16; movsxd to, from32 */
void x86_sign_extend(struct emitter *emitter, enum x86_width width, unsigned bits,
                     enum x86_register to, enum x86_register from)
{
    if (bits == 32)
        op_register(emitter, width, 0x63, to, from);
    else
        op_register_0f(emitter, width, bits == 8 ? 0xbe : 0xbf, to, from, bits == 8);
}

/* ror operand16, 8 */
void x86_swap_16(struct emitter *emitter, enum x86_register operand)
{
    emit_8(emitter, 0x66);
    op_register(emitter, WIDTH_32, 0xc1, 1, operand);
    emit_8(emitter, 8);
}

/* bswap operand */
void x86_swap(struct emitter *emitter, enum x86_width width, enum x86_register operand)
{
    rex(emitter, width, 0, operand, false);
    emit_8(emitter, 0x0f);
    emit_8(emitter, (uint8_t)(0xc8 | (operand & 7)));
}

/* cmovcc to, from */
void x86_cmov(struct emitter *emitter, enum x86_condition condition, enum x86_register to,
              enum x86_register from)
{
    op_register_0f(emitter, WIDTH_64, (uint8_t)(0x40 | condition), to, from, false);
}

/* ---- memory ---- */

/* lea to, [base + offset] */
void x86_lea(struct emitter *emitter, enum x86_register to, enum x86_register base, int32_t offset)
{
    op_memory(emitter, WIDTH_64, 0x8d, to, base, offset);
}

/* sub to, [base + offset] */
void x86_op_memory(struct emitter *emitter, enum x86_operation op, enum x86_register to,
                   enum x86_register base, int32_t offset)
{
    op_memory(emitter, WIDTH_64, (uint8_t)(op << 3 | 3), to, base, offset);
}

/* movzx to32, byte [base + offset]; movzx to32, word [..]; mov to32, [..]; mov to, [..] */
void x86_load(struct emitter *emitter, unsigned size, enum x86_register to, enum x86_register base,
              int32_t offset)
{
    if (size <= 2)
        op_memory_0f(emitter, WIDTH_32, size == 1 ? 0xb6 : 0xb7, to, base, offset);
    else
        op_memory(emitter, size == 8 ? WIDTH_64 : WIDTH_32, 0x8b, to, base, offset);
}

/* movsx to, byte [base + offset]; movsx to, word [..]; movsxd to, [..] */
void x86_load_signed(struct emitter *emitter, unsigned size, enum x86_register to,
                     enum x86_register base, int32_t offset)
{
    if (size <= 2)
        op_memory_0f(emitter, WIDTH_64, size == 1 ? 0xbe : 0xbf, to, base, offset);
    else
        op_memory(emitter, WIDTH_64, 0x63, to, base, offset);
}

/* What stores of all sizes have before their operands. */
static void store_prefix(struct emitter *emitter, unsigned size, unsigned reg,
                         enum x86_register base)
{
    if (size == 2)
        emit_8(emitter, 0x66);
    rex(emitter, size == 8 ? WIDTH_64 : WIDTH_32, reg, base, size == 1 && reg >= RSP);
}

/* mov [base + offset], from */
void x86_store(struct emitter *emitter, unsigned size, enum x86_register base, int32_t offset,
               enum x86_register from)
{
    store_prefix(emitter, size, from, base);
    emit_8(emitter, size == 1 ? 0x88 : 0x89);
    modrm_memory(emitter, from, base, offset);
}

/* mov size [base + offset], number (sign-extended) */
void x86_store_number(struct emitter *emitter, unsigned size, enum x86_register base,
                      int32_t offset, int32_t number)
{
    uint32_t bytes = (uint32_t)number;

    store_prefix(emitter, size, 0, base);
    emit_8(emitter, size == 1 ? 0xc6 : 0xc7);
    modrm_memory(emitter, 0, base, offset);
    emit_bytes(emitter, &bytes, size < 4 ? size : 4);
}

/* push from */
void x86_push(struct emitter *emitter, enum x86_register from)
{
    rex(emitter, WIDTH_32, 0, from, false);
    emit_8(emitter, (uint8_t)(0x50 | (from & 7)));
}

/* pop to */
void x86_pop(struct emitter *emitter, enum x86_register to)
{
    rex(emitter, WIDTH_32, 0, to, false);
    emit_8(emitter, (uint8_t)(0x58 | (to & 7)));
}

/* ---- control ---- */

/* jcc short to; jmp short to */
void x86_branch_short(struct emitter *emitter, enum x86_condition condition, uint64_t to)
{
    int64_t distance = (int64_t)(to - (emitter_position(emitter) + X86_BRANCH_SHORT_SIZE));

    assert(!emitter->buffer || fits_8(distance));       /* who counts may not know it yet */
    emit_8(emitter, (uint8_t)(condition == CONDITION_ALWAYS ? 0xeb : 0x70 | condition));
    emit_8(emitter, (uint8_t)distance);
}

/* jcc to; jmp to */
void x86_branch_near(struct emitter *emitter, enum x86_condition condition, uint64_t to)
{
    if (condition == CONDITION_ALWAYS) {
        emit_8(emitter, 0xe9);
    } else {
        emit_8(emitter, 0x0f);
        emit_8(emitter, (uint8_t)(0x80 | condition));
    }
    emit_relative_32(emitter, to);
}

/* call to */
void x86_call(struct emitter *emitter, uint64_t to)
{
    emit_8(emitter, 0xe8);
    emit_relative_32(emitter, to);
}

/* ret */
void x86_ret(struct emitter *emitter)
{
    emit_8(emitter, 0xc3);
}

size_t x86_skip(struct emitter *emitter, enum x86_condition condition)
{
    x86_branch_short(emitter, condition, emitter_position(emitter) + X86_BRANCH_SHORT_SIZE);
    return emitter->size;
}

void x86_land(struct emitter *emitter, size_t skip)
{
    size_t distance = emitter->size - skip;

    assert(distance <= INT8_MAX);
    emitter_patch_8(emitter, skip - 1, (uint8_t)distance);
}
