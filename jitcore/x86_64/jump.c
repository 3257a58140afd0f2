/* SPDX-License-Identifier: MIT */
/*
 * Tables of jumps, on x86-64: context in rdi and key in esi stay as they are.
 *
 * A slot of a hash is read by one load, key and distance together, since it may be poked meanwhile.  The jump is marked
 * as one that need not land on endbr64 (notrack), as compilers mark those of a switch: its targets come from sealed
 * memory.
 */
#include <assert.h>

#include "encode.h"
#include "x86_64.h"

static void emit_hot(struct emitter *emitter, const struct jump *jump)
{
    for (size_t i = 0; i < jump->hots; i++) {
        x86_op_number(emitter, WIDTH_32, OP_CMP, RSI, (int32_t)jump->hot[i].first);
        x86_branch_near(emitter, CONDITION_E, (uint64_t)jump->hot[i].code);
    }
}

/* notrack jmp rdx */
static void emit_jump_to_rdx(struct emitter *emitter)
{
    emit_bytes(emitter, (const uint8_t[]){ 0x3e, 0xff, 0xe2 }, 3);
}

static void emit_multiply_shift(struct emitter *emitter, enum x86_register to, uint32_t multiplier, unsigned bits)
{
    x86_imul_number(emitter, WIDTH_32, to, RSI, (int32_t)multiplier);
    x86_shift(emitter, WIDTH_32, SHIFT_SHR, to, (uint8_t)(32 - bits));
}

static void emit_hash(struct emitter *emitter, const struct jump *jump)
{
    const struct perfect_hash *hash = &jump->hash;

    if (hash->bucket_bits > 0)
        emit_multiply_shift(emitter, RDX, hash->bucket_multiplier, hash->bucket_bits);
    emit_multiply_shift(emitter, RAX, hash->multiplier, hash->bits);
    x86_lea_relative(emitter, RCX, jump->table);
    if (hash->bucket_bits > 0)
        x86_op_memory(emitter, WIDTH_32, OP_XOR, RAX,
                      (struct x86_memory){ RCX, RDX, 2, (int32_t)(8u << hash->bits) });
    x86_load(emitter, 8, RDX, (struct x86_memory){ RCX, RAX, 3, 0 });
    x86_op(emitter, WIDTH_32, OP_CMP, RDX, RSI);
    x86_branch_near(emitter, CONDITION_NE, jump->miss);
    x86_shift(emitter, WIDTH_64, SHIFT_SAR, RDX, 32);
    x86_op(emitter, WIDTH_64, OP_ADD, RDX, RCX);
    emit_jump_to_rdx(emitter);
}

/*
 * Through a slot: where to go is known without a load, and so sooner where it was predicted wrong.  16 keys in no
 * order:  9.1 ns a call, and 10.2 by a distance.  Of a large table it would be too much code: 4,096 keys, 13.5 and 10.4
 * ns.
 */
static void emit_dense(struct emitter *emitter, const struct jump *jump)
{
    if (jump->first == 0)
        x86_mov(emitter, WIDTH_32, RAX, RSI);
    else
        x86_lea(emitter, WIDTH_32, RAX, x86_at(RSI, (int32_t)-jump->first));
    x86_op_number(emitter, WIDTH_32, OP_CMP, RAX, (int32_t)(jump->last - jump->first));
    x86_branch_near(emitter, CONDITION_A, jump->miss);
    x86_lea_relative(emitter, RCX, jump->table);
    if (jump->large) {
        x86_load(emitter, 8, RDX, (struct x86_memory){ RCX, RAX, 3, 0 });
        x86_op(emitter, WIDTH_64, OP_ADD, RDX, RCX);
    } else {
        x86_lea(emitter, WIDTH_64, RDX, (struct x86_memory){ RCX, RAX, 3, 0 });
    }
    emit_jump_to_rdx(emitter);
}

void x86_64_emit_jump(struct emitter *emitter, const struct jump *jump)
{
    emit_hot(emitter, jump);
    switch (jump->shape) {
    case DISPATCHER_HASH:
        emit_hash(emitter, jump);
        break;
    case DISPATCHER_DENSE:
        emit_dense(emitter, jump);
        break;
    case DISPATCHER_TREE:
        assert(!"a tree has no table");
    }
}
