/* SPDX-License-Identifier: MIT */
/*
 * Calls in x86-64.  A function is called directly.  A helper is code in place, one row of the table each; there are no
 * indirect branches.
 */

#include <assert.h>
#include <errno.h>
#include <linux/bpf.h>

#include "../helper.h"
#include "translation.h"
#include "x86_64.h"

#define LOOP_MAX (1 << 23)      /* iterations of one call, as the kernel has it */

/* ---- callbacks ---- */

/*
 * The functions whose address is taken and that can run are all that the address of a callback can be of.  Where there
 * is more than one, this code jumps to the one whose address is in R11.  It is called as the function would be.
 */
void x86_64_emit_callbacks(struct translation *t)
{
    uint32_t last = t->bytecode->functions;

    for (uint32_t function = 0; function < t->bytecode->functions; function++) {
        if (!t->is_callback[function])
            continue;
        if (last < t->bytecode->functions) {
            x86_lea_relative(t->emitter, R10, t->entry[last]);
            x86_op(t->emitter, WIDTH_64, OP_CMP, R11, R10);
            x86_branch_near(t->emitter, CONDITION_E, t->entry[last]);
        }
        last = function;
    }
    if (last < t->bytecode->functions)
        x86_branch_near(t->emitter, CONDITION_ALWAYS, t->entry[last]);
}

/* ---- helpers ---- */

/*
 * long loop(u32 count, callback, void *context, u64 flags): R1 to R4.  On the stack: context, callback, count; R12
 * counts.  -E2BIG over LOOP_MAX, -EINVAL with flags; else how many iterations began, the last of which returned other
 * than 0, or was the last.
 */
static void emit_loop(struct translation *t)
{
    struct emitter *emitter = t->emitter;
    size_t no_flags, many, none, stop;
    uint64_t again;

    x86_mov_number(emitter, RAX, (uint64_t)-EINVAL);
    x86_test(emitter, WIDTH_64, RCX, RCX);
    no_flags = x86_skip(emitter, CONDITION_NE);
    x86_mov_number(emitter, RAX, (uint64_t)-E2BIG);
    x86_op_number(emitter, WIDTH_32, OP_CMP, RDI, LOOP_MAX);
    many = x86_skip(emitter, CONDITION_A);
    x86_mov_number(emitter, RAX, 0);
    x86_test(emitter, WIDTH_32, RDI, RDI);
    none = x86_skip(emitter, CONDITION_E);

    x86_push(emitter, RDX);
    x86_push(emitter, RSI);
    x86_push(emitter, RDI);
    x86_mov_number(emitter, R12, 0);
    again = emitter_position(emitter);
    x86_mov(emitter, WIDTH_32, RDI, R12);
    x86_load(emitter, 8, RSI, x86_at(RSP, 16));
    x86_load(emitter, 8, R11, x86_at(RSP, 8));
    x86_call(emitter, t->callback);
    x86_op_number(emitter, WIDTH_32, OP_ADD, R12, 1);
    x86_test(emitter, WIDTH_64, RAX, RAX);
    stop = x86_skip(emitter, CONDITION_NE);
    x86_op_memory(emitter, WIDTH_32, OP_CMP, R12, x86_at(RSP, 0));
    x86_branch_short(emitter, CONDITION_B, again);
    x86_land(emitter, stop);
    x86_mov(emitter, WIDTH_32, RAX, R12);
    x86_op_number(emitter, WIDTH_64, OP_ADD, RSP, 24);

    x86_land(emitter, no_flags);
    x86_land(emitter, many);
    x86_land(emitter, none);
}

static bool has_loop(const struct verified *verified, uint32_t call)
{
    (void)verified;
    (void)call;
    return true;
}

/* void *map_lookup_elem(map, u32 *index): R1, R2.  An index beyond the end gives NULL. */
static void emit_map_lookup(struct translation *t)
{
    uint32_t index = t->verified->region[t->index];
    const struct bytecode_region *region = &t->bytecode->region[index];
    size_t none;

    x86_load(t->emitter, 4, R11, x86_at(RSI, 0));
    x86_mov_number(t->emitter, RAX, 0);
    x86_op_number(t->emitter, WIDTH_32, OP_CMP, R11, (int32_t)region->max_entries);
    none = x86_skip(t->emitter, CONDITION_AE);
    x86_imul_number(t->emitter, WIDTH_64, R11, R11, (int32_t)bytecode_map_stride(region));
    x86_lea_region(t->emitter, RAX, index, 0);
    x86_op(t->emitter, WIDTH_64, OP_ADD, RAX, R11);
    x86_land(t->emitter, none);
}

static bool has_map_lookup(const struct verified *verified, uint32_t call)
{
    uint32_t index = verified->region[call];

    return index != VERIFIED_NO_REGION && verified->bytecode->region[index].kind == REGION_MAP &&
           verified->bytecode->region[index].map_type == BPF_MAP_TYPE_ARRAY;
}

static const struct inline_helper {
    int32_t number;
    bool (*has)(const struct verified *verified, uint32_t call);        /* for this call, too? */
    void (*emit)(struct translation *t);        /* R1 to R5 hold the arguments and are lost; RAX gets the result */
} helpers[] = {
    { HELPER_MAP_LOOKUP, has_map_lookup, emit_map_lookup },
    { HELPER_LOOP, has_loop, emit_loop },
};

static const struct inline_helper *find_helper(int32_t number)
{
    for (size_t i = 0; i < sizeof(helpers) / sizeof(helpers[0]); i++)
        if (helpers[i].number == number)
            return &helpers[i];
    return NULL;
}

bool x86_64_has_helper(const struct verified *verified, uint32_t call)
{
    const struct inline_helper *helper = find_helper(verified->bytecode->instruction[call].immediate);

    return helper && helper->has(verified, call);
}

/* ---- calls ---- */

void x86_64_emit_call(struct translation *t, struct instruction i)
{
    const struct inline_helper *helper;

    if (instruction_source(i) == CALL_LOCAL) {  /* R1 to R5 are where the callee expects them, R0 where it leaves it */
        x86_call(t->emitter, t->entry[i.immediate]);
        return;
    }
    helper = find_helper(i.immediate);
    assert(helper);             /* the compiler has asked x86_64_has_helper() */
    helper->emit(t);
}
