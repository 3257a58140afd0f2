/* SPDX-License-Identifier: MIT */
/* Atomic operations and addresses of eBPF (RFC 9669 section 5) in x86-64. */

#include "translation.h"

/* ---- atomic operations ---- */

/*
 * Fetch and change by an operation that x86-64 has no fetching form of: try until nobody else was faster.  RAX, which
 * is what cmpxchg compares with, is kept in R10, and whoever names it as base or source means that.
 */
static void fetch_and(struct translation *t, enum x86_width width, enum x86_operation op, struct x86_memory memory,
                      enum x86_register from)
{
    enum x86_register operand = from == RAX ? R10 : from;
    uint64_t again;

    x86_mov(t->emitter, WIDTH_64, R10, RAX);
    if (memory.base == RAX)
        memory.base = R10;
    x86_load(t->emitter, width == WIDTH_64 ? 8 : 4, RAX, memory);
    again = emitter_position(t->emitter);
    x86_mov(t->emitter, WIDTH_64, R9, RAX);
    x86_op(t->emitter, width, op, R9, operand);
    x86_lock_cmpxchg(t->emitter, width, memory, R9);
    x86_branch_short(t->emitter, CONDITION_NE, again);
    if (from == RAX)
        return;
    x86_mov(t->emitter, WIDTH_64, from, RAX);
    x86_mov(t->emitter, WIDTH_64, RAX, R10);
}

/* The operations but exchanges: which x86 operation, and is there a fetching form of it? */
static void emit_change(struct translation *t, enum x86_width width, int32_t operation, struct x86_memory memory,
                        enum x86_register from)
{
    bool fetch = operation & ATOMIC_FETCH;
    enum x86_operation op = OP_ADD;

    switch (operation & ~ATOMIC_FETCH) {
    case ATOMIC_OR:
        op = OP_OR;
        break;
    case ATOMIC_AND:
        op = OP_AND;
        break;
    case ATOMIC_XOR:
        op = OP_XOR;
        break;
    }
    if (!fetch)
        x86_lock_op(t->emitter, width, op, memory, from);
    else if (op == OP_ADD)
        x86_lock_xadd(t->emitter, width, memory, from);
    else
        fetch_and(t, width, op, memory, from);
}

void x86_64_emit_atomic(struct translation *t, struct instruction i)
{
    enum x86_width width = instruction_access_size(i) == 8 ? WIDTH_64 : WIDTH_32;
    struct x86_memory memory = x86_at(x86_64_register(instruction_destination(i)), i.offset);
    enum x86_register from = x86_64_register(instruction_source(i));

    switch (i.immediate) {
    case ATOMIC_EXCHANGE:
        x86_xchg(t->emitter, width, memory, from);
        break;
    case ATOMIC_COMPARE_EXCHANGE:
        x86_lock_cmpxchg(t->emitter, width, memory, from);
        if (width == WIDTH_32)          /* R0 is zero-extended even if it was equal, and EAX not written */
            x86_mov(t->emitter, WIDTH_32, RAX, RAX);
        break;
    default:
        emit_change(t, width, i.immediate, memory, from);
    }
}

/* ---- addresses ---- */

void x86_64_emit_load_64(struct translation *t, struct instruction low, struct instruction high)
{
    enum x86_register to = x86_64_register(instruction_destination(low));
    uint32_t index = (uint32_t)low.immediate;

    switch (instruction_source(low)) {
    case WIDE_NUMBER:
        x86_mov_number(t->emitter, to, (uint32_t)low.immediate | (uint64_t)(uint32_t)high.immediate << 32);
        break;
    case WIDE_MAP:
        x86_lea_relocation(t->emitter, to, RELOCATION_MAP, index, 0);
        break;
    case WIDE_MAP_VALUE:
        if (t->bytecode->region[index].kind == REGION_CONSTANT)
            x86_lea_relative(t->emitter, to, t->region[index] + (uint64_t)(int64_t)high.immediate);
        else
            x86_lea_relocation(t->emitter, to, RELOCATION_REGION, index, high.immediate);
        break;
    case WIDE_FUNCTION:
        x86_lea_relative(t->emitter, to, t->entry[index]);
        break;
    }
}
