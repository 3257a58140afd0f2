/* SPDX-License-Identifier: MIT */
/* Functions of the workers' that programs call: what prototypes say, and what objects get of declarations. */
#include "objects.h"

#include "native.h"

/* ---- prototypes ---- */

#define INTEGER(bits, is_signed) { NATIVE_INTEGER, bits, is_signed }
#define SIZE(bits, is_signed) { NATIVE_SIZE, bits, is_signed }
#define OTHER(argument_kind) { .kind = argument_kind }

static void assert_argument(const struct native_argument *argument, const struct native_argument *expected)
{
    assert_int_equal(argument->kind, expected->kind);
    assert_int_equal(argument->bits, expected->bits);
    assert_int_equal(argument->is_signed, expected->is_signed);
}

static void test_parse(void **state)
{
    static const struct {
        const char *text;
        uint32_t arguments;
        struct native_argument argument[NATIVE_ARGUMENTS_MAX], result;      /* result of 0 bits: void */
    } cases[] = {
        { "void()", 0, { { 0 } }, { 0 } },
        { "u32()", 0, { { 0 } }, INTEGER(32, false) },
        { "s64(u64,bool,s16)", 3, { INTEGER(64, false), INTEGER(1, false), INTEGER(16, true) }, INTEGER(64, true) },
        { "bool(const void*,u32)", 2, { OTHER(NATIVE_MEMORY), SIZE(32, false) }, INTEGER(1, false) },
        { "void(u8*,u64,const packet*,s32)", 4,
          { OTHER(NATIVE_MEMORY_WRITE), SIZE(64, false), OTHER(NATIVE_CONTEXT), INTEGER(32, true) }, { 0 } },
        { "u8(const other*,u8)", 2, { OTHER(NATIVE_MEMORY), SIZE(8, false) }, INTEGER(8, false) },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct native_signature signature;
        struct jit_error error;

        if (native_parse(cases[i].text, "packet", &signature, &error) < 0)
            fail_msg("%s: %s", cases[i].text, error.text);
        assert_int_equal(signature.arguments, cases[i].arguments);
        for (uint32_t a = 0; a < signature.arguments; a++)
            assert_argument(&signature.argument[a], &cases[i].argument[a]);
        assert_int_equal(signature.returns, cases[i].result.bits > 0);
        if (signature.returns)
            assert_argument(&signature.result, &cases[i].result);
    }
}

static void test_refused(void **state)
{
    static const struct { const char *text, *why; } cases[] = {
        { "", "no prototype" },
        { "u32", "no prototype" },
        { "u32(", "argument 1 is no type" },
        { "u32(u32", "argument 2 is no type" },
        { "u32(u32,)", "argument 2 is no type" },
        { "u32()u", "does not end" },
        { "u32 (u32)", "no prototype" },
        { "u32(const u32)", "argument 1 is no type" },
        { "u32(u32 u32)", "argument 2 is no type" },
        { "u32*(u32)", "neither an integer nor void" },
        { "packet(u32)", "neither an integer nor void" },
        { "u32(void)", "argument 1 is neither an integer nor a pointer" },
        { "u32(double)", "argument 1 is neither" },
        { "u32(const void*)", "argument 1 is a pointer without a size" },
        { "u32(const void*,const void*,u32)", "argument 1 is a pointer without a size" },
        { "u32(u32,const void*,const packet*)", "argument 2 is a pointer without a size" },
        { "u32(packet*,u32)", "argument 1 is a pointer to the context that is not const" },
        { "u32(const void**,u32)", "argument 1 is a pointer to a pointer" },
        { "u32(u8,u8,u8,u8,u8,u8)", "more than 5 arguments" },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct native_signature signature;
        struct jit_error error = { 0 };
        int r = native_parse(cases[i].text, "packet", &signature, &error);

        if (r != -EINVAL || strcmp(error.rule, "native") != 0 || !strstr(error.text, cases[i].why))
            fail_msg("\"%s\": %d, \"%s\", not \"...%s...\"", cases[i].text, r, error.text, cases[i].why);
    }
}

/* ---- objects ---- */

static void assert_natives(const struct object *object, const char *program, const char *const names[],
                           const char *const prototypes[])
{
    struct bytecode *bytecode = objects_bytecode(object, program);
    uint32_t calls = 0;

    for (uint32_t i = 0; i < bytecode->natives; i++) {
        assert_non_null(names[i]);
        assert_string_equal(bytecode->native[i].name, names[i]);
        assert_string_equal(bytecode->native[i].prototype, prototypes[i]);
    }
    assert_null(names[bytecode->natives]);
    for (uint32_t i = 0; i < bytecode->instructions; i++)
        calls += bytecode->instruction[i].opcode == OPCODE_CALL &&
                 instruction_source(bytecode->instruction[i]) == CALL_NATIVE;
    assert_true(calls >= bytecode->natives);
    bytecode_free(bytecode);
}

static void test_declarations(void **state)
{
    static const char *const objects[] = { "worker_helper", "worker_helper.v3" };

    for (size_t i = 0; i < COUNT(objects); i++) {
        struct object *object = objects_read(objects[i]);

        assert_natives(object, "sum", (const char *[]){ "checksum", NULL }, (const char *[]){ "u32(const void*,u32)" });
        assert_natives(object, "all", (const char *[]){ "fill", "classify", "now", NULL },
                       (const char *[]){ "void(s8*,u64,u8)", "s32(const packet*,u32,bool,s64)", "u64()" });
        object_free(object);
    }
}

static void test_refused_declarations(void **state)
{
    static const struct { const char *program, *text; } cases[] = {
        { "no_size", "calls unsized of the workers: argument 1 is a pointer without a size" },
        { "no_const", "calls changes of the workers: argument 1 is a pointer to the context that is not const" },
        { "pointer", "calls finds of the workers: the result of \"void*(u32)\" is neither an integer nor void" },
        { "pointers", "calls deep of the workers: its prototype has other types" },
    };
    struct object *object = objects_read("worker_helper");

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct jit_error error = { 0 };
        struct bytecode *bytecode = NULL;
        uint32_t program;

        assert_int_equal(object_find(object, cases[i].program, &program, &error), 0);
        assert_int_equal(object_bytecode(object, program, &bytecode, &error), -EINVAL);
        assert_string_equal(error.rule, "native");
        if (!strstr(error.text, cases[i].text))
            fail_msg("%s: \"%s\"", cases[i].program, error.text);
        assert_null(bytecode);
    }
    object_free(object);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_declarations),
        cmocka_unit_test(test_refused_declarations),
    };

    return cmocka_run_group_tests_name("native", tests, NULL, NULL);
}
