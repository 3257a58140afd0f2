/* SPDX-License-Identifier: MIT */
/*
 * Each instruction against a model in C, with every pair of registers: all registers are loaded,
 * the instruction runs, and all registers are stored, so that a register changed by mistake shows
 * as well as a wrong result.
 */
#include "jit.h"

#include <stdlib.h>
#include <string.h>

struct registers {
    uint64_t in[10];
    uint64_t out[11];           /* R10 too */
    uint64_t taken;             /* 1: fell through, 2: jumped */
    uint8_t memory[256];        /* for loads and stores; the base register points to the middle */
};

#define IN(n) (int16_t)(offsetof(struct registers, in) + 8 * (n))
#define OUT(n) (int16_t)(offsetof(struct registers, out) + 8 * (n))

static const uint64_t values[] = {
    0, 1, 2, 31, 32, 63, 64, 0x80, 0x8000, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000,
    0xffffffff80000000, 0x123456789abcdef0, 0xfedcba9876543210, UINT64_MAX, UINT64_MAX - 1,
    INT64_MIN, INT64_MAX,
};

static const int32_t numbers[] = {
    0, 1, -1, 2, INT32_MIN, INT32_MAX, 7, -10, 31, 32, 63, 64, 127, 128, -128, -129, 0x12345678,
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- programs around an instruction ---- */

#define WRAPPED_MAX 64

static uint32_t wrap(struct instruction *ret, const struct instruction *body, uint32_t count)
{
    static const uint8_t order[10] = { 0, 2, 3, 4, 5, 6, 7, 8, 9, 1 };  /* R1, the pointer, last */
    uint32_t n = 0;

    ret[n++] = STX(8, 10, 1, -8);
    for (unsigned i = 0; i < 10; i++)
        ret[n++] = LDX(8, order[i], 1, IN(order[i]));
    memcpy(&ret[n], body, count * sizeof(*body));
    n += count;
    for (uint8_t i = 0; i < 10; i++)
        ret[n++] = STX(8, 10, i, (int16_t)(-16 - 8 * i));
    ret[n++] = LDX(8, 1, 10, -8);
    for (uint8_t i = 0; i < 10; i++) {
        ret[n++] = LDX(8, 2, 10, (int16_t)(-16 - 8 * i));
        ret[n++] = STX(8, 1, 2, OUT(i));
    }
    ret[n++] = STX(8, 1, 10, OUT(10));
    ret[n++] = MOV64_IMM(0, 0);
    ret[n++] = EXIT();
    assert_true(n <= WRAPPED_MAX);
    return n;
}

static jit_function *install(const struct instruction *body, uint32_t count)
{
    struct instruction wrapped[WRAPPED_MAX];
    struct bytecode *bytecode;
    jit_function *function;

    for (uint32_t i = 0; i < count; i += instruction_length(body[i])) {
        struct jit_error error = { 0 };

        if (instruction_check(body[i], i + 1 < count ? &body[i + 1] : NULL, "test", i, &error) < 0)
            fail_msg("%s", error.text);
    }
    bytecode = jit_bytecode(wrapped, wrap(wrapped, body, count), NULL);
    function = jit_install_unverified(bytecode);
    bytecode_free(bytecode);
    return function;
}

static uint64_t random_next(void)
{
    static uint64_t state = 88172645463325252u;

    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static void fill(struct registers *registers)
{
    for (unsigned i = 0; i < 10; i++)
        registers->in[i] = random_next();
    memset(registers->out, 0xee, sizeof(registers->out));
}

/* After a run: all registers must be what they were but `destination`, which must be `expected`. */
static void compare(const struct registers *registers, unsigned destination, uint64_t expected,
                    struct instruction shown)
{
    for (unsigned i = 0; i < 10; i++) {
        uint64_t want = i == destination ? expected : registers->in[i];

        if (registers->out[i] != want)
            fail_msg("%s (opcode %02x, r%u, r%u, offset %d, imm %d): r%u is %#llx, not %#llx",
                     instruction_name(shown), shown.opcode, instruction_destination(shown),
                     instruction_source(shown), shown.offset, shown.immediate, i,
                     (unsigned long long)registers->out[i], (unsigned long long)want);
    }
}

/* ---- the model ---- */

static uint64_t swap_bytes(uint64_t value, unsigned bits)
{
    uint64_t result = 0;

    for (unsigned i = 0; i < bits; i += 8)
        result |= (value >> i & 0xff) << (bits - 8 - i);
    return result;
}

static uint64_t low_bits(uint64_t value, unsigned bits)
{
    return bits == 64 ? value : value & ((1ull << bits) - 1);
}

static int64_t sign_extended(uint64_t value, unsigned bits)
{
    uint64_t sign = 1ull << (bits - 1);

    return (int64_t)((low_bits(value, bits) ^ sign) - sign);
}

static uint64_t model_signed_division(int64_t a, int64_t b, bool modulo)
{
    if (b == 0)
        return modulo ? (uint64_t)a : 0;
    if (b == -1)
        return modulo ? 0 : 0 - (uint64_t)a;
    return (uint64_t)(modulo ? a % b : a / b);
}

/* RFC 9669 sections 4.1 and 4.2, at a width of 32 or 64 bits. */
static uint64_t model(struct instruction i, uint64_t a, uint64_t b)
{
    unsigned bits = (i.opcode & 7) == CLASS_ALU64 ? 64 : 32, count = (unsigned)b & (bits - 1);
    int64_t sa = sign_extended(a, bits), sb = sign_extended(b, bits);
    uint64_t value = 0;

    if (i.opcode == 0xd4)
        return low_bits(a, (unsigned)i.immediate);
    if (i.opcode >> 4 == ALU_END)
        return swap_bytes(a, (unsigned)i.immediate);
    a = low_bits(a, bits);
    b = low_bits(b, bits);
    switch (i.opcode >> 4) {
    case ALU_ADD: value = a + b; break;
    case ALU_SUB: value = a - b; break;
    case ALU_MUL: value = a * b; break;
    case ALU_OR: value = a | b; break;
    case ALU_AND: value = a & b; break;
    case ALU_XOR: value = a ^ b; break;
    case ALU_LSH: value = a << count; break;
    case ALU_RSH: value = a >> count; break;
    case ALU_ARSH: value = (uint64_t)(sa >> count); break;
    case ALU_NEG: value = 0 - a; break;
    case ALU_MOV: value = i.offset ? (uint64_t)sign_extended(b, (unsigned)i.offset) : b; break;
    case ALU_DIV:
        value = i.offset ? model_signed_division(sa, sb, false) : b ? a / b : 0;
        break;
    case ALU_MOD:
        value = i.offset ? model_signed_division(sa, sb, true) : b ? a % b : a;
        break;
    }
    return low_bits(value, bits);
}

static bool model_jump(struct instruction i, uint64_t a, uint64_t b)
{
    unsigned bits = (i.opcode & 7) == CLASS_JMP ? 64 : 32;
    int64_t sa = sign_extended(a, bits), sb = sign_extended(b, bits);

    a = low_bits(a, bits);
    b = low_bits(b, bits);
    switch (i.opcode >> 4) {
    case JUMP_EQ: return a == b;
    case JUMP_NE: return a != b;
    case JUMP_SET: return a & b;
    case JUMP_GT: return a > b;
    case JUMP_GE: return a >= b;
    case JUMP_LT: return a < b;
    case JUMP_LE: return a <= b;
    case JUMP_SGT: return sa > sb;
    case JUMP_SGE: return sa >= sb;
    case JUMP_SLT: return sa < sb;
    case JUMP_SLE: return sa <= sb;
    }
    return true;
}

/* What the instruction's second operand was in the last run. */
static uint64_t second_operand(const struct registers *registers, struct instruction i, bool source)
{
    if (!source)
        return (uint64_t)(int64_t)i.immediate;
    return instruction_source(i) == 10 ? registers->out[10] : registers->in[instruction_source(i)];
}

/* ---- arithmetic ---- */

static void check_arithmetic(struct instruction i)
{
    jit_function *function = install(&i, 1);
    unsigned to = instruction_destination(i), from = instruction_source(i);
    bool has_source = i.opcode & 8 && i.opcode >> 4 != ALU_END;
    struct registers registers = { 0 };

    for (size_t a = 0; a < COUNT(values) + 4; a++)
        for (size_t b = 0; b < (has_source ? COUNT(values) + 4 : 1); b++) {
            uint64_t second;

            fill(&registers);
            if (a < COUNT(values))
                registers.in[to] = values[a];
            if (has_source && from < 10 && b < COUNT(values) && from != to)
                registers.in[from] = values[b];
            jit_call(function, &registers, 0);
            second = second_operand(&registers, i, has_source);
            compare(&registers, to, model(i, registers.in[to], second), i);
        }
}

/* All offsets that the instruction has a meaning for: 0, and signedness or width. */
static void check_arithmetic_variants(struct instruction i)
{
    unsigned operation = i.opcode >> 4;
    bool wide = (i.opcode & 7) == CLASS_ALU64;

    check_arithmetic(i);
    if (operation == ALU_DIV || operation == ALU_MOD) {
        i.offset = 1;
        check_arithmetic(i);
    }
    if (operation != ALU_MOV || !(i.opcode & 8))
        return;
    for (i.offset = 8; i.offset <= (wide ? 32 : 16); i.offset = (int16_t)(2 * i.offset))
        check_arithmetic(i);
}

static const uint8_t binary[] = {
    ALU_ADD, ALU_SUB, ALU_MUL, ALU_DIV, ALU_OR,  ALU_AND,
    ALU_LSH, ALU_RSH, ALU_MOD, ALU_XOR, ALU_MOV, ALU_ARSH,
};

static void test_arithmetic_registers(void **state)
{
    for (size_t o = 0; o < COUNT(binary); o++)
        for (uint8_t to = 0; to < 10; to++)
            for (uint8_t from = 0; from < 11; from++) {
                check_arithmetic_variants(INSN((uint8_t)(binary[o] << 4 | 0x0c), to, from, 0, 0));
                check_arithmetic_variants(INSN((uint8_t)(binary[o] << 4 | 0x0f), to, from, 0, 0));
            }
}

static void test_arithmetic_immediates(void **state)
{
    for (size_t o = 0; o < COUNT(binary); o++)
        for (uint8_t to = 0; to < 10; to++)
            for (size_t n = 0; n < COUNT(numbers); n++) {
                uint8_t opcode = (uint8_t)(binary[o] << 4);

                check_arithmetic_variants(INSN(opcode | 0x04, to, 0, 0, numbers[n]));
                check_arithmetic_variants(INSN(opcode | 0x07, to, 0, 0, numbers[n]));
            }
}

static void test_arithmetic_unary(void **state)
{
    static const uint8_t swaps[] = { 0xd4, 0xdc, 0xd7 };

    for (uint8_t to = 0; to < 10; to++) {
        check_arithmetic(INSN(0x84, to, 0, 0, 0));
        check_arithmetic(INSN(0x87, to, 0, 0, 0));
        for (size_t s = 0; s < COUNT(swaps); s++)
            for (int32_t bits = 16; bits <= 64; bits *= 2)
                check_arithmetic(INSN(swaps[s], to, 0, 0, bits));
    }
}

static void test_load_64(void **state)
{
    struct registers registers = { 0 };

    for (uint8_t to = 0; to < 10; to++)
        for (size_t v = 0; v < COUNT(values); v++) {
            const struct instruction body[2] = {
                INSN(OPCODE_LOAD_64, to, 0, 0, (int32_t)(uint32_t)values[v]),
                INSN(0, 0, 0, 0, (int32_t)(uint32_t)(values[v] >> 32)),
            };

            fill(&registers);
            jit_call(install(body, 2), &registers, 0);
            compare(&registers, to, values[v], body[0]);
        }
}

/* ---- jumps ---- */

static void check_jump(struct instruction i)
{
    /* [r10-120] = 1; if not jumped; the program reads it back through r0, saved in between */
    const struct instruction body[] = {
        ST(8, 10, -120, 2),
        i,                      /* over the next one */
        ST(8, 10, -120, 1),
        STX(8, 10, 0, -128),
        LDX(8, 0, 10, -120),
        STX(8, 10, 1, -136),
        LDX(8, 1, 10, -8),
        STX(8, 1, 0, offsetof(struct registers, taken)),
        LDX(8, 1, 10, -136),
        LDX(8, 0, 10, -128),
    };
    jit_function *function = install(body, COUNT(body));
    unsigned first = instruction_destination(i), second = instruction_source(i);
    bool has_source = i.opcode & 8;
    struct registers registers = { 0 };

    for (size_t a = 0; a < COUNT(values) + 4; a++)
        for (size_t b = 0; b < (has_source ? COUNT(values) + 4 : 1); b++) {
            uint64_t x, y;

            fill(&registers);
            if (first < 10 && a < COUNT(values))
                registers.in[first] = values[a];
            if (has_source && second < 10 && b < COUNT(values))
                registers.in[second] = values[b];
            jit_call(function, &registers, 0);
            compare(&registers, 10, 0, i);
            x = first == 10 ? registers.out[10] : registers.in[first];
            y = second_operand(&registers, i, has_source);
            if (registers.taken != (model_jump(i, x, y) ? 2 : 1))
                fail_msg("%s (opcode %02x, r%u, r%u, imm %d) with %#llx and %#llx: %s",
                         instruction_name(i), i.opcode, first, second, i.immediate,
                         (unsigned long long)x, (unsigned long long)y,
                         registers.taken == 2 ? "jumped" : "did not jump");
        }
}

static const uint8_t conditions[] = {
    JUMP_EQ,  JUMP_GT, JUMP_GE, JUMP_SET, JUMP_NE,  JUMP_SGT,
    JUMP_SGE, JUMP_LT, JUMP_LE, JUMP_SLT, JUMP_SLE,
};

static void test_jump_registers(void **state)
{
    for (size_t c = 0; c < COUNT(conditions); c++)
        for (uint8_t first = 0; first < 11; first++)
            for (uint8_t second = 0; second < 11; second++) {
                check_jump(INSN((uint8_t)(conditions[c] << 4 | 0x0d), first, second, 1, 0));
                check_jump(INSN((uint8_t)(conditions[c] << 4 | 0x0e), first, second, 1, 0));
            }
}

static void test_jump_immediates(void **state)
{
    for (size_t c = 0; c < COUNT(conditions); c++)
        for (uint8_t first = 0; first < 11; first++)
            for (size_t n = 0; n < COUNT(numbers); n++) {
                check_jump(INSN((uint8_t)(conditions[c] << 4 | 0x05), first, 0, 1, numbers[n]));
                check_jump(INSN((uint8_t)(conditions[c] << 4 | 0x06), first, 0, 1, numbers[n]));
            }
    check_jump(JA(1));
    check_jump(INSN(OPCODE_JUMP_32, 0, 0, 0, 1));
}

/* ---- loads and stores ---- */

static const int16_t offsets[] = {
    0, 1, -1, 8, 127, 128, -128, -129, 1000, -1000, INT16_MAX, INT16_MIN,
};

/* Point a base register at memory such that base + offset is `memory + 100`. */
static void point(struct registers *registers, unsigned base, int16_t offset)
{
    for (size_t i = 0; i < sizeof(registers->memory); i++)
        registers->memory[i] = (uint8_t)random_next();
    registers->in[base] =
        (uint64_t)(uintptr_t)(registers->memory + 100) - (uint64_t)(int64_t)offset;
}

static void test_loads(void **state)
{
    static const struct { uint8_t opcode, size; bool is_signed; } loads[] = {
        { 0x71, 1, false }, { 0x69, 2, false }, { 0x61, 4, false }, { 0x79, 8, false },
        { 0x91, 1, true }, { 0x89, 2, true }, { 0x81, 4, true },
    };
    struct registers registers = { 0 };

    for (size_t l = 0; l < COUNT(loads); l++)
        for (uint8_t to = 0; to < 10; to++)
            for (uint8_t base = 0; base < 10; base++)
                for (size_t o = 0; o < COUNT(offsets); o++) {
                    struct instruction i = INSN(loads[l].opcode, to, base, offsets[o], 0);
                    jit_function *function = install(&i, 1);

                    for (unsigned round = 0; round < 4; round++) {
                        uint64_t expected = 0;

                        fill(&registers);
                        point(&registers, base, offsets[o]);
                        memcpy(&expected, registers.memory + 100, loads[l].size);
                        if (loads[l].is_signed)
                            expected = (uint64_t)sign_extended(expected, loads[l].size * 8u);
                        jit_call(function, &registers, 0);
                        compare(&registers, to, expected, i);
                    }
                }
}

static void check_store(struct instruction i, unsigned size)
{
    struct registers registers = { 0 };
    jit_function *function = install(&i, 1);
    unsigned base = instruction_destination(i), from = instruction_source(i);
    uint8_t expected[sizeof(registers.memory)];
    uint64_t value;

    fill(&registers);
    point(&registers, base, i.offset);
    memcpy(expected, registers.memory, sizeof(expected));
    jit_call(function, &registers, 0);
    compare(&registers, 10, 0, i);
    if ((i.opcode & 7) == CLASS_ST)
        value = (uint64_t)(int64_t)i.immediate;
    else
        value = from == 10 ? registers.out[10] : registers.in[from];
    memcpy(expected + 100, &value, size);
    assert_memory_equal(registers.memory, expected, sizeof(expected));
}

static void test_stores(void **state)
{
    for (unsigned size = 1; size <= 8; size *= 2)
        for (uint8_t base = 0; base < 10; base++)
            for (size_t o = 0; o < COUNT(offsets); o++) {
                for (uint8_t from = 0; from < 11; from++)
                    check_store(STX(size, base, from, offsets[o]), size);
                for (size_t n = 0; n < COUNT(numbers); n++)
                    check_store(ST(size, base, offsets[o], numbers[n]), size);
            }
}

/* ---- atomic operations ---- */

/* What memory holds afterwards. */
static uint64_t model_atomic(int32_t operation, uint64_t old, uint64_t operand, uint64_t compared)
{
    switch (operation & ~ATOMIC_FETCH) {
    case ATOMIC_ADD:
        return old + operand;
    case ATOMIC_OR:
        return old | operand;
    case ATOMIC_AND:
        return old & operand;
    case ATOMIC_XOR:
        return old ^ operand;
    case ATOMIC_EXCHANGE & ~ATOMIC_FETCH:
        return operand;
    }
    return old == compared ? operand : old;
}

/* `equal`: R0 holds what is in memory, where R0 is not the base. */
static void check_atomic(jit_function *function, struct instruction i, unsigned bits, bool equal)
{
    struct registers registers = { 0 };
    unsigned base = instruction_destination(i), from = instruction_source(i);
    bool compares = i.immediate == ATOMIC_COMPARE_EXCHANGE;
    uint8_t expected[sizeof(registers.memory)];
    uint64_t old = 0, value, operand;

    fill(&registers);
    point(&registers, base, i.offset);
    memcpy(&old, registers.memory + 100, bits / 8);
    if (equal && base != 0)
        registers.in[0] = old | (bits == 32 ? 0xabcd000000000000 : 0);
    memcpy(expected, registers.memory, sizeof(expected));
    jit_call(function, &registers, 0);
    operand = from == 10 ? registers.out[10] : registers.in[from];
    value = model_atomic(i.immediate, old, low_bits(operand, bits), low_bits(registers.in[0], bits));
    memcpy(expected + 100, &value, bits / 8);
    assert_memory_equal(registers.memory, expected, sizeof(expected));
    compare(&registers, compares ? 0 : i.immediate & ATOMIC_FETCH ? from : 10, old, i);
}

/* With every pair of registers, R0 and equal ones too. */
static void test_atomics(void **state)
{
    static const int32_t operations[] = {
        ATOMIC_ADD, ATOMIC_OR, ATOMIC_AND, ATOMIC_XOR, ATOMIC_ADD | ATOMIC_FETCH, ATOMIC_OR | ATOMIC_FETCH,
        ATOMIC_AND | ATOMIC_FETCH, ATOMIC_XOR | ATOMIC_FETCH, ATOMIC_EXCHANGE, ATOMIC_COMPARE_EXCHANGE,
    };

    for (size_t o = 0; o < COUNT(operations); o++)
        for (unsigned bits = 32; bits <= 64; bits *= 2)
            for (uint8_t base = 0; base < 10; base++)
                for (uint8_t from = 0; from < 11; from++)
                    for (size_t distance = 0; distance < COUNT(offsets); distance++) {
                        struct instruction i =
                            INSN(bits == 32 ? 0xc3 : 0xdb, base, from, offsets[distance], operations[o]);
                        bool compares = operations[o] == ATOMIC_COMPARE_EXCHANGE;
                        jit_function *function;

                        if (from == 10 && operations[o] & ATOMIC_FETCH && !compares)
                            continue;
                        function = install(&i, 1);
                        for (unsigned round = 0; round < 4; round++)
                            check_atomic(function, i, bits, round & 1);
                    }
}

/* ---- regions ---- */

static void set_region(struct bytecode *bytecode, uint32_t index, enum bytecode_region_kind kind, const char *contents)
{
    struct bytecode_region *region = &bytecode->region[index];

    region->kind = kind;
    region->size = (uint32_t)strlen(contents) + 1;
    region->contents = malloc(region->size);
    assert_non_null(region->contents);
    memcpy(region->contents, contents, region->size);
}

/* Constants lie behind the code, data where the relocations say; each address is exact. */
static void test_regions(void **state)
{
    const struct instruction code[] = {
        INSN(OPCODE_LOAD_64, 1, WIDE_MAP_VALUE, 0, 0), INSN(0, 0, 0, 0, 2), LDX(1, 0, 1, 1),
        INSN(OPCODE_LOAD_64, 2, WIDE_MAP_VALUE, 0, 1), INSN(0, 0, 0, 0, 1), LDX(1, 1, 2, 1),
        INSN(0x67, 0, 0, 0, 8), ADD64_REG(0, 1), ST(1, 2, 0, 'x'),
        INSN(OPCODE_LOAD_64, 3, WIDE_MAP_VALUE, 0, 2), INSN(0, 0, 0, 0, 3), LDX(1, 1, 3, -1),
        INSN(0x67, 0, 0, 0, 8), ADD64_REG(0, 1), EXIT(),
    };
    struct bytecode sizes = { .instructions = COUNT(code), .functions = 1, .regions = 3 };
    struct bytecode *bytecode = bytecode_new(&sizes);
    struct verified verified;
    struct machine machine;
    struct code result;

    memcpy(bytecode->instruction, code, sizeof(code));
    bytecode->function[0] = (struct bytecode_function){ "f", 0, COUNT(code) };
    set_region(bytecode, 0, REGION_CONSTANT, "abcdefg");
    set_region(bytecode, 1, REGION_DATA, "hijklmn");
    set_region(bytecode, 2, REGION_CONSTANT, "opq");
    assert_int_equal(verified_assume(bytecode, &verified), 0);
    assert_int_equal(compile_verified(&verified, architecture_native(), &result, NULL), 0);
    assert_int_equal(result.relocations, 1);
    assert_int_equal(result.relocation[0].index, 1);
    assert_int_equal(machine_load(bytecode, &result, &machine, NULL), 0);
    assert_int_equal(jit_call(machine.run, NULL, 0), 'd' << 16 | 'j' << 8 | 'q');
    assert_string_equal((char *)machine.arena.memory[1], "hxjklmn");
    machine_clear(&machine);
    code_clear(&result);
    verified_clear(&verified);
    bytecode_free(bytecode);
}

/* The key is 32 bits wide: what the caller left above is not seen. */
static void test_key(void **state)
{
    const struct instruction code[] = { MOV64_REG(0, 2), EXIT() };
    struct bytecode *bytecode = jit_bytecode(code, COUNT(code), NULL);
    jit_function *function = jit_install_unverified(bytecode);

    assert_int_equal(jit_call(function, NULL, 0xdeadbeef80000001), 0x80000001);
    bytecode_free(bytecode);
}

/* ---- branch forms ---- */

/*
 * Count down from 3 over a body of `padding` instructions: one jump back and one forward, of
 * growing distance.
 */
static uint64_t run_loop(uint32_t padding)
{
    struct instruction *code = calloc(padding + 8, sizeof(*code));
    uint32_t n = 0;
    struct bytecode *bytecode;
    jit_function *function;
    uint64_t result;

    code[n++] = MOV64_IMM(0, 0);
    code[n++] = MOV64_IMM(1, 3);
    code[n++] = JEQ_IMM(1, 0, (int16_t)(padding + 2));
    for (uint32_t i = 0; i < padding; i++)
        code[n++] = ADD64_IMM(0, 1);
    code[n++] = ADD64_IMM(1, -1);
    code[n++] = INSN(OPCODE_JUMP_32, 0, 0, 0, -(int32_t)(padding + 3));
    code[n++] = EXIT();
    bytecode = jit_bytecode(code, n, NULL);
    function = jit_install_unverified(bytecode);
    result = jit_call(function, NULL, 0);
    bytecode_free(bytecode);
    free(code);
    return result;
}

static void test_branch_distances(void **state)
{
    for (uint32_t padding = 0; padding < 80; padding++)        /* the short form ends at about 30 */
        assert_int_equal(run_loop(padding), 3 * padding);
    assert_int_equal(run_loop(32000), 3 * 32000);
}

/* Thousands of jumps to everywhere. */
static void test_branch_maze(void **state)
{
    enum { STEPS = 2000 };
    static struct instruction code[2 * STEPS + 2];
    static uint32_t walk[STEPS];
    struct bytecode *bytecode;
    uint32_t sum = 0;

    for (uint32_t i = 0; i < STEPS; i++)       /* a walk from step 0 that visits each step once */
        walk[i] = i;
    for (uint32_t i = STEPS - 1; i > 1; i--) {
        uint32_t j = 1 + (uint32_t)(random_next() % i), other = walk[j];

        walk[j] = walk[i];
        walk[i] = other;
    }
    code[0] = MOV64_IMM(0, 0);
    for (uint32_t i = 0; i < STEPS; i++) {
        uint32_t from = 1 + 2 * walk[i], to = 1 + 2 * (i + 1 < STEPS ? walk[i + 1] : STEPS);
        int32_t number = from % 7 == 0 ? 100000 : 1;    /* code of different lengths */

        code[from] = ADD64_IMM(0, number);
        code[from + 1] = INSN(OPCODE_JUMP_32, 0, 0, 0, (int32_t)to - (int32_t)(from + 2));
        sum += (uint32_t)number;
    }
    code[1 + 2 * STEPS] = EXIT();
    bytecode = jit_bytecode(code, COUNT(code), NULL);
    assert_int_equal(jit_call(jit_install_unverified(bytecode), NULL, 0), sum);
    bytecode_free(bytecode);
}

/*
 * Each jump leads just behind the next one, so far that it fits in the short form only when that
 * one is short: each layout shortens one jump, more of them than there are layouts.
 */
static void test_branch_chain(void **state)
{
    enum { JUMPS = 40, PADDING = 31 };          /* 31 * 4 bytes, and 5 or 2 for the next jump */
    static struct instruction code[JUMPS * (PADDING + 1) + 2];
    struct bytecode *bytecode;
    uint32_t n = 0;

    code[n++] = MOV64_IMM(0, 0);
    for (uint32_t i = 0; i < JUMPS; i++) {
        code[n++] = JA(i + 1 < JUMPS ? PADDING + 1 : PADDING);
        for (uint32_t j = 0; j < PADDING; j++)
            code[n++] = ADD64_IMM(0, 1);
    }
    code[n++] = EXIT();
    assert_int_equal(n, COUNT(code));
    bytecode = jit_bytecode(code, n, NULL);
    assert_int_equal(jit_call(jit_install_unverified(bytecode), NULL, 0), JUMPS / 2 * PADDING);
    bytecode_free(bytecode);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arithmetic_registers),
        cmocka_unit_test(test_arithmetic_immediates),
        cmocka_unit_test(test_arithmetic_unary),
        cmocka_unit_test(test_load_64),
        cmocka_unit_test(test_jump_registers),
        cmocka_unit_test(test_jump_immediates),
        cmocka_unit_test(test_loads),
        cmocka_unit_test(test_stores),
        cmocka_unit_test(test_atomics),
        cmocka_unit_test(test_regions),
        cmocka_unit_test(test_key),
        cmocka_unit_test(test_branch_distances),
        cmocka_unit_test(test_branch_maze),
        cmocka_unit_test(test_branch_chain),
    };

    return cmocka_run_group_tests_name("translation", tests, NULL, NULL);
}
