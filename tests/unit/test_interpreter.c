/* SPDX-License-Identifier: MIT */
/*
 * The interpreter: what it finds fault with, its helpers and what an observer sees.  (What instructions compute is
 * tested by the public vectors and against the compiler.)
 */
#include "jit.h"

#include <errno.h>
#include <linux/bpf.h>
#include <string.h>

#include "bytecode_check.h"
#include "interpreter.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define CALL_HELPER(number) INSN(OPCODE_CALL, 0, 0, 0, number)
#define REGION(dst, region, offset) INSN(OPCODE_LOAD_64, dst, WIDE_MAP_VALUE, 0, region), INSN(0, 0, 0, 0, offset)
#define MAP(dst, region) INSN(OPCODE_LOAD_64, dst, WIDE_MAP, 0, region), INSN(0, 0, 0, 0, 0)
#define FUNCTION(dst, function) INSN(OPCODE_LOAD_64, dst, WIDE_FUNCTION, 0, function), INSN(0, 0, 0, 0, 0)
#define ATOMIC(opcode, dst, src, off, operation) INSN(opcode, dst, src, off, operation)

#define CONTEXT_SIZE 16
#define STEPS 10000

static uint8_t context[CONTEXT_SIZE];

/* Regions of all programs here: 0 constants, 1 data, 2 an array of 3 values of 12 bytes, 3 one that is only read. */
static struct bytecode *make(const struct instruction *code, uint32_t count, const uint32_t *counts)
{
    static const struct bytecode_region regions[] = {
        { .name = ".rodata", .kind = REGION_CONSTANT, .size = 8 },
        { .name = ".data", .kind = REGION_DATA, .size = 10 },
        { .name = "array", .kind = REGION_MAP, .size = 48, .map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4,
          .value_size = 12, .max_entries = 3 },
        { .name = "settings", .kind = REGION_MAP, .size = 8, .map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4,
          .value_size = 8, .max_entries = 1, .map_flags = BPF_F_RDONLY_PROG },
    };
    struct bytecode *plain = jit_bytecode(code, count, counts), *bytecode;
    struct bytecode sizes = *plain;
    struct jit_error error;

    sizes.regions = COUNT(regions);
    bytecode = bytecode_new(&sizes);
    assert_non_null(bytecode);
    memcpy(bytecode->instruction, plain->instruction, count * sizeof(*code));
    memcpy(bytecode->function, plain->function, plain->functions * sizeof(*plain->function));
    memcpy(bytecode->region, regions, sizeof(regions));
    bytecode_free(plain);
    if (bytecode_check(bytecode, &error) < 0)
        fail_msg("%s", error.text);
    return bytecode;
}

static int run(const struct instruction *code, uint32_t count, const uint32_t *counts, uint64_t *ret,
               struct jit_error *error)
{
    struct bytecode *bytecode = make(code, count, counts);
    struct interpreter *interpreter = interpreter_new(bytecode, STEPS);
    uint64_t r1;
    int r;

    assert_non_null(interpreter);
    memset(context, 0, sizeof(context));
    r1 = interpreter_add(interpreter, "the context", context, sizeof(context), true);
    r = interpreter_run(interpreter, r1, 7, ret, error);
    interpreter_free(interpreter);
    bytecode_free(bytecode);
    return r;
}

/* ---- faults ---- */

#define CODE(...) (const struct instruction[]){ __VA_ARGS__ }, sizeof((struct instruction[]){ __VA_ARGS__ }) / 8

static void test_faults(void **state)
{
    const struct {
        const struct instruction *code;
        size_t count;
        uint32_t counts[3];
        const char *rule;       /* NULL: the twin that runs */
        int64_t instruction;
    } cases[] = {
        /* registers */
        { CODE(MOV64_REG(0, 2), EXIT()), {}, NULL, 0 },
        { CODE(MOV64_REG(0, 3), EXIT()), {}, "uninitialised", 0 },
        { CODE(EXIT()), {}, "uninitialised", 0 },
        { CODE(ADD64_IMM(0, 1), EXIT()), {}, "uninitialised", 0 },
        { CODE(JEQ_IMM(4, 0, 0), MOV64_IMM(0, 0), EXIT()), {}, "uninitialised", 0 },
        { CODE(MOV64_IMM(0, 0), CALL(1), MOV64_REG(0, 2), EXIT(), MOV64_IMM(0, 0), EXIT()), { 4, 2, 0 },
          "uninitialised", 2 },
        { CODE(MOV64_IMM(6, 0), CALL(1), EXIT(), MOV64_REG(0, 6), EXIT()), { 3, 2, 0 }, "uninitialised", 0 },
        { CODE(MOV64_IMM(6, 0), CALL(1), MOV64_REG(0, 6), EXIT(), MOV64_REG(0, 2), EXIT()), { 4, 2, 0 }, NULL, 0 },
        /* the context */
        { CODE(LDX(8, 0, 1, 8), EXIT()), {}, NULL, 0 },
        { CODE(LDX(8, 0, 1, 9), EXIT()), {}, "bounds", 0 },
        { CODE(LDX(1, 0, 1, 16), EXIT()), {}, "bounds", 0 },
        { CODE(LDX(1, 0, 1, -1), EXIT()), {}, "bounds", 0 },
        { CODE(LDX(1, 0, 2, 0), EXIT()), {}, "bounds", 0 },
        /* the stack */
        { CODE(ST(8, 10, -512, 0), LDX(8, 0, 10, -512), EXIT()), {}, NULL, 0 },
        { CODE(ST(8, 10, -513, 0), EXIT()), {}, "bounds", 0 },
        { CODE(ST(8, 10, -7, 0), EXIT()), {}, "bounds", 0 },
        { CODE(ST(1, 10, 0, 0), EXIT()), {}, "bounds", 0 },
        { CODE(LDX(1, 0, 10, -1), EXIT()), {}, "uninitialised", 0 },
        { CODE(ST(4, 10, -8, 0), LDX(8, 0, 10, -8), EXIT()), {}, "uninitialised", 1 },
        { CODE(ST(4, 10, -8, 0), ST(4, 10, -4, 0), LDX(8, 0, 10, -8), EXIT()), {}, NULL, 0 },
        { CODE(ST(8, 10, -8, 0), CALL(1), EXIT(), LDX(8, 0, 10, -8), EXIT()), { 3, 2, 0 }, "uninitialised", 0 },
        /* regions */
        { CODE(REGION(1, 1, 2), LDX(8, 0, 1, 0), EXIT()), {}, NULL, 0 },
        { CODE(REGION(1, 1, 3), LDX(8, 0, 1, 0), EXIT()), {}, "bounds", 2 },
        { CODE(REGION(1, 0, 0), LDX(8, 0, 1, 0), EXIT()), {}, NULL, 0 },
        { CODE(REGION(1, 0, 0), ST(1, 1, 0, 0), EXIT()), {}, "read-only", 2 },
        { CODE(REGION(1, 3, 0), ST(1, 1, 0, 0), EXIT()), {}, "read-only", 2 },
        { CODE(REGION(1, 3, 0), MOV64_IMM(2, 0), ATOMIC(0xdb, 1, 2, 0, 0), EXIT()), {}, "read-only", 3 },
        { CODE(REGION(1, 1, 0), REGION(2, 2, 0), INSN(0x1f, 2, 1, 0, 0), INSN(0x0f, 1, 2, 0, 0),
               LDX(1, 0, 1, 0), EXIT()), {}, NULL, 0 },
        /* atomics */
        { CODE(MOV64_IMM(0, 0), ATOMIC(0xdb, 1, 0, 8, 1), EXIT()), {}, NULL, 0 },
        { CODE(MOV64_IMM(0, 0), ATOMIC(0xdb, 1, 0, 4, 1), EXIT()), {}, "alignment", 1 },
        { CODE(MOV64_IMM(0, 0), ATOMIC(0xc3, 1, 0, 4, 1), EXIT()), {}, NULL, 0 },
        { CODE(MOV64_IMM(0, 0), ATOMIC(0xc3, 1, 0, 2, 1), EXIT()), {}, "alignment", 1 },
        { CODE(MOV64_IMM(0, 0), ATOMIC(0xdb, 10, 0, -8, 1), EXIT()), {}, "uninitialised", 1 },
        { CODE(ATOMIC(0xdb, 1, 2, 0, ATOMIC_COMPARE_EXCHANGE), EXIT()), {}, "uninitialised", 0 },
        /* ends */
        { CODE(JA(-1), EXIT()), {}, "steps", 0 },
        { CODE(CALL(0), EXIT()), {}, "depth", 0 },
        /* helpers */
        { CODE(CALL_HELPER(2), EXIT()), {}, "helper", 0 },
        { CODE(MOV64_IMM(1, 1), MOV64_IMM(2, 0), MOV64_IMM(3, 0), MOV64_IMM(4, 0), CALL_HELPER(181), EXIT()), {},
          "helper", 4 },
        { CODE(ST(4, 10, -4, 0), MOV64_REG(2, 10), ADD64_IMM(2, -4), CALL_HELPER(1), MOV64_IMM(0, 0), EXIT()), {},
          "helper", 3 },
        { CODE(MAP(1, 2), MOV64_REG(2, 10), ADD64_IMM(2, -4), CALL_HELPER(1), EXIT()), {}, "uninitialised", 4 },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct jit_error error = { .rule = "none" };
        uint64_t r0;
        int r = run(cases[i].code, (uint32_t)cases[i].count, cases[i].counts[0] ? cases[i].counts : NULL, &r0, &error);

        if (!cases[i].rule && r < 0)
            fail_msg("case %zu: %s", i, error.text);
        if (!cases[i].rule)
            continue;
        if (r != -EFAULT || strcmp(error.rule, cases[i].rule) != 0 || error.instruction != cases[i].instruction)
            fail_msg("case %zu: %d, rule %s: %s", i, r, error.rule, error.text);
    }
}

/* ---- helpers ---- */

/* The callback adds its index to what R2 leads to, and returns 1 at `last`. */
static uint64_t sum_in_loop(int32_t rounds, int32_t last, int32_t flags)
{
    const struct instruction code[] = {
        ST(8, 10, -8, 0),   MOV64_IMM(1, rounds), FUNCTION(2, 1),   MOV64_REG(3, 10),     ADD64_IMM(3, -8),
        MOV64_IMM(4, flags), CALL_HELPER(181),    LDX(8, 1, 10, -8), INSN(0x67, 0, 0, 0, 32), ADD64_REG(0, 1), EXIT(),
        LDX(8, 3, 2, 0),    ADD64_REG(3, 1),      STX(8, 2, 3, 0),  MOV64_IMM(0, 0),      INSN(0x55, 1, 0, 1, last),
        MOV64_IMM(0, 1),    EXIT(),
    };
    const uint32_t counts[] = { 12, 7, 0 };
    struct jit_error error;
    uint64_t r0 = 0;

    if (run(code, COUNT(code), counts, &r0, &error) < 0)
        fail_msg("%s", error.text);
    return r0;
}

static void test_loop(void **state)
{
    assert_int_equal(sum_in_loop(5, 100, 0), 5ull << 32 | 10);
    assert_int_equal(sum_in_loop(5, 2, 0), 3ull << 32 | 3);
    assert_int_equal(sum_in_loop(0, 0, 0), 0);
    assert_int_equal(sum_in_loop(5, 0, 1), (uint64_t)-EINVAL << 32);
    assert_int_equal(sum_in_loop(INTERPRETER_LOOPS_MAX + 1, 0, 0), (uint64_t)-E2BIG << 32);
}

/* Look up `key` and store at `offset` in the value. */
static int look_up(int32_t key, int16_t offset, uint64_t *ret, struct jit_error *error)
{
    const struct instruction code[] = {
        ST(4, 10, -4, key), MAP(1, 2), MOV64_REG(2, 10), ADD64_IMM(2, -4), CALL_HELPER(1), JEQ_IMM(0, 0, 4),
        ST(4, 0, offset, 5), REGION(1, 2, 32), LDX(4, 0, 1, 8), EXIT(),
    };

    return run(code, COUNT(code), NULL, ret, error);
}

static void test_map_lookup(void **state)
{
    struct jit_error error;
    uint64_t r0;

    assert_int_equal(look_up(2, 8, &r0, &error), 0);
    assert_int_equal(r0, 5);            /* the third value begins at byte 32 */
    assert_int_equal(look_up(1, 8, &r0, &error), 0);
    assert_int_equal(r0, 0);
    assert_int_equal(look_up(3, 8, &r0, &error), 0);
    assert_int_equal(r0, 0);            /* no such key */
    assert_int_equal(look_up(0, 9, &r0, &error), -EFAULT);      /* behind the value, though within the array */
    assert_string_equal(error.rule, "bounds");
    assert_int_equal(look_up(1, -4, &r0, &error), -EFAULT);
    assert_string_equal(error.rule, "bounds");
}

/* ---- observers ---- */

static void check_call(void *userdata, const struct interpreter *interpreter)
{
    unsigned *calls = userdata;
    const struct interpreter_frame *frame = &interpreter->frame[interpreter->depth - 1];
    struct interpreter_place place;

    (*calls)++;
    if (frame->at != 5)
        return;
    assert_int_equal(interpreter->depth, 2);
    assert_true(frame->known & 1u << 3);
    place = interpreter_find(interpreter, frame->value[3]);
    assert_int_equal(place.kind, PLACE_STACK);
    assert_int_equal(place.index, 0);
    assert_int_equal(place.offset, INSTRUCTION_STACK_SIZE - 16);
    assert_true(interpreter->frame[0].initialised[INSTRUCTION_STACK_SIZE - 16]);
    assert_false(interpreter->frame[0].initialised[INSTRUCTION_STACK_SIZE - 8]);
    place = interpreter_find(interpreter, frame->value[1]);
    assert_int_equal(place.kind, PLACE_MEMORY);
    assert_int_equal(place.index, 4);   /* behind the regions */
    assert_int_equal(interpreter_find(interpreter, 7).kind, PLACE_NONE);
    *calls += 100;
}

static void test_observer(void **state)
{
    static const struct instruction code[] = {
        ST(8, 10, -16, 3), MOV64_REG(3, 10), ADD64_IMM(3, -16), CALL(1), EXIT(),
        LDX(8, 0, 3, 0), EXIT(),
    };
    static const uint32_t counts[] = { 5, 2, 0 };
    struct bytecode *bytecode = make(code, COUNT(code), counts);
    struct interpreter *interpreter = interpreter_new(bytecode, STEPS);
    struct jit_error error;
    unsigned calls = 0;
    uint64_t r0, r1;

    assert_non_null(interpreter);
    r1 = interpreter_add(interpreter, "the context", context, sizeof(context), true);
    interpreter->observe = check_call;
    interpreter->userdata = &calls;
    assert_int_equal(interpreter_run(interpreter, r1, 0, &r0, &error), 0);
    assert_int_equal(r0, 3);
    assert_int_equal(calls, 100 + 7);
    assert_int_equal(interpreter->steps, 7);
    interpreter_free(interpreter);
    bytecode_free(bytecode);
    assert_null(interpreter_free(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_loop),
        cmocka_unit_test(test_map_lookup),
        cmocka_unit_test(test_observer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
