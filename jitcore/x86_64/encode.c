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

/* REX for a memory operand: X is the index register's fourth bit. */
static void rex_memory(struct emitter *emitter, enum x86_width width, unsigned reg, struct x86_memory memory, bool byte)
{
    unsigned prefix = 0x40 | (width == WIDTH_64 ? 8 : 0) | (reg >> 3) << 2 | (memory.index >> 3) << 1 |
                      memory.base >> 3;

    if (prefix != 0x40 || byte)
        emit_8(emitter, (uint8_t)prefix);
}

/*
 * ModRM, second operand memory, with SIB where there is an index, or where the base's number means "SIB follows" (RSP,
 * R12); there RSP as index stands for none.
 */
static void modrm_memory(struct emitter *emitter, unsigned reg, struct x86_memory memory)
{
    bool none = memory.offset == 0 && (memory.base & 7) != RBP;         /* mod 00 there means no base, or RIP */
    unsigned mod = none ? 0x00 : fits_8(memory.offset) ? 0x40 : 0x80;

    if (memory.index == X86_NO_INDEX && (memory.base & 7) != RSP) {
        emit_8(emitter, (uint8_t)(mod | (reg & 7) << 3 | (memory.base & 7)));
    } else {
        emit_8(emitter, (uint8_t)(mod | (reg & 7) << 3 | 4));
        emit_8(emitter, (uint8_t)(memory.scale << 6 | (memory.index & 7) << 3 | (memory.base & 7)));
    }
    if (mod == 0x40)
        emit_8(emitter, (uint8_t)memory.offset);
    else if (mod == 0x80)
        emit_32(emitter, (uint32_t)memory.offset);
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

/* opcode reg, memory */
static void op_memory(struct emitter *emitter, enum x86_width width, uint8_t opcode, unsigned reg,
                      struct x86_memory memory)
{
    rex_memory(emitter, width, reg, memory, false);
    emit_8(emitter, opcode);
    modrm_memory(emitter, reg, memory);
}

/* 0f opcode reg, memory */
static void op_memory_0f(struct emitter *emitter, enum x86_width width, uint8_t opcode, unsigned reg,
                         struct x86_memory memory)
{
    rex_memory(emitter, width, reg, memory, false);
    emit_8(emitter, 0x0f);
    emit_8(emitter, opcode);
    modrm_memory(emitter, reg, memory);
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

/* imul to, from, number */
void x86_imul_number(struct emitter *emitter, enum x86_width width, enum x86_register to, enum x86_register from,
                     int32_t number)
{
    op_register(emitter, width, fits_8(number) ? 0x6b : 0x69, to, from);
    if (fits_8(number))
        emit_8(emitter, (uint8_t)number);
    else
        emit_32(emitter, (uint32_t)number);
}

/* neg operand; mul operand (rdx:rax becomes rax times it); div operand (rdx:rax by it); idiv operand */
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

/* movzx to32, from8; movzx to32, from16 */
void x86_zero_extend(struct emitter *emitter, unsigned bits, enum x86_register to, enum x86_register from)
{
    op_register_0f(emitter, WIDTH_32, bits == 8 ? 0xb6 : 0xb7, to, from, bits == 8 && from >= RSP);
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

/* ---- BMI2 ---- */

/* The low two bits of VEX's last byte stand for a prefix. */
enum vex_prefix { VEX_66 = 1, VEX_F3 = 2, VEX_F2 = 3 };

/* Three-byte VEX: inverted R, X, B and the opcode's map; W, the inverted third register, the prefix. */
static void op_vex(struct emitter *emitter, enum x86_width width, enum vex_prefix prefix, unsigned map, uint8_t opcode,
                   unsigned reg, unsigned rm, unsigned third)
{
    emit_8(emitter, 0xc4);
    emit_8(emitter, (uint8_t)((~reg & 8) << 4 | 0x40 | (~rm & 8) << 2 | map));
    emit_8(emitter, (uint8_t)((width == WIDTH_64 ? 0x80 : 0) | (~third & 15) << 3 | prefix));
    emit_8(emitter, opcode);
    modrm(emitter, reg, rm);
}

/* shlx to, from, count; shrx; sarx */
void x86_shift_register(struct emitter *emitter, enum x86_width width, enum x86_shift op, enum x86_register to,
                        enum x86_register from, enum x86_register count)
{
    enum vex_prefix prefix = op == SHIFT_SHL ? VEX_66 : op == SHIFT_SHR ? VEX_F2 : VEX_F3;

    op_vex(emitter, width, prefix, 2, 0xf7, to, from, count);
}

/* rorx to, from, count */
void x86_rotate_right(struct emitter *emitter, enum x86_width width, enum x86_register to, enum x86_register from,
                      uint8_t count)
{
    op_vex(emitter, width, VEX_F2, 3, 0xf0, to, from, 0);
    emit_8(emitter, count);
}

/* ---- memory ---- */

/* lea to, memory */
void x86_lea(struct emitter *emitter, enum x86_width width, enum x86_register to, struct x86_memory from)
{
    op_memory(emitter, width, 0x8d, to, from);
}

/* lea to, [rip + ...]; four bytes of distance are missing */
static void lea_relative(struct emitter *emitter, enum x86_register to)
{
    rex(emitter, WIDTH_64, to, 0, false);
    emit_8(emitter, 0x8d);
    emit_8(emitter, (uint8_t)((to & 7) << 3 | RBP));
}

void x86_lea_relative(struct emitter *emitter, enum x86_register to, uint64_t position)
{
    lea_relative(emitter, to);
    emit_relative_32(emitter, position);
}

void x86_lea_relocation(struct emitter *emitter, enum x86_register to, enum relocation_kind kind, uint32_t index,
                        int32_t addend)
{
    lea_relative(emitter, to);
    emit_relocation_32(emitter, kind, index, addend);
}

/* sub to, memory */
void x86_op_memory(struct emitter *emitter, enum x86_width width, enum x86_operation op, enum x86_register to,
                   struct x86_memory from)
{
    op_memory(emitter, width, (uint8_t)(op << 3 | 3), to, from);
}

/* movzx to32, byte memory; movzx to32, word memory; mov to32, memory; mov to, memory */
void x86_load(struct emitter *emitter, unsigned size, enum x86_register to, struct x86_memory from)
{
    if (size <= 2)
        op_memory_0f(emitter, WIDTH_32, size == 1 ? 0xb6 : 0xb7, to, from);
    else
        op_memory(emitter, size == 8 ? WIDTH_64 : WIDTH_32, 0x8b, to, from);
}

/* movsx to, byte memory; movsx to, word memory; movsxd to, memory */
void x86_load_signed(struct emitter *emitter, unsigned size, enum x86_register to, struct x86_memory from)
{
    if (size <= 2)
        op_memory_0f(emitter, WIDTH_64, size == 1 ? 0xbe : 0xbf, to, from);
    else
        op_memory(emitter, WIDTH_64, 0x63, to, from);
}

/* What stores of all sizes have before their operands. */
static void store_prefix(struct emitter *emitter, unsigned size, unsigned reg, struct x86_memory to)
{
    if (size == 2)
        emit_8(emitter, 0x66);
    rex_memory(emitter, size == 8 ? WIDTH_64 : WIDTH_32, reg, to, size == 1 && reg >= RSP);
}

/* mov memory, from */
void x86_store(struct emitter *emitter, unsigned size, struct x86_memory to, enum x86_register from)
{
    store_prefix(emitter, size, from, to);
    emit_8(emitter, size == 1 ? 0x88 : 0x89);
    modrm_memory(emitter, from, to);
}

/* mov size memory, number (sign-extended) */
void x86_store_number(struct emitter *emitter, unsigned size, struct x86_memory to, int32_t number)
{
    uint32_t bytes = (uint32_t)number;

    store_prefix(emitter, size, 0, to);
    emit_8(emitter, size == 1 ? 0xc6 : 0xc7);
    modrm_memory(emitter, 0, to);
    emit_bytes(emitter, &bytes, size < 4 ? size : 4);
}

/* add memory, from */
void x86_op_to_memory(struct emitter *emitter, enum x86_width width, enum x86_operation op, struct x86_memory to,
                      enum x86_register from)
{
    op_memory(emitter, width, (uint8_t)(op << 3 | 1), from, to);
}

/* add memory, number (sign-extended) */
void x86_op_to_memory_number(struct emitter *emitter, enum x86_width width, enum x86_operation op, struct x86_memory to,
                             int8_t number)
{
    op_memory(emitter, width, 0x83, op, to);
    emit_8(emitter, (uint8_t)number);
}

#define PREFIX_LOCK 0xf0

/* lock add memory, from */
void x86_lock_op(struct emitter *emitter, enum x86_width width, enum x86_operation op, struct x86_memory to,
                 enum x86_register from)
{
    emit_8(emitter, PREFIX_LOCK);
    op_memory(emitter, width, (uint8_t)(op << 3 | 1), from, to);
}

/* lock xadd memory, from */
void x86_lock_xadd(struct emitter *emitter, enum x86_width width, struct x86_memory to, enum x86_register from)
{
    emit_8(emitter, PREFIX_LOCK);
    op_memory_0f(emitter, width, 0xc1, from, to);
}

/* lock cmpxchg memory, from: compares with RAX */
void x86_lock_cmpxchg(struct emitter *emitter, enum x86_width width, struct x86_memory to, enum x86_register from)
{
    emit_8(emitter, PREFIX_LOCK);
    op_memory_0f(emitter, width, 0xb1, from, to);
}

/* xchg memory, from: always locked */
void x86_xchg(struct emitter *emitter, enum x86_width width, struct x86_memory to, enum x86_register from)
{
    op_memory(emitter, width, 0x87, from, to);
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

void x86_call_relocation(struct emitter *emitter, enum relocation_kind kind, uint32_t index)
{
    emit_8(emitter, 0xe8);
    emit_relocation_32(emitter, kind, index, 0);
}

/* ret */
void x86_ret(struct emitter *emitter)
{
    emit_8(emitter, 0xc3);
}

void x86_undefined(struct emitter *emitter)
{
    emit_8(emitter, 0x0f);
    emit_8(emitter, 0x0b);
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

size_t x86_skip_near(struct emitter *emitter, enum x86_condition condition)
{
    x86_branch_near(emitter, condition, emitter_position(emitter) + x86_branch_near_size(condition));
    return emitter->size;
}

void x86_land_near(struct emitter *emitter, size_t skip)
{
    emitter_patch_32(emitter, skip - 4, (uint32_t)(emitter->size - skip));
}
