/* SPDX-License-Identifier: MIT */
/*
 * The checker: one refusal per rule and place, of programs in instructions and of programs in C,
 * and what must be accepted.
 */
#include "jit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../programs/packet.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define AT(member) (int16_t)offsetof(struct packet, member)

/* ---- a case: instructions, and what the checker says of them ---- */

#define CODE_MAX 24

struct one {
    const char *name;
    struct instruction code[CODE_MAX];  /* to the first opcode 0 that is no half of lddw */
    uint32_t counts[4];                 /* of functions; all zero: one */
    const char *rule;                   /* NULL: accepted */
    const char *text;
    int64_t instruction;                /* where, in its function */
};

static uint32_t count_instructions(const struct one *one)
{
    uint32_t count = 0;

    if (one->counts[0]) {
        for (size_t i = 0; one->counts[i]; i++)
            count += one->counts[i];
        return count;
    }
    while (one->code[count].opcode)
        count += instruction_length(one->code[count]);
    return count;
}

static int check_one(const struct one *one, const struct context *context,
                     struct checked_program *program, struct object **object,
                     struct jit_error *error)
{
    *object = jit_object(one->code, count_instructions(one), one->counts[0] ? one->counts : NULL);
    *error = (struct jit_error){ 0 };
    *program = (struct checked_program){ 0 };
    return checker_run(*object, context, program, error);
}

static void check_cases(const struct one *cases, size_t count)
{
    struct context *context = jit_packet_context();

    for (size_t i = 0; i < count; i++) {
        struct checked_program program;
        struct object *object;
        struct jit_error error;
        int r = check_one(&cases[i], context, &program, &object, &error);

        if (!cases[i].rule && r != 0)
            fail_msg("%s: refused: %s", cases[i].name, error.text);
        if (cases[i].rule &&
            (r >= 0 || strcmp(error.rule, cases[i].rule) != 0 ||
             !strstr(error.text, cases[i].text) || error.instruction != cases[i].instruction))
            fail_msg("%s: %d, rule %s (not %s), instruction %d (not %d), \"%s\" (not \"...%s...\")",
                     cases[i].name, r, error.rule ? error.rule : "-", cases[i].rule,
                     (int)error.instruction, (int)cases[i].instruction, error.text, cases[i].text);
        checked_program_clear(&program);
        object_free(object);
    }
    context_free(context);
}

#define LDDW(dst, low) INSN(0x18, dst, 0, 0, low), INSN(0, 0, 0, 0, 0)
#define RETURN() MOV64_IMM(0, 0), EXIT()

/* ---- control ---- */

static void test_control(void **state)
{
    const struct one cases[] = {
        { "ahead of the function", { JA(-2), RETURN() },
          { 0 }, "jump", "jumps to instruction -1, outside", 0 },
        { "behind the function", { JEQ_IMM(1, 0, 2), RETURN() },
          { 0 }, "jump", "jumps to instruction 3, outside", 0 },
        { "far behind, by ja32", { INSN(0x06, 0, 0, 0, INT32_MAX), EXIT() },
          { 0 }, "jump", "jumps to instruction 2147483648, outside", 0 },
        { "into another function", { JA(1), EXIT(), RETURN() },
          { 2, 2 }, "jump", "jumps to instruction 2, outside", 0 },
        { "into lddw", { JA(1), LDDW(0, 1), EXIT() },
          { 0 }, "jump", "second half of lddw at instruction 1", 0 },
        { "no exit", { MOV64_IMM(0, 0) },
          { 0 }, "fall-through", "must end in exit", 0 },
        { "conditional end", { MOV64_IMM(0, 0), JEQ_IMM(0, 0, -2) },
          { 0 }, "fall-through", "must end in exit", 1 },
        { "lddw at the end", { LDDW(0, 1) },
          { 0 }, "fall-through", "must end in exit", 0 },
        { "call at the end", { CALL(1), RETURN() },
          { 1, 2 }, "fall-through", "must end in exit", 0 },
        { "half of lddw", { INSN(0x18, 0, 0, 0, 1) },
          { 1 }, "instruction", "second half is missing", 0 },
        { "malformed, though unreachable", { RETURN(), INSN(0xff, 0, 0, 0, 0) },
          { 3 }, "instruction", "opcode 0xff", 2 },
        { "unreachable code", { RETURN(), MOV64_IMM(0, 1), EXIT() },
          { 0 }, NULL, "", 0 },
        { "unreachable end", { RETURN(), MOV64_IMM(0, 1) },
          { 0 }, NULL, "", 0 },
        { "endless loop", { JA(-1), EXIT() },
          { 0 }, NULL, "", 0 },
    };

    check_cases(cases, COUNT(cases));
}

static void test_calls(void **state)
{
    const struct one cases[] = {
        { "itself", { CALL(0), EXIT() },
          { 2 }, "recursion", "call of f0", 0 },
        { "each other", { CALL(1), EXIT(), CALL(2), EXIT(), CALL(1), EXIT() },
          { 2, 2, 2 }, "recursion", "call of f1", 0 },
        { "from dead code, itself", { RETURN(), CALL(0), EXIT() },
          { 4 }, "recursion", "call of f0", 2 },
    };

    check_cases(cases, COUNT(cases));
}

/*
 * f0 calls f1 and f2, f1 calls f2, ...: many paths, so the depth must be found without walking them
 * all.
 */
static void test_depth(void **state)
{
    struct context *context = jit_packet_context();

    for (uint32_t depth = 1; depth <= 12; depth++) {
        struct instruction code[64];
        uint32_t counts[16] = { 0 }, n = 0;
        struct checked_program program = { 0 };
        struct jit_error error = { 0 };
        struct object *object;
        int r;

        for (uint32_t f = 0; f < depth; f++) {
            uint32_t first = n;

            if (f + 1 < depth)
                code[n++] = CALL((int32_t)f + 1);
            if (f + 2 < depth)
                code[n++] = CALL((int32_t)f + 2);
            code[n++] = EXIT();
            counts[f] = n - first;
        }
        object = jit_object(code, n, counts);
        r = checker_run(object, context, &program, &error);
        assert_int_equal(r, depth <= CHECKER_DEPTH_MAX ? 0 : -EINVAL);
        if (r < 0)
            assert_string_equal(error.rule, "call-depth");
        checked_program_clear(&program);
        object_free(object);
    }
    context_free(context);
}

/* ---- stack ---- */

static void test_stack(void **state)
{
    const struct one cases[] = {
        { "lowest byte", { ST(1, 10, -512, 0), RETURN() },
          { 0 }, NULL, "", 0 },
        { "one below", { ST(1, 10, -513, 0), RETURN() },
          { 0 }, "stack-bounds", "1 bytes at R10-513", 0 },
        { "over the top", { ST(8, 10, -7, 0), RETURN() },
          { 0 }, "stack-bounds", "8 bytes at R10-7", 0 },
        { "above", { LDX(8, 0, 10, 0), EXIT() },
          { 0 }, "stack-bounds", "8 bytes at R10+0", 0 },
        { "load below, by arithmetic",
          { MOV64_REG(3, 10), ADD64_IMM(3, -500), LDX(4, 0, 3, -14), EXIT() },
          { 0 }, "stack-bounds", "4 bytes at R10-514", 2 },
        { "within, by arithmetic",
          { MOV64_REG(3, 10), ADD64_IMM(3, -500), LDX(4, 0, 3, -12), EXIT() },
          { 0 }, NULL, "", 0 },
        { "by lea and sub", { MOV64_REG(3, 10), INSN(0x17, 3, 0, 0, 16), LDX(8, 0, 3, 8), EXIT() },
          { 0 }, NULL, "", 0 },
        { "far away and back",
          { MOV64_REG(3, 10), ADD64_IMM(3, -1000000), ADD64_IMM(3, 999000), ST(8, 3, 0, 0),
            RETURN() },
          { 0 }, "stack-variable", "not the same constant", 3 },
        { "plus a variable",
          { MOV64_REG(3, 10), LDX(8, 4, 1, AT(offset)), ADD64_REG(3, 4), ST(8, 3, -8, 0),
            RETURN() },
          { 0 }, "stack-variable", "not the same constant", 3 },
        { "a variable plus it",
          { MOV64_REG(3, 10), LDX(8, 4, 1, AT(offset)), ADD64_REG(4, 3), ST(8, 4, -8, 0),
            RETURN() },
          { 0 }, "stack-variable", "not the same constant", 3 },
        { "masked", { MOV64_REG(3, 10), INSN(0x57, 3, 0, 0, -8), ST(8, 3, -8, 0), RETURN() },
          { 0 }, "stack-variable", "not the same constant", 2 },
        { "another offset on each path",
          { MOV64_REG(3, 10), ADD64_IMM(3, -16), JEQ_IMM(2, 0, 1), ADD64_IMM(3, 8),
            LDX(8, 0, 3, 0), EXIT() },
          { 0 }, "stack-variable", "not the same constant", 4 },
        { "stack or packet",
          { LDX(8, 3, 1, AT(data)), JEQ_IMM(2, 0, 1), MOV64_REG(3, 10), LDX(8, 0, 3, -8), EXIT() },
          { 0 }, "stack-variable", "perhaps", 3 },
        { "moving in a loop",
          { MOV64_REG(3, 10), ST(1, 3, -1, 0), ADD64_IMM(3, -1), JEQ_IMM(2, 0, -3), RETURN() },
          { 0 }, "stack-variable", "not the same constant", 1 },
        { "spilled and filled",
          { STX(8, 10, 1, -8), STX(8, 10, 10, -16), LDX(8, 3, 10, -8), LDX(8, 4, 10, -16),
            ST(8, 4, -24, 0), LDX(4, 0, 3, AT(size)), EXIT() },
          { 0 }, NULL, "", 0 },
        { "the spill of a pointer overwritten",
          { STX(8, 10, 10, -16), ST(1, 10, -12, 0), LDX(8, 4, 10, -16), ST(8, 4, -24, 0),
            RETURN() },
          { 0 }, "packet-store", "stores to memory", 3 },
        { "part of a pointer spilled",
          { STX(4, 10, 1, -8), LDX(8, 3, 10, -8), ST(4, 3, AT(status), 1), RETURN() },
          { 0 }, "packet-store", "stores to memory", 2 },
        { "part of a spill filled",
          { STX(8, 10, 1, -8), LDX(4, 3, 10, -8), ST(4, 3, AT(status), 1), RETURN() },
          { 0 }, "packet-store", "stores to memory", 2 },
        { "a spill across slots",
          { STX(8, 10, 1, -12), LDX(8, 3, 10, -16), ST(4, 3, AT(status), 1), RETURN() },
          { 0 }, "packet-store", "stores to memory", 2 },
        { "the caller's", { MOV64_REG(1, 10), CALL(1), EXIT(), ST(8, 1, -8, 0), EXIT() },
          { 3, 2 }, "stack-caller", "calling function", 0 },
        { "the caller's, returned",
          { MOV64_REG(1, 10), CALL(1), ADD64_IMM(0, -8), LDX(8, 0, 0, 0), EXIT(),
            MOV64_REG(0, 1), EXIT() },
          { 5, 2 }, "stack-variable", "not the same constant", 3 },
        { "the callee's own, returned",
          { CALL(1), ST(8, 0, -8, 0), EXIT(), MOV64_REG(0, 10), EXIT() },
          { 3, 2 }, "packet-store", "stores to memory", 1 },
    };

    check_cases(cases, COUNT(cases));
}

/*
 * A partly overwritten spill, of all sizes and places, is no pointer any more; one beside it still
 * is.
 */
static void test_spills(void **state)
{
    struct context *context = jit_packet_context();

    for (unsigned size = 1; size <= 8; size *= 2)
        for (int16_t at = -40; at <= -8; at++) {
            const struct one one = {
                .code = { STX(8, 10, 1, -24), ST(size, 10, at, 0), LDX(8, 3, 10, -24),
                          ST(4, 3, AT(status), 1), RETURN() },
            };
            bool overwritten = at < -16 && at + (int)size > -24;
            struct checked_program program;
            struct object *object;
            struct jit_error error;
            int r = check_one(&one, context, &program, &object, &error);

            assert_int_equal(r, overwritten ? -EINVAL : 0);
            if (overwritten)
                assert_string_equal(error.rule, "packet-store");
            checked_program_clear(&program);
            object_free(object);
        }
    context_free(context);
}

/* ---- context and packet ---- */

static void test_context(void **state)
{
    const struct one cases[] = {
        { "read a field", { LDX(4, 0, 1, AT(size)), EXIT() },
          { 0 }, NULL, "", 0 },
        { "read part of one", { LDX(1, 0, 1, AT(size) + 3), EXIT() },
          { 0 }, NULL, "", 0 },
        { "write a field", { STX(4, 1, 2, AT(status)), ST(1, 1, AT(value) + 7, 1), RETURN() },
          { 0 }, NULL, "", 0 },
        { "by a constant offset",
          { ADD64_IMM(1, AT(status)), MOV64_REG(5, 1), ST(4, 5, 0, 1),
            ST(2, 5, AT(small) - AT(status), 1), RETURN() },
          { 0 }, NULL, "", 0 },
        { "in a callee", { CALL(1), EXIT(), ST(4, 1, AT(status), 1), RETURN() },
          { 2, 3 }, NULL, "", 0 },
        { "returned by a callee",
          { CALL(1), LDX(4, 0, 0, 0), EXIT(), MOV64_REG(0, 1), ADD64_IMM(0, AT(status)), EXIT() },
          { 3, 3 }, NULL, "", 0 },
        { "two at once", { LDX(8, 0, 1, AT(size)), EXIT() },
          { 0 }, "context", "\"size\" (4 bytes at 24) and \"status\" (4 bytes at 28)", 0 },
        { "not declared", { LDX(1, 0, 1, AT(undeclared)), EXIT() },
          { 0 }, "context", "not inside a field", 0 },
        { "in front", { LDX(8, 0, 1, -8), EXIT() },
          { 0 }, "context", "offset -8", 0 },
        { "far behind", { LDX(1, 0, 1, INT16_MAX), EXIT() },
          { 0 }, "context", "offset 32767", 0 },
        { "read-only field", { STX(4, 1, 2, AT(size)), RETURN() },
          { 0 }, "context", "stores to field \"size\"", 0 },
        { "packet pointer", { STX(8, 1, 10, AT(data)), RETURN() },
          { 0 }, "context", "stores to field \"data\"", 0 },
        { "half a pointer", { LDX(4, 0, 1, AT(data_end)), EXIT() },
          { 0 }, "context", "loads 4 bytes of field \"data_end\"", 0 },
        { "variable", { LDX(8, 3, 1, AT(offset)), ADD64_REG(1, 3), LDX(4, 0, 1, 0), EXIT() },
          { 0 }, "context-variable", "not the same constant", 2 },
        { "context or null", { JEQ_IMM(2, 0, 1), MOV64_IMM(1, 0), LDX(4, 0, 1, AT(size)), EXIT() },
          { 0 }, "context-variable", "not the same constant", 2 },
        { "32 bits of it", { INSN(0xbc, 1, 1, 0, 0), ST(4, 1, AT(status), 1), RETURN() },
          { 0 }, "packet-store", "stores to memory", 1 },
    };

    check_cases(cases, COUNT(cases));
}

/* What is marked for a check at run time: loads from elsewhere, and nothing else. */
static void test_marks(void **state)
{
    const struct one one = {
        .code = {
            LDX(8, 3, 1, AT(data)), STX(8, 10, 3, -8), LDX(8, 4, 10, -8), LDX(2, 0, 4, 12),
            LDX(1, 5, 2, 0), JA(1), LDX(8, 5, 3, 0), EXIT(),
        },
    };
    static const uint8_t expected[] = {
        MARK_REACHED, MARK_REACHED, MARK_REACHED, MARK_REACHED | MARK_PACKET,
        MARK_REACHED | MARK_PACKET, MARK_REACHED, 0, MARK_REACHED,
    };
    struct context *context = jit_packet_context();
    struct checked_program program;
    struct object *object;
    struct jit_error error;

    assert_int_equal(check_one(&one, context, &program, &object, &error), 0);
    assert_memory_equal(program.mark, expected, sizeof(expected));
    assert_true(program.packet);
    assert_int_equal(program.data, offsetof(struct packet, data));
    assert_int_equal(program.data_end, offsetof(struct packet, data_end));
    assert_int_equal(program.stack[0], 8);
    checked_program_clear(&program);
    object_free(object);
    context_free(context);
}

static void test_no_packet(void **state)
{
    static const struct context_field field = { "data", 0, 8, CONTEXT_READ };
    const struct one one = { .code = { LDX(8, 3, 1, 0), LDX(1, 0, 3, 0), EXIT() } };
    struct context *context;
    struct checked_program program;
    struct object *object;
    struct jit_error error;

    assert_int_equal(context_new("packet", 8, &field, 1, &context, NULL), 0);
    assert_int_equal(check_one(&one, context, &program, &object, &error), -EINVAL);
    assert_string_equal(error.rule, "packet");
    assert_int_equal(error.instruction, 1);
    object_free(object);
    context_free(context);
    assert_int_equal(context_new("other", 8, &field, 1, &context, NULL), 0);
    assert_int_equal(check_one(&one, context, &program, &object, &error), -EINVAL);
    assert_string_equal(error.rule, "context");
    assert_non_null(strstr(error.text, "for context \"packet\" (its section is \"table/packet\"), "
                                       "the hook has context \"other\""));
    object_free(object);
    context_free(context);
}

/* Made to need many rounds: it is refused or done in bounded time, whichever; never hangs. */
static void test_effort(void **state)
{
    enum { BLOCKS = 6000 };
    struct instruction *code = calloc(4 * BLOCKS + 2, sizeof(*code));
    struct context *context = jit_packet_context();
    struct checked_program program = { 0 };
    struct jit_error error = { 0 };
    struct object *object;
    uint32_t n = 0;
    int r;

    for (uint32_t i = 0; i < BLOCKS; i++) {     /* moves what a slot holds, may go back */
        int16_t slot = (int16_t)(-8 - 8 * (i % 64)), other = (int16_t)(-8 - 8 * ((i + 1) % 64));

        code[n++] = LDX(8, 3, 10, slot);
        code[n++] = STX(8, 10, i % 3 ? 3 : 10, other);
        code[n++] = JEQ_IMM(2, 5, (int16_t)-(int32_t)(i * 4 + 3));
        code[n++] = ADD64_IMM(2, 1);
    }
    code[n++] = MOV64_IMM(0, 0);
    code[n++] = EXIT();
    object = jit_object(code, n, NULL);
    r = checker_run(object, context, &program, &error);
    assert_true(r == 0 || (r == -EINVAL && strcmp(error.rule, "limit") == 0));
    checked_program_clear(&program);
    object_free(object);
    context_free(context);
    free(code);
}

/* ---- programs in C ---- */

static int check_program(const char *name, const char *variant, const struct context *context,
                         struct jit_error *error)
{
    struct checked_program program = { 0 };
    struct object *object = NULL;
    char path[256];
    size_t size;
    void *bytes;
    int r;

    snprintf(path, sizeof(path), "tests/programs/%s%s.bpf.o", name, variant);
    bytes = jit_read_file("BUILD_DIR", path, &size);
    if (!bytes)
        fail_msg("%s is not there", path);
    *error = (struct jit_error){ 0 };
    r = object_read(bytes, size, &object, error);
    if (r == 0)
        r = checker_run(object, context, &program, error);
    checked_program_clear(&program);
    object_free(object);
    free(bytes);
    return r;
}

static void test_programs(void **state)
{
    static const struct { const char *name; int r; const char *rule, *text; } cases[] = {
        { "verdict", 0, NULL, NULL },
        { "loads", 0, NULL, NULL },
        { "fields", 0, NULL, NULL },
        { "subprogram", 0, NULL, NULL },
        { "compute", 0, NULL, NULL },
        { "depth", 0, NULL, NULL },
        { "dead", 0, NULL, NULL },
        { "no_fields", 0, NULL, NULL },
        { "helper", -EOPNOTSUPP, "helper", "helper 5 (ktime_get_ns)" },
        { "depth_nine", -EINVAL, "call-depth", "more than 8 functions" },
        { "recursion", -EINVAL, "recursion", "call of ackermann" },
        { "stack_variable", -EINVAL, "stack-variable", "function indexed" },
        { "stack_caller", -EINVAL, "stack-caller", "function fill" },
        { "packet_store", -EINVAL, "packet-store", "the packet is read-only" },
        { "read_only", -EINVAL, "context", "field \"size\"" },
        { "undeclared", -EINVAL, "context", "\"tiny\" (1 bytes at 42)" },
        { "old_header", -EINVAL, "context",
          "\"status\" is 4 bytes at offset 16 there, and 4 bytes at offset 28 in the hook" },
        { "nested", -EINVAL, "context", "for context \"nested\"" },
    };
    static const char *const variants[] = { "", ".v3" };
    struct context *context = jit_packet_context();
    struct jit_error error;

    for (size_t i = 0; i < COUNT(cases); i++)
        for (size_t v = 0; v < COUNT(variants); v++) {
            int r = check_program(cases[i].name, variants[v], context, &error);

            if (r != cases[i].r || (r < 0 && (strcmp(error.rule, cases[i].rule) != 0 ||
                                              !strstr(error.text, cases[i].text))))
                fail_msg("%s%s: %d, rule %s, \"%s\" (not \"...%s...\")", cases[i].name, variants[v],
                         r, error.rule ? error.rule : "-", error.text,
                         cases[i].text ? cases[i].text : "");
        }
    context_free(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_control),
        cmocka_unit_test(test_calls),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_stack),
        cmocka_unit_test(test_spills),
        cmocka_unit_test(test_context),
        cmocka_unit_test(test_marks),
        cmocka_unit_test(test_no_packet),
        cmocka_unit_test(test_effort),
        cmocka_unit_test(test_programs),
    };

    return cmocka_run_group_tests_name("checker", tests, NULL, NULL);
}
