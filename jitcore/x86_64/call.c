/* SPDX-License-Identifier: MIT */
/*
 * Calls in x86-64.  Functions, the program's own and those that helpers are (helper.h), are called directly; few
 * helpers are code in place.  There are no indirect branches.
 */

#include <assert.h>
#include <errno.h>
#include <linux/bpf.h>

#include "../helper.h"
#include "../linkage.h"
#include "../native.h"
#include "../runtime.h"
#include "../runtime/map.h"
#include "../runtime/seat.h"
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

/* ---- functions outside the program ---- */

/* The runtime's function that this call is of; RUNTIME_NONE: none, or it is not known of which kind the map is. */
static enum runtime_function runtime_of(const struct verified *verified, uint32_t call)
{
    return helper_runtime(verified->bytecode->instruction[call].immediate, verified->map_kind[call]);
}

/*
 * R1 to R5 are where C expects them; the thread's words are the sixth argument.  The runtime uses general registers
 * only, so it does not care how the stack is aligned.
 */
static void emit_runtime(struct translation *t, enum runtime_function function)
{
    if (runtime_wants_thread(function)) {
        x86_call_relocation(t->emitter, RELOCATION_LINKAGE, LINKAGE_COUNTERS);
        x86_lea(t->emitter, WIDTH_64, R9, x86_at(R11, THREAD_AT));
    }
    x86_call_relocation(t->emitter, RELOCATION_RUNTIME, runtime_offset(function));
}

/* A function of the process wants the stack at a multiple of 16; ours may be at any of 8. */
static void emit_aligned_call(struct emitter *emitter, enum relocation_kind kind, uint32_t index)
{
    x86_mov(emitter, WIDTH_64, R10, RSP);
    x86_op_number(emitter, WIDTH_64, OP_AND, RSP, -16);
    x86_push(emitter, R10);
    x86_push(emitter, R10);
    x86_call_relocation(emitter, kind, index);
    x86_pop(emitter, RSP);
}

static void emit_service(struct translation *t, enum linkage_service service)
{
    emit_aligned_call(t->emitter, RELOCATION_LINKAGE, LINKAGE_SERVICES + service * LINKAGE_SERVICE_SIZE);
    if (service == SERVICE_PROCESSOR)           /* uint32_t: the upper half is anything */
        x86_mov(t->emitter, WIDTH_32, RAX, RAX);
}

/* Of a result of less than 64 bits C leaves the others open; programs take it for extended. */
static void emit_result(struct emitter *emitter, const struct native_argument *result)
{
    unsigned bits = result->bits < 8 ? 8 : result->bits;        /* bool: a byte of 0 or 1 */

    if (bits == 64)
        return;
    if (result->is_signed)
        x86_sign_extend(emitter, WIDTH_64, bits, RAX, RAX);
    else if (bits == 32)
        x86_mov(emitter, WIDTH_32, RAX, RAX);
    else
        x86_zero_extend(emitter, bits, RAX, RAX);
}

/* A function of the worker's, by way of its stub. */
static void emit_native(struct translation *t, uint32_t index)
{
    struct native_signature signature;
    int r = native_parse(t->bytecode->native[index].prototype, t->bytecode->context, &signature, NULL);

    emit_aligned_call(t->emitter, RELOCATION_NATIVE, index);
    assert(r == 0);             /* bytecode_check() */
    if (signature.returns)
        emit_result(t->emitter, &signature.result);
}

/* ---- helpers in place ---- */

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

/*
 * long for_each_map_elem(map, callback, void *context, u64 flags): R1 to R4.  -EINVAL with flags; else how many
 * elements the callback got.  R12 counts, and stops at as many as the map can have: others may add some meanwhile.  On
 * the stack, from its pointer up:
 */
#define EACH_VALUE 0            /* what the map's `next` says: the value */
#define EACH_CURSOR 8           /* struct map_cursor, as `next` leaves it */
#define EACH_MAP (EACH_CURSOR + (int32_t)sizeof(struct map_cursor))
#define EACH_CALLBACK (EACH_MAP + 8)
#define EACH_CONTEXT (EACH_MAP + 16)
#define EACH_SIZE (EACH_MAP + 24)

static void emit_each_frame(struct emitter *emitter)
{
    x86_push(emitter, RDX);
    x86_push(emitter, RSI);
    x86_push(emitter, RDI);
    x86_op_number(emitter, WIDTH_64, OP_SUB, RSP, EACH_MAP);
    for (int32_t at = EACH_CURSOR; at < EACH_MAP; at += 8)
        x86_store_number(emitter, 8, x86_at(RSP, at), 0);
    x86_mov_number(emitter, R12, 0);
}

/* The next element's key in RAX, its value on the stack; 0: the end. */
static void emit_each_next(struct translation *t)
{
    x86_load(t->emitter, 8, RDI, x86_at(RSP, EACH_MAP));
    x86_lea(t->emitter, WIDTH_64, RSI, x86_at(RSP, EACH_CURSOR));
    x86_lea(t->emitter, WIDTH_64, RDX, x86_at(RSP, EACH_VALUE));
    emit_runtime(t, runtime_of(t->verified, t->index));
    x86_test(t->emitter, WIDTH_64, RAX, RAX);
}

static void emit_each_call(struct translation *t)
{
    x86_load(t->emitter, 8, RDI, x86_at(RSP, EACH_MAP));
    x86_mov(t->emitter, WIDTH_64, RSI, RAX);
    x86_load(t->emitter, 8, RDX, x86_at(RSP, EACH_VALUE));
    x86_load(t->emitter, 8, RCX, x86_at(RSP, EACH_CONTEXT));
    x86_load(t->emitter, 8, R11, x86_at(RSP, EACH_CALLBACK));
    x86_call(t->emitter, t->callback);
    x86_op_number(t->emitter, WIDTH_32, OP_ADD, R12, 1);
    x86_test(t->emitter, WIDTH_64, RAX, RAX);
}

static void emit_for_each(struct translation *t)
{
    struct emitter *emitter = t->emitter;
    size_t flags, end, stop;
    uint64_t again;

    x86_mov_number(emitter, RAX, (uint64_t)-EINVAL);
    x86_test(emitter, WIDTH_64, RCX, RCX);
    flags = x86_skip_near(emitter, CONDITION_NE);
    emit_each_frame(emitter);
    again = emitter_position(emitter);
    emit_each_next(t);
    end = x86_skip(emitter, CONDITION_E);
    emit_each_call(t);
    stop = x86_skip(emitter, CONDITION_NE);
    x86_load(emitter, 8, R11, x86_at(RSP, EACH_MAP));
    x86_op_memory(emitter, WIDTH_32, OP_CMP, R12, x86_at(R11, offsetof(struct map, max_entries)));
    x86_branch_near(emitter, CONDITION_B, again);
    x86_land(emitter, stop);
    x86_land(emitter, end);
    x86_mov(emitter, WIDTH_32, RAX, R12);
    x86_op_number(emitter, WIDTH_64, OP_ADD, RSP, EACH_SIZE);
    x86_land_near(emitter, flags);
}

static bool has_for_each(const struct verified *verified, uint32_t call)
{
    return runtime_of(verified, call) != RUNTIME_NONE;
}

static bool has_loop(const struct verified *verified, uint32_t call)
{
    (void)verified;
    (void)call;
    return true;
}

/* RAX += R11 * stride */
static void emit_add_scaled(struct emitter *emitter, uint64_t stride)
{
    if (stride == 8) {
        x86_lea(emitter, WIDTH_64, RAX, (struct x86_memory){ RAX, R11, 3, 0 });
        return;
    }
    if (stride & (stride - 1))
        x86_imul_number(emitter, WIDTH_64, R11, R11, (int32_t)stride);
    else
        x86_shift(emitter, WIDTH_64, SHIFT_SHL, R11, (uint8_t)__builtin_ctzll(stride));
    x86_op(emitter, WIDTH_64, OP_ADD, RAX, R11);
}

/* An index beyond the end gives NULL. */
void x86_64_emit_array_lookup(struct translation *t)
{
    uint32_t index = t->verified->region[t->index];
    const struct bytecode_region *region = &t->bytecode->region[index];
    size_t none;

    x86_mov_number(t->emitter, RAX, 0);
    x86_op_number(t->emitter, WIDTH_32, OP_CMP, R11, (int32_t)region->max_entries);
    none = x86_skip(t->emitter, CONDITION_AE);
    x86_lea_relocation(t->emitter, RAX, RELOCATION_REGION, index, 0);
    emit_add_scaled(t->emitter, bytecode_map_stride(region));
    x86_land(t->emitter, none);
}

void x86_64_emit_array_value(struct translation *t, uint32_t index)
{
    uint32_t region = t->verified->region[t->index];
    const struct bytecode_region *array = &t->bytecode->region[region];

    if (index < array->max_entries)
        x86_lea_relocation(t->emitter, RAX, RELOCATION_REGION, region, (int32_t)(index * bytecode_map_stride(array)));
    else
        x86_mov_number(t->emitter, RAX, 0);
}

bool x86_64_is_array_lookup(const struct verified *verified, uint32_t at)
{
    struct instruction i = verified->bytecode->instruction[at];
    uint32_t index = verified->region[at];

    return i.opcode == OPCODE_CALL && instruction_source(i) == CALL_HELPER && i.immediate == HELPER_MAP_LOOKUP &&
           index != VERIFIED_NO_REGION && verified->bytecode->region[index].kind == REGION_MAP &&
           verified->bytecode->region[index].map_type == BPF_MAP_TYPE_ARRAY;
}

static const struct inline_helper {
    int32_t number;
    bool (*has)(const struct verified *verified, uint32_t call);        /* for this call, too? */
    void (*emit)(struct translation *t);        /* R1 to R5 hold the arguments and are lost; RAX gets the result */
} helpers[] = {
    { HELPER_LOOP, has_loop, emit_loop },
    { HELPER_FOR_EACH, has_for_each, emit_for_each },
};

static const struct inline_helper *find_inline(const struct verified *verified, uint32_t call)
{
    for (size_t i = 0; i < sizeof(helpers) / sizeof(helpers[0]); i++)
        if (helpers[i].number == verified->bytecode->instruction[call].immediate && helpers[i].has(verified, call))
            return &helpers[i];
    return NULL;
}

/* Its memory is of a map that this call does not name: the map is then an argument more. */
static bool gives_back(int32_t number)
{
    return helper_find(number)->argument[0] == ARGUMENT_ALLOCATED;
}

/* A map that was found in another one has a descriptor that nothing refers to but what was found. */
static bool has_runtime(const struct verified *verified, uint32_t call)
{
    const struct bytecode *bytecode = verified->bytecode;
    uint32_t region = verified->region[call];

    return runtime_of(verified, call) != RUNTIME_NONE &&
           (!gives_back(bytecode->instruction[call].immediate) ||
            (region != VERIFIED_NO_REGION && bytecode->region[region].kind == REGION_MAP));
}

bool x86_64_has_helper(const struct verified *verified, uint32_t call)
{
    return find_inline(verified, call) || has_runtime(verified, call) ||
           helper_service(verified->bytecode->instruction[call].immediate) >= 0;
}

static void emit_helper(struct translation *t, int32_t number)
{
    const struct inline_helper *helper = find_inline(t->verified, t->index);

    if (helper) {
        helper->emit(t);
    } else if (runtime_of(t->verified, t->index) != RUNTIME_NONE) {
        if (gives_back(number))
            x86_lea_relocation(t->emitter, RDX, RELOCATION_MAP, t->verified->region[t->index], 0);
        emit_runtime(t, runtime_of(t->verified, t->index));
    } else {
        assert(helper_service(number) >= 0);    /* the compiler has asked x86_64_has_helper() */
        emit_service(t, (enum linkage_service)helper_service(number));
    }
}

/* ---- calls ---- */

void x86_64_emit_call(struct translation *t, struct instruction i)
{
    switch ((enum instruction_call)instruction_source(i)) {
    case CALL_HELPER:
        return emit_helper(t, i.immediate);
    case CALL_LOCAL:            /* R1 to R5 are where the callee expects them, R0 where it leaves it */
        return x86_call(t->emitter, t->entry[i.immediate]);
    case CALL_NATIVE:
        return emit_native(t, (uint32_t)i.immediate);
    }
}
