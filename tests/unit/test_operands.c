/* SPDX-License-Identifier: MIT */
/*
 * Every instruction with every pair of registers and with operands of every class, compiled and interpreted: all
 * registers and all memory must be the same afterwards.  What the numbers are is read at run time, so that one
 * translation serves all.
 */
#include "jit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "bytecode_check.h"
#include "interpreter.h"
#include "liveness.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define EACH(type, item, array) (const type *item = array; item < (array) + COUNT(array); item++)

/* ---- what the programs run on ---- */

/* R1 points to this.  Programs never see an address as a number but for its low half, which is the same for both. */
struct ground {
    uint64_t a, b;              /* the operands: destination or memory, and source */
    uint64_t after[INSTRUCTION_REGISTERS - 1];  /* all registers after the instruction under test */
    uint64_t way;               /* of a jump: 1 taken, 2 not */
    uint8_t memory[1024];       /* what the instruction under test accesses, from the middle on */
};

#define MIDDLE 512
#define OFFSET(member) ((int16_t)offsetof(struct ground, member))
#define JIT_GROUND ((void *)0x200000000000)     /* low half 0, as of the interpreter's addresses */

static struct ground *ground;           /* of the machine code */
static struct ground interpreted;       /* of the interpreter */
static unsigned long translations, runs;

/* ---- operands ---- */

static const uint64_t operands[] = {
    0, 1, 31, 32, 63, 64, 0x80, 0x7fff, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000, 0x7fffffffffffffff,
    0x8000000000000000, 0xffffffff80000000, 0xffffffffffffffff, 0x123456789abcdef0,
};

static const int32_t immediates[] = { 0, 1, 2, 3, 5, 7, 8, 9, 31, 32, 63, 64, 127, 128, 255, 256, 0x7fff, 0x8000,
                                      0x7fffffff, INT32_MIN, INT32_MIN + 1, -1, -2, -128, -129, 0x12345678 };

/* ---- programs ---- */

struct program {
    struct instruction code[64];
    uint32_t count;
};

static void add(struct program *program, struct instruction i)
{
    assert_true(program->count < COUNT(program->code));
    program->code[program->count++] = i;
}

/* A register other than these. */
static unsigned other(unsigned a, unsigned b)
{
    unsigned number = 0;

    while (number == a || number == b)
        number++;
    return number;
}

#define CONTEXT_SLOT (-8)       /* on the stack: where R1 was, */
#define KEPT_SLOT (-16)         /* and the register that is used to get at it */

/* Everything holds a number of its own, and the two registers of the instruction under test the operands. */
static void begin(struct program *program, unsigned a, unsigned b)
{
    program->count = 0;
    add(program, STX(8, 10, 1, CONTEXT_SLOT));
    for (unsigned i = 0; i < INSTRUCTION_REGISTERS - 1; i++)
        if (i != 1)
            add(program, MOV64_IMM(i, (int32_t)(0x01010101 * (i + 1))));
    if (a != 1 && a != 10)
        add(program, LDX(8, a, 1, OFFSET(a)));
    if (b != 1 && b != a && b != 10)
        add(program, LDX(8, b, 1, OFFSET(b)));
    if (a == 1)
        add(program, LDX(8, 1, 1, OFFSET(a)));
    else if (b == 1)
        add(program, LDX(8, 1, 1, OFFSET(b)));
    else
        add(program, MOV64_IMM(1, 0x02020202));
}

/* Store all registers.  `address`: the one that still holds an address, or 10. */
static void end(struct program *program, unsigned address)
{
    unsigned context = other(address, address);

    add(program, STX(8, 10, context, KEPT_SLOT));
    add(program, LDX(8, context, 10, CONTEXT_SLOT));
    if (address != 10)
        add(program, INSN(0x1f, address, context, 0, 0));
    for (unsigned i = 0; i < INSTRUCTION_REGISTERS - 1; i++)
        if (i != context)
            add(program, STX(8, context, i, (int16_t)(OFFSET(after) + 8 * i)));
    address = other(context, context);
    add(program, LDX(8, address, 10, KEPT_SLOT));
    add(program, STX(8, context, address, (int16_t)(OFFSET(after) + 8 * context)));
    add(program, MOV64_IMM(0, 0));
    add(program, EXIT());
}

/* ---- running them ---- */

static struct bytecode *bytecode;
static struct code code;
static struct machine machine;
static struct interpreter *interpreter;
static uint64_t interpreted_r1;

static void load(const struct program *program)
{
    struct verified verified;
    struct jit_error error;

    bytecode = jit_bytecode(program->code, program->count, NULL);
    if (bytecode_check(bytecode, &error) < 0)
        fail_msg("%s", error.text);
    assert_int_equal(verified_assume(bytecode, &verified), 0);
    assert_int_equal(compile_verified(&verified, architecture_native(), &code, NULL), 0);
    verified_clear(&verified);
    assert_int_equal(machine_load(bytecode, &code, &machine, NULL), 0);
    interpreter = interpreter_new(bytecode, 1000);
    assert_non_null(interpreter);
    interpreted_r1 = interpreter_add(interpreter, "the ground", &interpreted, sizeof(interpreted), true);
    translations++;
}

static void unload(void)
{
    interpreter_free(interpreter);
    machine_clear(&machine);
    code_clear(&code);
    bytecode_free(bytecode);
}

static void print_difference(struct instruction i)
{
    print_error("%s: opcode 0x%02x, destination R%u, source R%u, offset %d, immediate %d; a = 0x%llx, b = 0x%llx\n",
                instruction_name(i), i.opcode, instruction_destination(i), instruction_source(i), i.offset,
                i.immediate, (unsigned long long)ground->a, (unsigned long long)ground->b);
    for (unsigned r = 0; r < INSTRUCTION_REGISTERS - 1; r++)
        if (ground->after[r] != interpreted.after[r])
            print_error("R%u: compiled 0x%llx, interpreted 0x%llx\n", r, (unsigned long long)ground->after[r],
                        (unsigned long long)interpreted.after[r]);
    for (size_t at = 0; at < sizeof(ground->memory); at++)
        if (ground->memory[at] != interpreted.memory[at])
            print_error("byte %d of memory: compiled 0x%02x, interpreted 0x%02x\n", (int)at - MIDDLE,
                        ground->memory[at], interpreted.memory[at]);
}

static void run(struct instruction i, uint64_t a, uint64_t b, int32_t at)
{
    struct jit_error error;
    uint64_t r0;

    memset(&interpreted, 0x55, sizeof(interpreted));
    interpreted.a = a;
    interpreted.b = b;
    memcpy(interpreted.memory + MIDDLE + at, &a, sizeof(a));
    *ground = interpreted;
    if (interpreter_run(interpreter, interpreted_r1, 0, &r0, &error) < 0)
        fail_msg("%s", error.text);
    jit_call(machine.run, ground, 0);
    runs++;
    if (memcmp(ground, &interpreted, sizeof(interpreted)) != 0) {
        print_difference(i);
        fail();
    }
}

static void run_all(struct instruction i, int32_t at)
{
    for EACH (uint64_t, a, operands)
        for EACH (uint64_t, b, operands)
            run(i, *a, *b, at);
}

/* ---- what is an instruction ---- */

/* The table knows which fields may hold what. */
static bool exists(struct instruction i)
{
    return instruction_check(i, NULL, "", 0, NULL) == 0;
}

/* ---- arithmetic ---- */

static void one_arithmetic(struct instruction i, unsigned source)
{
    struct program program;

    begin(&program, instruction_destination(i), source);
    add(&program, i);
    end(&program, 10);
    load(&program);
    run_all(i, 0);
    unload();
}

static void one_arithmetic_immediate(struct instruction i)
{
    struct program program;

    begin(&program, instruction_destination(i), 10);
    add(&program, i);
    end(&program, 10);
    load(&program);
    for EACH (uint64_t, a, operands)
        run(i, *a, 0, 0);
    unload();
}

static bool is_arithmetic(unsigned opcode)
{
    return instruction_is_arithmetic((struct instruction){ .opcode = (uint8_t)opcode });
}

static void test_arithmetic_with_registers(void **state)
{
    static const int16_t offsets[] = { 0, 1, 8, 16, 32 };

    for (unsigned opcode = 0; opcode < 256; opcode++)
        for (unsigned a = 0; is_arithmetic(opcode) && a < 10; a++)
            for (unsigned b = 0; b < 10; b++)
                for EACH (int16_t, offset, offsets) {
                    struct instruction i = INSN((uint8_t)opcode, a, b, *offset, 0);

                    if (instruction_uses_source(i) && instruction_operation(i) != ALU_END && exists(i))
                        one_arithmetic(i, b);
                }
}

static void test_arithmetic_with_immediates(void **state)
{
    for (unsigned opcode = 0; opcode < 256; opcode++)
        for (unsigned a = 0; is_arithmetic(opcode) && a < 10; a++)
            for (int16_t offset = 0; offset < 2; offset++)
                for EACH (int32_t, immediate, immediates) {
                    struct instruction i = INSN((uint8_t)opcode, a, 0, offset, *immediate);

                    if ((!instruction_uses_source(i) || instruction_operation(i) == ALU_END) && exists(i))
                        one_arithmetic_immediate(i);
                }
}

/* ---- jumps ---- */

static void one_jump(struct instruction i, unsigned source)
{
    struct program program;
    unsigned context = other(instruction_destination(i), source);

    begin(&program, instruction_destination(i), source);
    i.offset = 3;
    add(&program, i);
    add(&program, LDX(8, context, 10, CONTEXT_SLOT));
    add(&program, ST(8, context, OFFSET(way), 2));
    add(&program, JA(2));
    add(&program, LDX(8, context, 10, CONTEXT_SLOT));
    add(&program, ST(8, context, OFFSET(way), 1));
    add(&program, MOV64_IMM(context, 0));
    end(&program, 10);
    load(&program);
    if (source == 10)
        for EACH (uint64_t, a, operands)
            run(i, *a, 0, 0);
    else
        run_all(i, 0);
    unload();
}

static bool is_condition(unsigned opcode)
{
    struct instruction i = { .opcode = (uint8_t)opcode };

    return instruction_is_jump(i) && instruction_operation(i) != JUMP_ALWAYS;
}

static void test_jumps_with_registers(void **state)
{
    for (unsigned opcode = 0; opcode < 256; opcode++)
        for (unsigned a = 0; is_condition(opcode) && a < 10; a++)
            for (unsigned b = 0; b < 10; b++)
                if (exists(INSN((uint8_t)opcode, a, b, 0, 0)) &&
                    instruction_uses_source(INSN((uint8_t)opcode, a, b, 0, 0)))
                    one_jump(INSN((uint8_t)opcode, a, b, 0, 0), b);
}

static void test_jumps_with_immediates(void **state)
{
    for (unsigned opcode = 0; opcode < 256; opcode++)
        for (unsigned a = 0; is_condition(opcode) && a < 10; a++)
            for EACH (int32_t, immediate, immediates)
                if (exists(INSN((uint8_t)opcode, a, 0, 0, *immediate)))
                    one_jump(INSN((uint8_t)opcode, a, 0, 0, *immediate), 10);
}

/* ---- memory ---- */

static const int16_t distances[] = { 0, -8, 120, 128, -128, -136, 256 };
static const int16_t stack_distances[] = { -24, -128, -136, -512 };

/* The base's register leads to the middle of the memory; on the stack the operand is put where the access is. */
static void begin_access(struct program *program, unsigned base, unsigned value, int16_t distance)
{
    unsigned context = other(value, value);

    begin(program, base == value ? 10 : value, 10);
    if (base != 10) {
        add(program, LDX(8, base, 10, CONTEXT_SLOT));
        add(program, ADD64_IMM(base, OFFSET(memory) + MIDDLE));
        return;
    }
    add(program, STX(8, 10, context, KEPT_SLOT));
    add(program, LDX(8, context, 10, CONTEXT_SLOT));
    if (value != 10)            /* what begin() has put into it is `a`; here it is the other operand */
        add(program, LDX(8, value, context, OFFSET(b)));
    add(program, LDX(8, context, context, OFFSET(a)));
    add(program, STX(8, 10, context, distance));
    add(program, LDX(8, context, 10, KEPT_SLOT));
}

/* What is on the stack goes where the rest of memory is; and an address in memory is cut to its low half. */
static void end_access(struct program *program, struct instruction i, unsigned base, bool stores_address)
{
    bool kept = base != 10 && !(liveness_writes(i) & 1u << base);
    unsigned context = other(base, base), value = base == 0 || context == 0 ? 9 : 0;

    if (base == 10 || stores_address) {
        add(program, STX(8, 10, context, KEPT_SLOT));
        add(program, STX(8, 10, value, KEPT_SLOT - 8));
        add(program, LDX(8, context, 10, CONTEXT_SLOT));
    }
    if (base == 10) {
        add(program, LDX(8, value, 10, i.offset));
        add(program, STX(8, context, value, OFFSET(memory)));
    }
    if (stores_address)
        add(program, ST(4, context, (int16_t)(OFFSET(memory) + MIDDLE + i.offset + 4), 0));
    if (base == 10 || stores_address) {
        add(program, LDX(8, value, 10, KEPT_SLOT - 8));
        add(program, LDX(8, context, 10, KEPT_SLOT));
    }
    end(program, kept ? base : 10);
}

static void one_access(struct instruction i, unsigned base, unsigned value)
{
    bool stores = instruction_class(i) == CLASS_STX;
    struct program program;

    begin_access(&program, base, value, i.offset);
    add(&program, i);
    end_access(&program, i, base, stores && base == value);
    load(&program);
    if (stores)
        run_all(i, base == 10 ? 0 : i.offset);
    else
        for EACH (uint64_t, a, operands)
            run(i, *a, 0, base == 10 ? 0 : i.offset);
    unload();
}

static bool is_class(unsigned opcode, enum instruction_class class)
{
    return instruction_class((struct instruction){ .opcode = (uint8_t)opcode }) == class;
}

static void test_loads(void **state)
{
    for (unsigned opcode = 0; opcode < 256; opcode++)
        for (unsigned to = 0; is_class(opcode, CLASS_LDX) && to < 10; to++)
            for (unsigned base = 0; base < 10; base++)
                for EACH (int16_t, distance, distances)
                    if (exists(INSN((uint8_t)opcode, to, base, *distance, 0)))
                        one_access(INSN((uint8_t)opcode, to, base, *distance, 0), base, to);
    for (unsigned opcode = 0; opcode < 256; opcode++)
        for (unsigned to = 0; is_class(opcode, CLASS_LDX) && to < 10; to++)
            for EACH (int16_t, distance, stack_distances)
                if (exists(INSN((uint8_t)opcode, to, 10, *distance, 0)))
                    one_access(INSN((uint8_t)opcode, to, 10, *distance, 0), 10, to);
}

static void test_stores_of_immediates(void **state)
{
    for (unsigned opcode = 0; opcode < 256; opcode++)
        for (unsigned base = 0; is_class(opcode, CLASS_ST) && base < 10; base++)
            for EACH (int16_t, distance, distances)
                for EACH (int32_t, immediate, immediates)
                    if (exists(INSN((uint8_t)opcode, base, 0, *distance, *immediate)))
                        one_access(INSN((uint8_t)opcode, base, 0, *distance, *immediate), base, 10);
}

static bool is_atomic(unsigned opcode)
{
    return instruction_is_atomic((struct instruction){ .opcode = (uint8_t)opcode });
}

static void test_stores_of_registers(void **state)
{
    for (unsigned opcode = 0; opcode < 256; opcode++)
        for (unsigned base = 0; is_class(opcode, CLASS_STX) && !is_atomic(opcode) && base <= 10; base++)
            for (unsigned value = 0; value < 10; value++) {
                int16_t distance = base == 10 ? stack_distances[value % COUNT(stack_distances)] :
                                                distances[value % COUNT(distances)];
                struct instruction i = INSN((uint8_t)opcode, base, value, distance, 0);

                if (exists(i))
                    one_access(i, base, value);
            }
}

static void test_atomics(void **state)
{
    static const int32_t operations[] = { 0x00, 0x01, 0x40, 0x41, 0x50, 0x51, 0xa0, 0xa1, 0xe1, 0xf1 };

    for (unsigned opcode = 0; opcode < 256; opcode++)
        for (unsigned base = 0; is_atomic(opcode) && base <= 10; base++)
            for (unsigned value = 0; value < 10; value++)
                for EACH (int32_t, operation, operations) {
                    int16_t distance = base == 10 ? stack_distances[value % COUNT(stack_distances)] :
                                                    distances[value % COUNT(distances)];
                    struct instruction i = INSN((uint8_t)opcode, base, value, distance, *operation);

                    if (exists(i))
                        one_access(i, base, value);
                }
}

/* Compare and exchange that succeeds: R0 is the operand that memory holds. */
static void test_compare_and_exchange_that_succeeds(void **state)
{
    for (unsigned opcode = 0; opcode < 256; opcode++)
        for (unsigned base = 1; is_atomic(opcode) && base < 10; base++)
            for (unsigned value = 0; value < 10; value++) {
                struct instruction i = INSN((uint8_t)opcode, base, value, 8, ATOMIC_COMPARE_EXCHANGE);
                struct program program;

                if (!exists(i))
                    continue;
                begin_access(&program, base, value, 8);
                add(&program, LDX(8, 0, base, 8));
                add(&program, i);
                end_access(&program, i, base, base == value);
                load(&program);
                run_all(i, 8);
                unload();
            }
}

/* ---- numbers ---- */

static void test_wide_numbers(void **state)
{
    for (unsigned to = 0; to < 10; to++)
        for EACH (uint64_t, number, operands) {
            struct instruction i = INSN(OPCODE_LOAD_64, to, 0, 0, (int32_t)*number);
            struct program program;

            begin(&program, 10, 10);
            add(&program, i);
            add(&program, INSN(0, 0, 0, 0, (int32_t)(*number >> 32)));
            end(&program, 10);
            load(&program);
            run(i, 0, 0, 0);
            unload();
        }
}

static int set_up(void **state)
{
    ground = mmap(JIT_GROUND, sizeof(*ground), PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    return ground == JIT_GROUND ? 0 : -1;
}

static int tear_down(void **state)
{
    print_message("# %lu instructions, %lu runs\n", translations, runs);
    return munmap(ground, sizeof(*ground));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arithmetic_with_registers),
        cmocka_unit_test(test_arithmetic_with_immediates),
        cmocka_unit_test(test_jumps_with_registers),
        cmocka_unit_test(test_jumps_with_immediates),
        cmocka_unit_test(test_loads),
        cmocka_unit_test(test_stores_of_immediates),
        cmocka_unit_test(test_stores_of_registers),
        cmocka_unit_test(test_atomics),
        cmocka_unit_test(test_compare_and_exchange_that_succeeds),
        cmocka_unit_test(test_wide_numbers),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
