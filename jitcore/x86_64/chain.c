/* SPDX-License-Identifier: MIT */
/*
 * Chains, on x86-64.  Each part is left out where it is not needed:
 *
 *      (count the miss)
 * gate:
 *      slot                        poked: to `verdict`
 *      push rbx; push rsi; sub rsp, 8; mov rbx, rdi
 * target i:
 *      slot                        poked: to target i + 1, or from the last one to `done`
 *      mov rdi, rbx; mov rsi, [rsp + 8]
 *      (count the run)
 *      call it                     the last one, or one that ends the chain anyway, is jumped to
 *      (count what it returned)
 *      cmp eax, proceed[0]; je target i + 1; ...
 *      jmp done
 * done:
 *      add rsp, 16; pop rbx; ret   with the verdict of the last one that ran
 * verdict:
 *      mov eax, verdict; ret
 *
 * A single target that is counted by its return is called with all arguments as they came.  One that is only counted by
 * its runs needs no frame.  The frame: the time at [rsp], the key at [rsp + 8], aligned as calls want it.
 */
#include <assert.h>
#include <string.h>

#include "../poke.h"
#include "counting.h"
#include "encode.h"
#include "x86_64.h"

static bool is_counted(const struct dispatcher_target *target, unsigned what)
{
    return target_is_counted(target) && target->counted & what;
}

static bool is_counted_by_return(const struct dispatcher_target *target)
{
    return is_counted(target, COUNT_VERDICTS | COUNT_TIME | COUNT_HISTOGRAM);
}

static bool is_called(const struct chain *chain, size_t i)
{
    const struct dispatcher_target *target = &chain->target[i];

    if (target->jumped_to)
        return false;
    return is_counted_by_return(target) || (i + 1 < chain->targets && target->proceeds > 0);
}

static bool has_frame(const struct chain *chain)
{
    return chain->targets > 1 || (chain->targets == 1 && is_called(chain, 0));
}

/* An aligned slot that falls through.  Where it leads when poked is set by whoever knows it. */
static void emit_slot(struct emitter *emitter, struct skip *skip)
{
    while (emitter_position(emitter) % SLOT_SIZE != 0)
        emit_8(emitter, 0x90);
    if (skip)
        skip->slot = emitter_position(emitter);
    emit_64(emitter, x86_64_slot_fall_through());
}

/* ---- the frame ---- */

static void emit_enter(struct emitter *emitter)
{
    x86_push(emitter, RBX);
    x86_push(emitter, RSI);
    x86_op_number(emitter, WIDTH_64, OP_SUB, RSP, 8);
    x86_mov(emitter, WIDTH_64, RBX, RDI);
}

static void emit_leave(struct emitter *emitter)
{
    x86_op_number(emitter, WIDTH_64, OP_ADD, RSP, 16);
    x86_pop(emitter, RBX);
}

static void emit_arguments(struct emitter *emitter)
{
    x86_mov(emitter, WIDTH_64, RDI, RBX);
    x86_load(emitter, 8, RSI, x86_at(RSP, 8));
}

/* ---- targets ---- */

static void emit_call(struct emitter *emitter, const struct chain *chain, size_t i)
{
    const struct dispatcher_target *target = &chain->target[i];

    if (is_counted(target, COUNT_TIME | COUNT_HISTOGRAM))
        x86_64_emit_start_time(emitter);
    x86_call(emitter, (uint64_t)target->code);
    if (is_counted_by_return(target))
        x86_64_emit_count_return(emitter, chain, target);
}

/*
 * Go on to the next target, which begins at a slot: at the first position behind this code that is a multiple of
 * SLOT_SIZE.  So all jumps to it are patched when that is known.
 */
static void emit_proceed(struct emitter *emitter, const struct dispatcher_target *target, size_t *ret_done,
                         size_t *ret_proceed)
{
    for (unsigned v = 0; v < target->proceeds; v++) {
        x86_op_number(emitter, WIDTH_32, OP_CMP, RAX, (int32_t)target->proceed[v]);
        ret_proceed[v] = x86_skip_near(emitter, CONDITION_E);
    }
    *ret_done = x86_skip_near(emitter, CONDITION_ALWAYS);
}

/* The jumps to the end of the chain that are still to be patched are a list: each holds where the one before is. */
static void emit_target(struct emitter *emitter, const struct chain *chain, size_t i, size_t *done, struct skip *skip)
{
    const struct dispatcher_target *target = &chain->target[i];
    size_t proceed[PROCEED_MAX], jump;

    if (chain->targets > 1) {
        emit_slot(emitter, skip);
        emit_arguments(emitter);
    }
    if (is_counted(target, COUNT_RUNS))
        x86_64_emit_count_run(emitter, chain->counters_stub, target->counters);
    if (!is_called(chain, i)) {
        if (has_frame(chain))
            emit_leave(emitter);
        x86_branch_near(emitter, CONDITION_ALWAYS, (uint64_t)target->code);
        return;
    }
    emit_call(emitter, chain, i);
    if (i + 1 == chain->targets)
        return;
    emit_proceed(emitter, target, &jump, proceed);
    emitter_patch_32(emitter, jump - 4, (uint32_t)*done);
    *done = jump;
    while (emitter_position(emitter) % SLOT_SIZE != 0)
        emit_8(emitter, 0xcc);
    for (unsigned v = 0; v < target->proceeds; v++)
        x86_land_near(emitter, proceed[v]);
}

static void land_all(struct emitter *emitter, size_t jump)
{
    uint32_t before;

    while (jump > 0 && emitter->buffer && !emitter->error) {
        memcpy(&before, emitter->buffer + jump - 4, sizeof(before));
        x86_land_near(emitter, jump);
        jump = before;
    }
}

static void emit_targets(struct emitter *emitter, const struct chain *chain, struct skip *skip)
{
    size_t done = 0;

    if (has_frame(chain))
        emit_enter(emitter);
    for (size_t i = 0; i < chain->targets; i++) {
        emit_target(emitter, chain, i, &done, skip ? &skip[i] : NULL);
        if (skip && i > 0 && chain->targets > 1)
            skip[i - 1].to = skip[i].slot;
    }
    if (!has_frame(chain))
        return;
    if (skip && chain->targets > 1)
        skip[chain->targets - 1].to = emitter_position(emitter);
    land_all(emitter, done);
    emit_leave(emitter);
    x86_ret(emitter);
}

void x86_64_emit_chain(struct emitter *emitter, const struct chain *chain, struct skip *skip)
{
    assert(emitter_position(emitter) % SLOT_SIZE == 0);
    if (skip)
        memset(skip, 0, (chain->targets + 1) * sizeof(*skip));
    if (chain->is_fallback && chain->miss_counters > 0)
        x86_64_emit_count_run(emitter, chain->counters_stub, chain->miss_counters);
    if (chain->is_fallback && chain->targets > 0)
        emit_slot(emitter, skip ? &skip[chain->targets] : NULL);
    emit_targets(emitter, chain, skip);
    if (!chain->is_fallback)
        return;
    if (skip && chain->targets > 0)
        skip[chain->targets].to = emitter_position(emitter);
    x86_mov_number(emitter, RAX, chain->verdict);
    x86_ret(emitter);
}
