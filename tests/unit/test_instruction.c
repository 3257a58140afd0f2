/* SPDX-License-Identifier: MIT */
/*
 * The table of instructions, alone and against the public suite bpf_conformance, where ../shared
 * has its vectors: each program that is supported returns what it must; the others are refused by
 * name.
 */
#include "jit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- single instructions ---- */

static int check(struct instruction i, struct jit_error *error)
{
    *error = (struct jit_error){ 0 };
    return instruction_check(i, NULL, "f", 3, error);
}

static void test_refusals(void **state)
{
    static const struct { struct instruction i; int r; const char *rule, *text; } cases[] = {
        { INSN(0xff, 0, 0, 0, 0), -EINVAL, "instruction", "opcode 0xff" },
        { INSN(0x0f, 11, 0, 0, 0), -EINVAL, "instruction", "destination field (11) names" },
        { INSN(0x0f, 0, 15, 0, 0), -EINVAL, "instruction", "source field (15) names a register" },
        { INSN(0x0f, 10, 1, 0, 0), -EINVAL, "instruction", "R10, which is read-only" },
        { INSN(0x79, 10, 1, 0, 0), -EINVAL, "instruction", "R10, which is read-only" },
        { INSN(0xdc, 0, 0, 0, 24), -EINVAL, "instruction", "immediate field (24)" },
        { INSN(0x3f, 0, 1, 2, 0), -EINVAL, "instruction", "offset field (2)" },
        { INSN(0xbc, 0, 1, 32, 0), -EINVAL, "instruction", "offset field (32)" },
        { INSN(0x85, 0, 3, 0, 0), -EINVAL, "instruction", "source field (3)" },
        { INSN(0x18, 0, 0, 0, 0), -EINVAL, "instruction", "second half is missing" },
        { INSN(0xdb, 1, 2, 0, 0x77), -EINVAL, "instruction", "immediate field (119)" },
        { INSN(0xdb, 1, 2, 0, 1), -EOPNOTSUPP, "unsupported", "atomic64" },
        { INSN(0xc3, 1, 2, 0, 0xf1), -EOPNOTSUPP, "unsupported", "atomic32" },
        { INSN(0x8d, 2, 0, 0, 0), -EOPNOTSUPP, "unsupported", "callx" },
        { INSN(0x30, 0, 0, 0, 0), -EOPNOTSUPP, "unsupported", "ldabsb" },
        { INSN(0x85, 0, 0, 0, 1), -EOPNOTSUPP, "helper", "helper 1 (map_lookup_elem)" },
        { INSN(0x85, 0, 0, 0, -1), -EOPNOTSUPP, "helper", "helper -1" },
        { INSN(0x85, 0, 2, 0, 1234), -EOPNOTSUPP, "helper", "kernel function 1234" },
    };
    struct jit_error error;

    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(check(cases[i].i, &error), cases[i].r);
        assert_string_equal(error.rule, cases[i].rule);
        assert_string_equal(error.function, "f");
        assert_int_equal(error.instruction, 3);
        if (!strstr(error.text, cases[i].text))
            fail_msg("\"%s\" does not say \"%s\"", error.text, cases[i].text);
    }
}

static void test_wide_load(void **state)
{
    const struct instruction load = INSN(0x18, 1, 0, 0, 5), map = INSN(0x18, 1, 1, 0, 5),
                             high = INSN(0, 0, 0, 0, 6);
    const struct instruction wrong[] = { INSN(1, 0, 0, 0, 6), INSN(0, 1, 0, 0, 6),
                                         INSN(0, 0, 1, 0, 6), INSN(0, 0, 0, 1, 6) };
    struct jit_error error;

    assert_int_equal(instruction_check(load, &high, "f", 0, &error), 0);
    assert_int_equal(instruction_check(map, &high, "f", 0, &error), -EOPNOTSUPP);
    assert_string_equal(error.rule, "unsupported");
    for (size_t i = 0; i < COUNT(wrong); i++)
        assert_int_equal(instruction_check(load, &wrong[i], "f", 0, &error), -EINVAL);
}

/* ---- the conformance vectors ---- */

static size_t split(char *line, char **field, size_t max)
{
    size_t count = 0;

    for (char *next; count < max && line; line = next) {
        next = strchr(line, '\t');
        if (next)
            *next++ = '\0';
        field[count++] = line;
    }
    return count;
}

static size_t from_hex(const char *hex, uint8_t *ret, size_t max)
{
    size_t count = strlen(hex) / 2;

    assert_true(count <= max);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(sscanf(hex + 2 * i, "%2hhx", &ret[i]), 1);
    return count;
}

#define CODE_MAX 4096

static int check_all(const struct instruction *code, size_t count, struct jit_error *error)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < count; i += instruction_length(code[i]))
        r = instruction_check(code[i], i + 1 < count ? &code[i + 1] : NULL, "program", (int64_t)i,
                              error);
    return r;
}

static int compare_numbers(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

/* The vectors are one stream of instructions: functions begin where calls lead. */
static struct object *make_object(struct instruction *code, uint32_t count)
{
    uint32_t first[64] = { 0 }, counts[64] = { 0 }, functions = 1;

    for (uint32_t i = 0; i < count; i += instruction_length(code[i]))
        if (code[i].opcode == OPCODE_CALL) {
            assert_true(functions + 1 < COUNT(first));
            first[functions++] = i + 1 + (uint32_t)code[i].immediate;
        }
    qsort(first, functions, sizeof(first[0]), compare_numbers);
    for (uint32_t i = 0; i < functions; i++)
        counts[i] = (i + 1 < functions ? first[i + 1] : count) - first[i];
    for (uint32_t i = 0; i < count; i += instruction_length(code[i]))
        for (uint32_t f = 0; code[i].opcode == OPCODE_CALL && f < functions; f++)
            if (first[f] == i + 1 + (uint32_t)code[i].immediate) {
                code[i].immediate = (int32_t)f;
                break;
            }
    return jit_object(code, count, counts);
}

static void run_row(const char *name, const char *memory_hex, struct instruction *code,
                    size_t count, uint64_t expected)
{
    uint8_t memory[4096];
    size_t memory_size = from_hex(memory_hex, memory, sizeof(memory));
    struct object *object = make_object(code, (uint32_t)count);
    uint64_t result;

    result = jit_call(jit_install_unchecked(object), memory_size ? memory : NULL, memory_size);
    if (result != expected)
        fail_msg("%s: %#llx, not %#llx", name, (unsigned long long)result,
                 (unsigned long long)expected);
    object_free(object);
}

/* A vector file; the test is skipped without it. */
static char *read_vectors(const char *path)
{
    char *text = jit_read_file("SOURCE_DIR", path, NULL);

    if (!text) {
        print_message("no %s beside the source: conformance vectors not run\n", path);
        skip();
    }
    return text;
}

static void test_conformance(void **state)
{
    char *text = read_vectors("../shared/conformance/isa.tsv"), *saved;
    unsigned rows = 0, ran = 0;

    for (char *line = strtok_r(text, "\n", &saved); line; line = strtok_r(NULL, "\n", &saved)) {
        static struct instruction code[CODE_MAX / 8];
        struct jit_error error;
        char *field[6];
        size_t count;
        int r;

        if (line[0] == '#')
            continue;
        assert_int_equal(split(line, field, 6), 6);
        count = from_hex(field[4], (uint8_t *)code, sizeof(code)) / 8;
        rows++;
        r = check_all(code, count, &error);
        if (r == 0) {
            run_row(field[0], field[3], code, count, strtoull(field[5], NULL, 16));
            ran++;
        } else if (r != -EOPNOTSUPP ||
                   !(strstr(error.text, "atomic") || strstr(error.text, "callx") ||
                     strstr(error.text, "helper 5"))) {
            fail_msg("%s: %s", field[0], error.text);
        }
    }
    print_message("# %u of %u programs ran, the others were refused by name\n", ran, rows);
    assert_true(rows >= 225 && ran >= 200);
    free(text);
}

static void test_conformance_rejections(void **state)
{
    char *text = read_vectors("../shared/conformance/must_reject.tsv"), *saved;
    unsigned rows = 0;

    for (char *line = strtok_r(text, "\n", &saved); line; line = strtok_r(NULL, "\n", &saved)) {
        static struct instruction code[CODE_MAX / 8];
        struct jit_error error;
        char *field[3];
        size_t count;

        if (line[0] == '#')
            continue;
        assert_int_equal(split(line, field, 3), 3);
        count = from_hex(field[2], (uint8_t *)code, sizeof(code)) / 8;
        rows++;
        if (check_all(code, count, &error) != -EINVAL || !strstr(error.text, "field ("))
            fail_msg("%s is not refused for its field that is not used", field[0]);
    }
    assert_true(rows >= 45);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_wide_load),
        cmocka_unit_test(test_conformance),
        cmocka_unit_test(test_conformance_rejections),
    };

    return cmocka_run_group_tests_name("instruction", tests, NULL, NULL);
}
