/* SPDX-License-Identifier: MIT */
/*
 * Helpers, as programs call them: each kind of map, each helper, compiled and interpreted, which must return what is
 * expected and leave the same in all memory.
 */
#include "jit.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "execution.h"
#include "helper.h"
#include "raw.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define LOAD_64(dst, kind, low, high) INSN(OPCODE_LOAD_64, dst, kind, 0, low), INSN(0, 0, 0, 0, high)
#define HELPER(number) INSN(OPCODE_CALL, 0, CALL_HELPER, 0, number)
#define NUMBER(value) ((uint64_t)(int64_t)(value))

/* ---- running ---- */

/* A program of one function and one callback behind it, or none (callback == instructions). */
static struct bytecode *make(const struct instruction *code, uint32_t count, const struct bytecode_region *region,
                             uint32_t regions)
{
    struct bytecode *bytecode = NULL;
    struct jit_error error = { 0 };

    if (raw_bytecode(code, count, region, regions, false, &bytecode, &error) < 0)
        fail_msg("%s: %s", error.rule, error.text);
    return bytecode;
}

/* What R0 is, after both ways to run it did the same.  Frees it. */
static uint64_t run_bytecode(struct bytecode *bytecode)
{
    struct execution_outcome compiled = { .result = 0 }, interpreted = { .result = 0 };
    struct execution execution = { .bytecode = bytecode, .verify = true, .memory = (const uint8_t[8]){ 0 }, .size = 8 };
    struct context *context;

    assert_int_equal(context_new_bytes(8, &context, NULL), 0);
    execution.context = context;
    execution_compiled(&execution, &compiled);
    execution_interpreted(&execution, &interpreted);
    if (compiled.result < 0)
        fail_msg("compiled: %s: %s", compiled.error.rule, compiled.error.text);
    if (interpreted.result < 0)
        fail_msg("interpreted: %s: %s", interpreted.error.rule, interpreted.error.text);
    assert_int_equal(compiled.r0, interpreted.r0);
    assert_int_equal(compiled.digest, interpreted.digest);
    context_free(context);
    bytecode_free(bytecode);
    return compiled.r0;
}

static uint64_t run(const struct instruction *code, uint32_t count, const struct bytecode_region *region,
                    uint32_t regions)
{
    return run_bytecode(make(code, count, region, regions));
}

/* ---- maps ---- */

enum { NONE, LOOKUP, UPDATE, DELETE, PUSH, POP, PEEK, FIRST, INNER_LOOKUP, INNER_UPDATE };

/* One call, and what the program then has: of LOOKUP, POP and PEEK the value, or where there is none the error or 0. */
struct step {
    unsigned what;
    uint64_t key;
    int32_t value;
    int32_t flags;
    int64_t result;
};

#define KEY_AT (-8)
#define VALUE_AT (-16)

struct builder {
    struct instruction code[1024];
    uint32_t count;
};

static void put(struct builder *b, struct instruction i)
{
    b->code[b->count++] = i;
}

static void put_stack_address(struct builder *b, unsigned reg, int32_t at)
{
    put(b, MOV64_REG(reg, 10));
    put(b, ADD64_IMM(reg, at));
}

static void put_map(struct builder *b)
{
    put(b, INSN(OPCODE_LOAD_64, 1, WIDE_MAP, 0, 0));
    put(b, INSN(0, 0, 0, 0, 0));
}

/* R0 = *R0, where R0 is not NULL. */
static void put_load(struct builder *b)
{
    put(b, JEQ_IMM(0, 0, 1));
    put(b, LDX(8, 0, 0, 0));
}

/* R0 = the value on the stack, where R0 is 0. */
static void put_load_stack(struct builder *b)
{
    put(b, INSN(0x55, 0, 0, 1, 0));
    put(b, LDX(8, 0, 10, VALUE_AT));
}

/* The arguments of all: map, key or value, value or flags, flags. */
static void put_call(struct builder *b, int32_t helper, const struct step *step, bool has_key)
{
    if (has_key)
        put_stack_address(b, 2, KEY_AT);
    put_stack_address(b, has_key ? 3 : 2, VALUE_AT);
    put(b, MOV64_IMM(has_key ? 4 : 3, step->flags));
    put(b, HELPER(helper));
}

/* The inner map of the outer one in R1: R1, or jump to the end of the step, which is `length` further. */
static void put_inner(struct builder *b, int16_t length)
{
    put_stack_address(b, 2, KEY_AT);
    put(b, HELPER(BPF_FUNC_map_lookup_elem));
    put(b, JEQ_IMM(0, 0, length));
    put(b, MOV64_REG(1, 0));
    put(b, ST(8, 10, KEY_AT, 0));
}

static void put_step(struct builder *b, const struct step *step)
{
    put(b, ST(4, 10, KEY_AT, (int32_t)step->key));
    put(b, ST(4, 10, KEY_AT + 4, (int32_t)(step->key >> 32)));
    put(b, ST(8, 10, VALUE_AT - 8, step->value));
    put(b, LDX(8, 0, 10, VALUE_AT - 8));
    put(b, STX(8, 10, 0, VALUE_AT));
    put_map(b);
    switch (step->what) {
    case LOOKUP:
        put_call(b, BPF_FUNC_map_lookup_elem, step, true);
        return put_load(b);
    case UPDATE:
        return put_call(b, BPF_FUNC_map_update_elem, step, true);
    case DELETE:
        return put_call(b, BPF_FUNC_map_delete_elem, step, true);
    case PUSH:
        return put_call(b, BPF_FUNC_map_push_elem, step, false);
    case POP:
        put_call(b, BPF_FUNC_map_pop_elem, step, false);
        return put_load_stack(b);
    case PEEK:
        put_call(b, BPF_FUNC_map_peek_elem, step, false);
        return put_load_stack(b);
    case INNER_LOOKUP:
        put_inner(b, 10);
        put_call(b, BPF_FUNC_map_lookup_elem, step, true);
        return put_load(b);
    case INNER_UPDATE:
        put_inner(b, 8);
        return put_call(b, BPF_FUNC_map_update_elem, step, true);
    }
}

static const struct kind_case {
    const char *name;
    struct bytecode_region region[2];
    struct step step[24];
} kinds[] = {
    { "array",
      { { .name = "m", .kind = REGION_MAP, .map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 8,
          .max_entries = 3, .size = 24 } },
      { { LOOKUP, 2, 0, 0, 0 },
        { UPDATE, 2, 7, BPF_ANY, 0 },
        { LOOKUP, 2, 0, 0, 7 },
        { UPDATE, 2, 8, BPF_NOEXIST, -EEXIST },
        { UPDATE, 3, 8, BPF_ANY, -E2BIG },
        { UPDATE, 1, 8, BPF_EXIST, 0 },
        { LOOKUP, 1, 0, 0, 8 },
        { LOOKUP, 3, 0, 0, 0 },
        { DELETE, 1, 0, 0, -EINVAL } } },
#define HASH_STEPS                              \
        { LOOKUP, 9, 0, 0, 0 },                 \
        { UPDATE, 9, 7, BPF_EXIST, -ENOENT },   \
        { UPDATE, 9, 7, BPF_NOEXIST, 0 },       \
        { LOOKUP, 9, 0, 0, 7 },                 \
        { UPDATE, 9, 8, BPF_NOEXIST, -EEXIST }, \
        { UPDATE, 9, 8, BPF_ANY, 0 },           \
        { UPDATE, 0, 5, BPF_ANY, 0 },           \
        { LOOKUP, 9, 0, 0, 8 },                 \
        { LOOKUP, 0, 0, 0, 5 },                 \
        { DELETE, 9, 0, 0, 0 },                 \
        { LOOKUP, 9, 0, 0, 0 },                 \
        { DELETE, 9, 0, 0, -ENOENT },           \
        { UPDATE, 9, 7, 77, -EINVAL }
    { "hash",
      { { .name = "m", .kind = REGION_MAP, .map_type = BPF_MAP_TYPE_HASH, .key_size = 8, .value_size = 8,
          .max_entries = 2 } },
      { HASH_STEPS, { UPDATE, 1, 6, BPF_ANY, 0 }, { UPDATE, 2, 6, BPF_ANY, -E2BIG }, { LOOKUP, 1, 0, 0, 6 } } },
    { "lru_hash",
      { { .name = "m", .kind = REGION_MAP, .map_type = BPF_MAP_TYPE_LRU_HASH, .key_size = 8, .value_size = 8,
          .max_entries = 2 } },
      { HASH_STEPS, { UPDATE, 1, 6, BPF_ANY, 0 }, { UPDATE, 2, 6, BPF_ANY, 0 }, { LOOKUP, 2, 0, 0, 6 } } },
    { "percpu_array",
      { { .name = "m", .kind = REGION_MAP, .map_type = BPF_MAP_TYPE_PERCPU_ARRAY, .key_size = 4, .value_size = 8,
          .max_entries = 3 } },
      { { LOOKUP, 2, 0, 0, 0 },
        { UPDATE, 2, 7, BPF_ANY, 0 },
        { LOOKUP, 2, 0, 0, 7 },
        { UPDATE, 2, 8, BPF_NOEXIST, -EEXIST },
        { UPDATE, 3, 8, BPF_ANY, -E2BIG },
        { LOOKUP, 3, 0, 0, 0 } } },
    { "percpu_hash",
      { { .name = "m", .kind = REGION_MAP, .map_type = BPF_MAP_TYPE_PERCPU_HASH, .key_size = 8, .value_size = 8,
          .max_entries = 2 } },
      { HASH_STEPS } },
    { "queue",
      { { .name = "m", .kind = REGION_MAP, .map_type = BPF_MAP_TYPE_QUEUE, .value_size = 8, .max_entries = 2 } },
      { { POP, 0, 0, 0, -ENOENT },
        { PEEK, 0, 0, 0, -ENOENT },
        { PUSH, 0, 1, BPF_ANY, 0 },
        { PUSH, 0, 2, BPF_ANY, 0 },
        { PUSH, 0, 3, BPF_ANY, -E2BIG },
        { PEEK, 0, 0, 0, 1 },
        { PUSH, 0, 4, BPF_EXIST, 0 },
        { POP, 0, 0, 0, 2 },
        { POP, 0, 0, 0, 4 },
        { POP, 0, 0, 0, -ENOENT } } },
    { "stack",
      { { .name = "m", .kind = REGION_MAP, .map_type = BPF_MAP_TYPE_STACK, .value_size = 8, .max_entries = 2 } },
      { { POP, 0, 0, 0, -ENOENT },
        { PUSH, 0, 1, BPF_ANY, 0 },
        { PUSH, 0, 2, BPF_ANY, 0 },
        { PUSH, 0, 3, BPF_ANY, -E2BIG },
        { PEEK, 0, 0, 0, 2 },
        { PUSH, 0, 4, BPF_EXIST, 0 },
        { POP, 0, 0, 0, 4 },
        { POP, 0, 0, 0, 2 },
        { POP, 0, 0, 0, -ENOENT } } },
/* {u32 prefixlen; u8 data[4]}: so many bits of a.b.0.0 */
#define PREFIX(bits, a, b) ((bits) | (uint64_t)(a) << 32 | (uint64_t)(b) << 40)
    { "lpm_trie",
      { { .name = "m", .kind = REGION_MAP, .map_type = BPF_MAP_TYPE_LPM_TRIE, .key_size = 8, .value_size = 8,
          .max_entries = 3, .map_flags = BPF_F_NO_PREALLOC } },
      { { LOOKUP, PREFIX(32, 10, 1), 0, 0, 0 },
        { UPDATE, PREFIX(8, 10, 0), 8, BPF_ANY, 0 },
        { LOOKUP, PREFIX(32, 10, 1), 0, 0, 8 },
        { LOOKUP, PREFIX(32, 11, 1), 0, 0, 0 },
        { UPDATE, PREFIX(16, 10, 1), 16, BPF_NOEXIST, 0 },
        { UPDATE, PREFIX(16, 10, 1), 17, BPF_NOEXIST, -EEXIST },
        { LOOKUP, PREFIX(32, 10, 1), 0, 0, 16 },
        { LOOKUP, PREFIX(32, 10, 2), 0, 0, 8 },
        { LOOKUP, PREFIX(9, 10, 0), 0, 0, 8 },
        { UPDATE, PREFIX(33, 10, 1), 1, BPF_ANY, -EINVAL },
        { UPDATE, PREFIX(0, 0, 0), 5, BPF_ANY, 0 },
        { UPDATE, PREFIX(3, 0, 0), 5, BPF_ANY, -ENOSPC },
        { LOOKUP, PREFIX(32, 11, 1), 0, 0, 5 },
        { DELETE, PREFIX(8, 10, 0), 0, 0, 0 },
        { DELETE, PREFIX(8, 10, 0), 0, 0, -ENOENT },
        { LOOKUP, PREFIX(32, 10, 2), 0, 0, 5 } } },
    { "array_of_maps",
      { { .name = "m", .kind = REGION_MAP, .map_type = BPF_MAP_TYPE_ARRAY_OF_MAPS, .key_size = 4, .value_size = 8,
          .max_entries = 3, .inner = 1 },
        { .name = "i", .kind = REGION_INNER, .map_type = BPF_MAP_TYPE_HASH, .key_size = 8, .value_size = 8,
          .max_entries = 2 } },
      { { INNER_LOOKUP, 0, 0, 0, 0 },
        { INNER_UPDATE, 0, 7, 0, 0 },
        { INNER_LOOKUP, 0, 0, 0, 7 },
        { INNER_LOOKUP, 1, 0, 0, 0 },
        { INNER_UPDATE, 1, 8, BPF_EXIST, -ENOENT },
        { INNER_LOOKUP, 2, 0, 0, 0 } } },
    { "hash_of_maps",
      { { .name = "m", .kind = REGION_MAP, .map_type = BPF_MAP_TYPE_HASH_OF_MAPS, .key_size = 8, .value_size = 8,
          .max_entries = 3, .inner = 1 },
        { .name = "i", .kind = REGION_INNER, .map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 8,
          .max_entries = 2 } },
      { { INNER_UPDATE, 1, 7, 0, 0 },
        { INNER_LOOKUP, 1, 0, 0, 7 },
        { INNER_LOOKUP, 0, 0, 0, 0 },
        { INNER_LOOKUP, 2, 0, 0, 0 } } },
};

static uint32_t regions_of(const struct kind_case *kind)
{
    return kind->region[1].kind == REGION_INNER ? 2 : 1;
}

/* The result of each step is that of a program that ends with it. */
static void test_maps(void **state)
{
    for (size_t k = 0; k < COUNT(kinds); k++)
        for (unsigned steps = 1; steps <= COUNT(kinds[k].step) && kinds[k].step[steps - 1].what != NONE; steps++) {
            struct builder b = { .count = 0 };
            uint64_t result;

            for (unsigned i = 0; i < steps; i++)
                put_step(&b, &kinds[k].step[i]);
            put(&b, EXIT());
            result = run(b.code, b.count, kinds[k].region, regions_of(&kinds[k]));
            if (result != NUMBER(kinds[k].step[steps - 1].result))
                fail_msg("%s, step %u: %lld", kinds[k].name, steps, (long long)result);
        }
}

/* Arrays are looked into by code in place, which may know the index: what stands between its store and the call. */
static uint64_t look_up_after(struct instruction store, struct instruction between, struct instruction another)
{
    static const struct bytecode_region region = { .name = "m", .kind = REGION_MAP, .map_type = BPF_MAP_TYPE_ARRAY,
                                                   .key_size = 4, .value_size = 12, .max_entries = 4, .size = 64 };
    const struct instruction code[] = {
        LOAD_64(1, WIDE_MAP_VALUE, 0, 0), ST(4, 1, 0, 100), ST(4, 1, 16, 101), ST(4, 1, 32, 102), ST(4, 1, 48, 103),
        MOV64_IMM(6, 2), MOV64_REG(7, 10), ST(8, 10, -8, 0), store, between, another, LOAD_64(1, WIDE_MAP, 0, 0),
        MOV64_REG(2, 10), ADD64_IMM(2, -8), HELPER(HELPER_MAP_LOOKUP), JEQ_IMM(0, 0, 1), LDX(4, 0, 0, 0),
        ADD64_REG(0, 6), INSN(0x1f, 0, 6, 0, 0), EXIT(),
    };

    return run(code, COUNT(code), &region, 1);
}

static void test_known_index(void **state)
{
    const struct instruction nothing = MOV64_IMM(0, 0), key = STX(4, 10, 6, -8);

    assert_int_equal(look_up_after(key, nothing, nothing), 102);
    assert_int_equal(look_up_after(STX(8, 10, 6, -8), nothing, nothing), 102);
    assert_int_equal(look_up_after(STX(2, 10, 6, -8), nothing, nothing), 102);
    assert_int_equal(look_up_after(ST(4, 10, -8, 3), nothing, nothing), 103);
    assert_int_equal(look_up_after(ST(8, 10, -8, 1), nothing, nothing), 101);
    assert_int_equal(look_up_after(ST(4, 10, -8, 4), nothing, nothing), 0);
    assert_int_equal(look_up_after(ST(4, 10, -8, -1), nothing, nothing), 0);
    assert_int_equal(look_up_after(key, MOV64_IMM(6, 1), nothing), 102);        /* the register changes, memory not */
    assert_int_equal(look_up_after(key, ST(1, 10, -8, 1), nothing), 101);       /* part of it is overwritten, */
    assert_int_equal(look_up_after(key, ST(1, 10, -7, 1), nothing), 0);
    assert_int_equal(look_up_after(key, ST(8, 10, -12, 0), nothing), 100);
    assert_int_equal(look_up_after(key, ST(1, 7, -8, 3), nothing), 103);        /* also by another pointer; */
    assert_int_equal(look_up_after(key, ST(4, 10, -4, 7), ST(4, 10, -12, 7)), 102);     /* what is beside it */
    assert_int_equal(look_up_after(key, INSN(0xc3, 10, 6, -8, ATOMIC_ADD), nothing), 0);
    assert_int_equal(look_up_after(ST(4, 10, -8, 1), INSN(0xc3, 10, 6, -8, ATOMIC_ADD), nothing), 103);
}

/* ---- for_each ---- */

/*
 * A map of four with keys 1 to 3; the callback adds 10 * key + value to *context and stops at the number in R6.  The
 * result has the number of calls above 2^32.
 */
static uint64_t for_each(uint32_t kind, int32_t stop_at, int32_t flags)
{
    const struct bytecode_region region = { .name = "m", .kind = REGION_MAP, .map_type = kind, .value_size = 8,
                                            .key_size = kind == BPF_MAP_TYPE_ARRAY ? 4 : 8, .max_entries = 4,
                                            .size = kind == BPF_MAP_TYPE_ARRAY ? 32 : 0 };
    const struct instruction end[] = {
        ST(8, 10, -24, 0), MOV64_IMM(6, 600), LOAD_64(1, WIDE_MAP, 0, 0), LOAD_64(2, WIDE_FUNCTION, 9, 0),
        MOV64_REG(3, 10), ADD64_IMM(3, -24), MOV64_IMM(4, flags), HELPER(HELPER_FOR_EACH),
        LDX(8, 1, 10, -24), INSN(0x67, 0, 0, 0, 32), ADD64_REG(0, 1), EXIT(),
        /* callback */
        LDX(4, 5, 2, 0), INSN(0x27, 5, 0, 0, 10), LDX(8, 0, 3, 0), ADD64_REG(5, 0), LDX(8, 0, 4, 0), ADD64_REG(5, 0),
        STX(8, 4, 5, 0), LDX(4, 5, 2, 0), MOV64_IMM(0, 0), INSN(0x55, 5, 0, 1, stop_at), MOV64_IMM(0, 1), EXIT(),
    };
    struct builder b = { .count = 0 };
    const struct step updates[] = { { UPDATE, 1, 100, 0, 0 }, { UPDATE, 2, 200, 0, 0 }, { UPDATE, 3, 300, 0, 0 } };

    for (unsigned i = 0; i < COUNT(updates); i++)
        put_step(&b, &updates[i]);
    for (unsigned i = 0; i < COUNT(end); i++)
        put(&b, end[i]);
    return run(b.code, b.count, &region, 1);
}

static void test_for_each(void **state)
{
    static const uint32_t hashes[] = { BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_LRU_HASH, BPF_MAP_TYPE_PERCPU_HASH };

    assert_int_equal(for_each(BPF_MAP_TYPE_ARRAY, 9, 0), 4ull << 32 | 660);
    assert_int_equal(for_each(BPF_MAP_TYPE_ARRAY, 2, 0), 3ull << 32 | 330);
    assert_int_equal(for_each(BPF_MAP_TYPE_ARRAY, 9, 1), NUMBER(-EINVAL) << 32);
    for (unsigned i = 0; i < COUNT(hashes); i++) {
        assert_int_equal(for_each(hashes[i], 9, 0), 3ull << 32 | 660);
        assert_int_equal(for_each(hashes[i], 9, 1), NUMBER(-EINVAL) << 32);
    }
}

/* ---- rings ---- */

static const struct bytecode_region ring = { .name = "ring", .kind = REGION_MAP, .map_type = BPF_MAP_TYPE_RINGBUF,
                                             .max_entries = 4096 };

/* Reserve, write, give back by `helper`; then what is in the ring. */
static uint64_t ring_after(int32_t helper)
{
    const struct instruction code[] = {
        LOAD_64(1, WIDE_MAP, 0, 0), MOV64_IMM(2, 24), MOV64_IMM(3, 0), HELPER(BPF_FUNC_ringbuf_reserve),
        JEQ_IMM(0, 0, 12), ST(8, 0, 0, 1), ST(8, 0, 8, 2), ST(8, 0, 16, 3), MOV64_REG(1, 0), MOV64_IMM(2, 0),
        MOV64_IMM(3, 0), HELPER(helper), LOAD_64(1, WIDE_MAP, 0, 0), MOV64_IMM(2, BPF_RB_AVAIL_DATA),
        HELPER(BPF_FUNC_ringbuf_query), EXIT(), EXIT(),
    };

    return run(code, COUNT(code), &ring, 1);
}

static void test_ring(void **state)
{
    const struct instruction output[] = {
        ST(8, 10, -8, 7), LOAD_64(1, WIDE_MAP, 0, 0), MOV64_REG(2, 10), ADD64_IMM(2, -8), MOV64_IMM(3, 8),
        MOV64_IMM(4, 0), HELPER(BPF_FUNC_ringbuf_output), MOV64_REG(6, 0), LOAD_64(1, WIDE_MAP, 0, 0),
        MOV64_IMM(2, BPF_RB_PROD_POS), HELPER(BPF_FUNC_ringbuf_query), ADD64_REG(0, 6), EXIT(),
    };

    assert_int_equal(ring_after(BPF_FUNC_ringbuf_submit), 32);
    assert_int_equal(ring_after(BPF_FUNC_ringbuf_discard), 32);
    assert_int_equal(run(output, COUNT(output), &ring, 1), 16);
}

/* ---- without maps ---- */

static uint64_t call_plain(int32_t helper)
{
    const struct instruction code[] = { HELPER(helper), EXIT() };

    return run(code, COUNT(code), NULL, 0);
}

static void test_plain(void **state)
{
    assert_int_equal(call_plain(BPF_FUNC_ktime_get_ns), 1000);  /* test_arena.c's clock */
    assert_int_equal(call_plain(BPF_FUNC_ktime_get_boot_ns), 1000);
    assert_int_equal(call_plain(BPF_FUNC_get_smp_processor_id), 3);
    assert_int_equal(call_plain(BPF_FUNC_get_current_pid_tgid), 1000ull << 32 | 1001);
    assert_true(call_plain(BPF_FUNC_get_prandom_u32) <= UINT32_MAX);
}

/* A service is called with the stack aligned, wherever it is: in functions with frames of all sizes. */
static void test_stack(void **state)
{
    for (int32_t size = 8; size <= 64; size += 8) {
        const struct instruction code[] = {
            ST(8, 10, (int16_t)-size, 5), HELPER(BPF_FUNC_ktime_get_ns), MOV64_REG(6, 0), LDX(8, 0, 10, (int16_t)-size),
            ADD64_REG(0, 6), EXIT(),
        };

        assert_int_equal(run(code, COUNT(code), NULL, 0), 1005);
    }
}

/* ---- natives ---- */

/* Of five numbers (see test_arena.h), with a result of some type. */
static uint64_t call_native(const char *prototype, int32_t first)
{
    const struct instruction code[] = {
        MOV64_IMM(1, first), MOV64_IMM(2, 1), MOV64_IMM(3, 1), MOV64_IMM(4, 1), MOV64_IMM(5, 1), MOV64_IMM(6, 0),
        INSN(OPCODE_CALL, 0, CALL_NATIVE, 0, 0), ADD64_REG(0, 6), EXIT(),
    };
    const struct bytecode counts = { .instructions = COUNT(code), .functions = 1, .natives = 1 };
    struct bytecode *bytecode = bytecode_new(&counts);

    assert_non_null(bytecode);
    memcpy(bytecode->instruction, code, sizeof(code));
    bytecode->function[0] = (struct bytecode_function){ "program", 0, COUNT(code) };
    snprintf(bytecode->native[0].name, sizeof(bytecode->native[0].name), "sum");
    snprintf(bytecode->native[0].prototype, sizeof(bytecode->native[0].prototype), "%s", prototype);
    return run_bytecode(bytecode);
}

static void test_natives(void **state)
{
    assert_int_equal(call_native("u64(u64,u64,u64,u64,u64)", 5), 19);
    assert_int_equal(call_native("s64(u64,u64,u64,u64,u64)", -20), NUMBER(-6));
    assert_int_equal(call_native("u32(u64,u64,u64,u64,u64)", -20), UINT32_MAX - 5);
    assert_int_equal(call_native("s32(u64,u64,u64,u64,u64)", -20), NUMBER(-6));
    assert_int_equal(call_native("u16(u64,u64,u64,u64,u64)", -20), UINT16_MAX - 5);
    assert_int_equal(call_native("s16(u64,u64,u64,u64,u64)", -20), NUMBER(-6));
    assert_int_equal(call_native("u8(u64,u64,u64,u64,u64)", -20), UINT8_MAX - 5);
    assert_int_equal(call_native("s8(u64,u64,u64,u64,u64)", -20), NUMBER(-6));
    assert_int_equal(call_native("bool(u64,u64,u64,u64,u64)", -13), 1);
}

static uint8_t texts[] = "abc\0n=%d,%d\n";

static const struct bytecode_region constants = { .name = ".rodata", .kind = REGION_CONSTANT, .size = sizeof(texts),
                                                  .contents = texts };

static uint64_t compare(int32_t letters)
{
    const struct instruction code[] = {
        ST(8, 10, -8, letters), MOV64_REG(1, 10), ADD64_IMM(1, -8), MOV64_IMM(2, 8), LOAD_64(3, WIDE_MAP_VALUE, 0, 0),
        HELPER(BPF_FUNC_strncmp), EXIT(),
    };

    return run(code, COUNT(code), &constants, 1);
}

static void test_text(void **state)
{
    const struct instruction print[] = {
        LOAD_64(1, WIDE_MAP_VALUE, 0, 4), MOV64_IMM(2, 9), MOV64_IMM(3, 12), MOV64_IMM(4, -3),
        HELPER(BPF_FUNC_trace_printk), EXIT(),
    };

    assert_int_equal(compare('a' | 'b' << 8 | 'c' << 16), 0);
    assert_true((int64_t)compare('a' | 'b' << 8) < 0);
    assert_true((int64_t)compare('a' | 'b' << 8 | 'd' << 16) > 0);
    assert_int_equal(run(print, COUNT(print), &constants, 1), strlen("n=12,-3\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_maps),  cmocka_unit_test(test_for_each), cmocka_unit_test(test_ring),
        cmocka_unit_test(test_plain), cmocka_unit_test(test_stack),    cmocka_unit_test(test_text),
        cmocka_unit_test(test_natives), cmocka_unit_test(test_known_index),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
