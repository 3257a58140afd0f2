/* SPDX-License-Identifier: MIT */
/* Code that counts, on x86-64.  Between asking for the address of the counters and using it no other code is called. */
#include "counting.h"

#include "../counters.h"
#include "encode.h"
#include "x86_64.h"

#define FIELD(name) ((int32_t)offsetof(struct counter_block, name))

static void emit_increment(struct emitter *emitter, struct x86_memory counter)
{
    x86_op_to_memory_number(emitter, WIDTH_64, OP_ADD, counter, 1);
}

void x86_64_emit_count_run(struct emitter *emitter, int64_t counters_stub, uint32_t counters)
{
    x86_call(emitter, (uint64_t)counters_stub);
    emit_increment(emitter, x86_at(R11, (int32_t)counters + FIELD(runs)));
}

/* ---- time ---- */

/* rdtsc; shl rdx, 32; or rax, rdx */
static void emit_read_time(struct emitter *emitter)
{
    emit_bytes(emitter, (const uint8_t[]){ 0x0f, 0x31 }, 2);
    x86_shift(emitter, WIDTH_64, SHIFT_SHL, RDX, 32);
    x86_op(emitter, WIDTH_64, OP_OR, RAX, RDX);
}

void x86_64_emit_start_time(struct emitter *emitter)
{
    x86_mov(emitter, WIDTH_64, R10, RDX);
    emit_read_time(emitter);
    x86_mov(emitter, WIDTH_64, RDX, R10);
    x86_store(emitter, 8, x86_at(RSP, 0), RAX);
}

/* The cycles are in rax, the block in r11: one more in the bucket of their highest bit. */
static void emit_count_bucket(struct emitter *emitter)
{
    size_t skip;

    x86_op_number(emitter, WIDTH_64, OP_OR, RAX, 1);            /* bsr knows no highest bit of 0 */
    emit_bytes(emitter, (const uint8_t[]){ 0x48, 0x0f, 0xbd, 0xc0 }, 4);        /* bsr rax, rax */
    x86_op_number(emitter, WIDTH_32, OP_CMP, RAX, COUNTER_BUCKETS - 1);
    skip = x86_skip(emitter, CONDITION_BE);
    x86_mov_number(emitter, RAX, COUNTER_BUCKETS - 1);
    x86_land(emitter, skip);
    emit_increment(emitter, (struct x86_memory){ R11, RAX, 3, FIELD(bucket) });
}

/* ---- behind a call ---- */

void x86_64_emit_count_return(struct emitter *emitter, const struct chain *chain,
                              const struct dispatcher_target *target)
{
    bool timed = target->counted & (COUNT_TIME | COUNT_HISTOGRAM);

    x86_mov(emitter, WIDTH_64, R9, RAX);
    if (timed) {
        emit_read_time(emitter);
        x86_op_memory(emitter, WIDTH_64, OP_SUB, RAX, x86_at(RSP, 0));
    }
    x86_call(emitter, (uint64_t)chain->counters_stub);
    x86_op_number(emitter, WIDTH_64, OP_ADD, R11, (int32_t)target->counters);
    if (target->counted & COUNT_TIME)
        x86_op_to_memory(emitter, WIDTH_64, OP_ADD, x86_at(R11, FIELD(cycles)), RAX);
    if (target->counted & COUNT_HISTOGRAM)
        emit_count_bucket(emitter);
    if (target->counted & COUNT_VERDICTS)
        x86_call(emitter, chain->verdict_counter);
    x86_mov(emitter, WIDTH_64, RAX, R9);
}

/* cmpxchg [r8], rcx: one instruction, so no signal handler comes between; no other thread writes here. */
static void emit_claim(struct emitter *emitter)
{
    emit_bytes(emitter, (const uint8_t[]){ 0x49, 0x0f, 0xb1, 0x08 }, 4);
}

/*
 * The verdict is in r9d, the block in r11.
 *
 *      rcx = COUNTER_VERDICT(r9d); r8 = the block's first pair; edx = how many there are
 * next:
 *      the pair's verdict is rcx: found
 *      it is 0: claim it; found, unless a signal handler claimed it for another one
 *      r8 = the next pair; if there is one: next
 *      count among the others, return
 * found:
 *      count the pair, return
 */
void x86_64_emit_verdict_counter(struct emitter *emitter)
{
    size_t same, taken, claimed;
    uint64_t next;

    x86_mov(emitter, WIDTH_32, RCX, R9);
    x86_mov_number(emitter, RDX, UINT64_C(1) << 32);
    x86_op(emitter, WIDTH_64, OP_OR, RCX, RDX);
    x86_lea(emitter, WIDTH_64, R8, x86_at(R11, FIELD(verdict)));
    x86_mov_number(emitter, RDX, COUNTER_VERDICTS);
    next = emitter_position(emitter);
    x86_load(emitter, 8, RAX, x86_at(R8, 0));
    x86_test(emitter, WIDTH_64, RAX, RAX);
    taken = x86_skip(emitter, CONDITION_NE);
    emit_claim(emitter);
    claimed = x86_skip(emitter, CONDITION_E);
    x86_land(emitter, taken);
    x86_op(emitter, WIDTH_64, OP_CMP, RAX, RCX);
    same = x86_skip(emitter, CONDITION_E);
    x86_op_number(emitter, WIDTH_64, OP_ADD, R8, (int32_t)(sizeof(uint64_t) * 2));
    x86_op_number(emitter, WIDTH_32, OP_SUB, RDX, 1);
    x86_branch_short(emitter, CONDITION_NE, next);
    emit_increment(emitter, x86_at(R11, FIELD(other)));
    x86_ret(emitter);
    x86_land(emitter, claimed);
    x86_land(emitter, same);
    emit_increment(emitter, x86_at(R8, (int32_t)sizeof(uint64_t)));
    x86_ret(emitter);
}

/* ---- sampling ---- */

/*
 * The position is taken before the key is written, by one instruction: a signal handler's keys go to other places.  For
 * a moment the ring holds an old key as its newest.
 */
void x86_64_emit_sampler(struct emitter *emitter, int64_t counters_stub, uint64_t next)
{
    x86_call(emitter, (uint64_t)counters_stub);
    x86_mov_number(emitter, RAX, 1);
    emit_bytes(emitter, (const uint8_t[]){ 0x49, 0x0f, 0xc1, 0x03 }, 4);        /* xadd [r11], rax */
    x86_op_number(emitter, WIDTH_32, OP_AND, RAX, SAMPLE_KEYS - 1);
    x86_store(emitter, 4, (struct x86_memory){ R11, RAX, 2, (int32_t)offsetof(struct sample_ring, key) }, RSI);
    x86_branch_near(emitter, CONDITION_ALWAYS, next);
}
