/* SPDX-License-Identifier: MIT */
/* Programs in canonical form: what is refused, and the way to bytes and back. */
#include "jit.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>

#include "bytecode_check.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* One of everything: two functions, five regions, a native, fields, lines, strings. */
static struct bytecode *sample(void)
{
    static const struct instruction code[] = {
        INSN(OPCODE_LOAD_64, 1, WIDE_MAP_VALUE, 0, 0), INSN(0, 0, 0, 0, 4),
        INSN(OPCODE_LOAD_64, 1, WIDE_MAP, 0, 2),       INSN(0, 0, 0, 0, 0),
        INSN(OPCODE_LOAD_64, 2, WIDE_FUNCTION, 0, 1),  INSN(0, 0, 0, 0, 0),
        JEQ_IMM(1, 0, 1),                              CALL(1),
        MOV64_IMM(0, 0),                               EXIT(),
        MOV64_IMM(0, 1),                               EXIT(),
    };
    static const char strings[] = "\0file.c\0return 1;";
    const struct bytecode counts = { .instructions = COUNT(code), .functions = 2, .regions = 5, .natives = 1,
                                     .fields = 1, .lines = 2, .strings = sizeof(strings) };
    struct bytecode *bytecode = bytecode_new(&counts);

    assert_non_null(bytecode);
    strcpy(bytecode->context, "packet");
    memcpy(bytecode->instruction, code, sizeof(code));
    bytecode->function[0] = (struct bytecode_function){ "program", 0, 10 };
    bytecode->function[1] = (struct bytecode_function){ "helper", 10, 2 };
    bytecode->region[0] = (struct bytecode_region){ .name = ".rodata", .kind = REGION_CONSTANT, .size = 8,
                                                    .contents = malloc(8) };
    memcpy(bytecode->region[0].contents, "contents", 8);
    bytecode->region[1] = (struct bytecode_region){ .name = ".bss", .kind = REGION_DATA, .size = 16 };
    bytecode->region[2] = (struct bytecode_region){ .name = "map", .kind = REGION_MAP, .size = 48,
                                                    .map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4,
                                                    .value_size = 9, .max_entries = 3,
                                                    .key_type = typed_integer(4, false), .value_type = typed_bytes(9) };
    bytecode->region[3] = (struct bytecode_region){ .name = "maps", .kind = REGION_MAP,
                                                    .map_type = BPF_MAP_TYPE_ARRAY_OF_MAPS, .key_size = 4,
                                                    .value_size = 8, .max_entries = 2, .inner = 4 };
    bytecode->region[4] = (struct bytecode_region){ .name = "maps.inner", .kind = REGION_INNER,
                                                    .map_type = BPF_MAP_TYPE_HASH, .key_size = 4,
                                                    .value_size = 4, .max_entries = 2 };
    bytecode->native[0] = (struct bytecode_native){ "checksum", "u32(const void*,u32)" };
    bytecode->field[0] = (struct types_field){ "status", 24, 4 };
    bytecode->line[0] = (struct bytecode_line){ 0, 7, 1, 0 };
    bytecode->line[1] = (struct bytecode_line){ 6, 9, 1, 8 };
    memcpy(bytecode->string, strings, sizeof(strings));
    return bytecode;
}

/* ---- what is refused ---- */

#define CHANGE(name, ...) static void name(struct bytecode *b) { __VA_ARGS__; }

CHANGE(nothing, (void)b)
CHANGE(no_functions, b->functions = 0)
CHANGE(overlap, b->function[1].first = 9)
CHANGE(gap, b->function[0].count = 9)
CHANGE(too_short, b->function[1].count = 1)
CHANGE(empty_function, b->function[1].count = 0)
CHANGE(no_name, b->function[1].name[0] = '\0')
CHANGE(control_character, b->function[1].name[2] = '\n')
CHANGE(endless_name, memset(b->function[1].name, 'a', sizeof(b->function[1].name)))
CHANGE(region_without_name, b->region[1].name[0] = '\0')
CHANGE(region_kind, b->region[1].kind = (enum bytecode_region_kind)4)
CHANGE(region_size, b->region[1].size = BYTECODE_REGION_SIZE_MAX + 1)
CHANGE(map_fields, b->region[1].value_size = 1)
CHANGE(array_size, b->region[2].size = 27)
CHANGE(array_type, b->region[2].map_type = BPF_MAP_TYPE_HASH)
CHANGE(map_layout, b->region[4].max_entries = 0)
CHANGE(map_kind, b->region[4].map_type = BPF_MAP_TYPE_SOCKMAP)
CHANGE(key_type, b->region[2].key_type->type[0].size = 8)
CHANGE(value_type, b->region[2].value_type->type[0].size = 10)
CHANGE(typed_data, b->region[1].key_type = typed_bytes(4))
CHANGE(no_inner, b->region[3].inner = 2)
CHANGE(inner_outside, b->region[3].inner = 5)
CHANGE(inner_of_array, b->region[2].inner = 4)
CHANGE(inner_value, b->region[3].value_size = 4)
CHANGE(inner_size, b->region[4].size = 8)
CHANGE(nested_inner, b->region[4] = b->region[3]; b->region[4].kind = REGION_INNER)
CHANGE(values_of_maps, b->instruction[0].immediate = 3; b->instruction[1].immediate = 0)
CHANGE(values_of_inner, b->instruction[0].immediate = 4; b->instruction[1].immediate = 0)
CHANGE(inner_itself, b->instruction[2].immediate = 4)
CHANGE(native_name, strcpy(b->native[0].name, "a b"))
CHANGE(native_prototype, strcpy(b->native[0].prototype, "u32(const void*)"))
CHANGE(endless_prototype, memset(b->native[0].prototype, 'a', sizeof(b->native[0].prototype)))
CHANGE(no_native, b->instruction[7].registers = CALL_NATIVE << 4)
CHANGE(context_name, strcpy(b->context, "a/b"))
CHANGE(endless_field, memset(b->field[0].name, 'a', sizeof(b->field[0].name)))
CHANGE(line_outside, b->line[1].instruction = 12)
CHANGE(line_order, b->line[1].instruction = 0)
CHANGE(line_file, b->line[0].file = b->strings)
CHANGE(line_text, b->line[1].text = b->strings)
CHANGE(first_string, b->string[0] = 'a')
CHANGE(last_string, b->string[b->strings - 1] = 'a')
CHANGE(no_region, b->instruction[0].immediate = 5)
CHANGE(offset_outside, b->instruction[1].immediate = 9)
CHANGE(offset_negative, b->instruction[1].immediate = -1)
CHANGE(no_map, b->instruction[2].immediate = 1)
CHANGE(no_callback, b->instruction[4].immediate = 2)
CHANGE(no_callee, b->instruction[7].immediate = 2)
CHANGE(negative_callee, b->instruction[7].immediate = -1)
CHANGE(jump_behind, b->instruction[6].offset = 3)
CHANGE(jump_before, b->instruction[6].offset = -8)
CHANGE(jump_into_lddw, b->instruction[6].offset = -4)
CHANGE(falls_out, b->instruction[9] = (struct instruction)MOV64_IMM(0, 0))
CHANGE(unknown, b->instruction[8].opcode = 0xff)
CHANGE(half_at_end, b->instruction[11] = (struct instruction)INSN(OPCODE_LOAD_64, 0, 0, 0, 0))

static void test_check(void **state)
{
    static const struct {
        void (*change)(struct bytecode *b);
        const char *rule, *text;        /* NULL: accepted */
    } cases[] = {
        { nothing, NULL, NULL },
        { no_functions, "bytecode", "no instructions" },
        { overlap, "bytecode", "function 1 (helper) is not a stretch" },
        { gap, "bytecode", "function 1 (helper) is not a stretch" },
        { too_short, "bytecode", "instructions from 11 on" },
        { empty_function, "bytecode", "function 1 (helper) is not a stretch" },
        { no_name, "bytecode", "function 1 has no printable name" },
        { control_character, "bytecode", "function 1 has no printable name" },
        { endless_name, "bytecode", "function 1 has no printable name" },
        { region_without_name, "bytecode", "region 1 has no printable name" },
        { region_kind, "bytecode", "region 1 (.bss) has the unknown kind 4" },
        { region_size, "bytecode", "region 1 (.bss) has 1048577 bytes" },
        { map_fields, "bytecode", "region 1 (.bss) is no map" },
        { array_size, "bytecode", "not those of an array of 3 values of 9 bytes" },
        { array_type, "bytecode", "not those of an array" },
        { map_layout, "map", "map \"maps.inner\": max_entries is 0" },
        { map_kind, "map", "map \"maps.inner\": " },
        { key_type, "bytecode", "region 2 (map): its types are not of its sizes" },
        { value_type, "bytecode", "region 2 (map): its types are not of its sizes" },
        { typed_data, "bytecode", "region 1 (.bss) is no map" },
        { no_inner, "bytecode", "region 3 (maps): it does not say what its maps are like" },
        { inner_outside, "bytecode", "region 3 (maps): it does not say what its maps are like" },
        { inner_of_array, "bytecode", "region 2 (map): it does not say what its maps are like" },
        { inner_value, "map", "map \"maps\": value_size is 4 bytes" },
        { inner_size, "bytecode", "region 4 (maps.inner): its bytes are not" },
        { nested_inner, "bytecode", "region 4 (maps): it does not say what its maps are like" },
        { values_of_maps, "bytecode", "the values of maps, which are not accessed directly" },
        { values_of_inner, "bytecode", "the values of maps.inner, which are not accessed directly" },
        { inner_itself, "bytecode", "takes maps.inner for a map" },
        { native_name, "bytecode", "native 0 has a name that none can have" },
        { native_prototype, "native", "argument 1 is a pointer without a size" },
        { endless_prototype, "bytecode", "native 0 has a prototype without an end" },
        { no_native, "bytecode", "instruction 7: call of native 1 of 1" },
        { context_name, "bytecode", "the context's name" },
        { endless_field, "bytecode", "field 0 has a name without an end" },
        { line_outside, "bytecode", "line 1" },
        { line_order, "bytecode", "line 1" },
        { line_file, "bytecode", "line 0" },
        { line_text, "bytecode", "line 1" },
        { first_string, "bytecode", "the strings" },
        { last_string, "bytecode", "the strings" },
        { no_region, "bytecode", "instruction 0: lddw refers to region 5 of 5" },
        { offset_outside, "bytecode", "byte 9 of .rodata, which has 8" },
        { offset_negative, "bytecode", "byte -1 of .rodata" },
        { no_map, "bytecode", "takes .bss for a map" },
        { no_callback, "bytecode", "lddw refers to function 2 of 2" },
        { no_callee, "bytecode", "call of function 2 of 2" },
        { negative_callee, "bytecode", "call of function -1 of 2" },
        { jump_behind, "bytecode", "instruction 6: jeq64 leads out of the function" },
        { jump_before, "bytecode", "leads out of the function" },
        { jump_into_lddw, "bytecode", "into the middle of an lddw" },
        { falls_out, "bytecode", "instruction 9: the function ends without" },
        { unknown, "instruction", "opcode 0xff" },
        { half_at_end, "instruction", "second half is missing" },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct bytecode *bytecode = sample();
        struct jit_error error = { .rule = NULL };
        int r;

        cases[i].change(bytecode);
        r = bytecode_check(bytecode, &error);
        if (cases[i].rule && (r >= 0 || strcmp(error.rule, cases[i].rule) != 0 || !strstr(error.text, cases[i].text)))
            fail_msg("case %zu: %d, rule %s: \"%s\" does not say \"%s\"", i, r, error.rule, error.text, cases[i].text);
        if (!cases[i].rule && r < 0)
            fail_msg("case %zu: \"%s\"", i, error.text);
        bytecode_free(bytecode);
    }
}

/* ---- bytes ---- */

static void assert_same(const struct bytecode *a, const struct bytecode *b)
{
    assert_string_equal(a->context, b->context);
    assert_int_equal(a->instructions, b->instructions);
    assert_int_equal(a->functions, b->functions);
    assert_int_equal(a->regions, b->regions);
    assert_int_equal(a->natives, b->natives);
    assert_int_equal(a->fields, b->fields);
    assert_int_equal(a->lines, b->lines);
    assert_int_equal(a->strings, b->strings);
    assert_memory_equal(a->instruction, b->instruction, a->instructions * sizeof(*a->instruction));
    assert_memory_equal(a->function, b->function, a->functions * sizeof(*a->function));
    assert_memory_equal(a->native, b->native, a->natives * sizeof(*a->native));
    assert_memory_equal(a->field, b->field, a->fields * sizeof(*a->field));
    assert_memory_equal(a->line, b->line, a->lines * sizeof(*a->line));
    assert_memory_equal(a->string, b->string, a->strings);
    for (uint32_t i = 0; i < a->regions; i++) {
        struct bytecode_region x = a->region[i], y = b->region[i];

        assert_true(!x.contents == !y.contents);
        if (x.contents)
            assert_memory_equal(x.contents, y.contents, x.size);
        assert_true(!x.key_type == !y.key_type && !x.value_type == !y.value_type);
        assert_true(!x.key_type || (typed_equal(x.key_type, y.key_type) && typed_equal(x.value_type, y.value_type)));
        x.contents = y.contents = NULL;
        x.key_type = y.key_type = x.value_type = y.value_type = NULL;
        assert_memory_equal(&x, &y, sizeof(x));
    }
}

static void test_round_trip(void **state)
{
    struct bytecode *bytecode = sample(), *copy;
    struct jit_error error;
    void *bytes, *again;
    size_t size, size_again;

    assert_int_equal(bytecode_encode(bytecode, &bytes, &size), 0);
    if (bytecode_decode(bytes, size, &copy, &error) < 0)
        fail_msg("%s", error.text);
    assert_same(bytecode, copy);
    assert_int_equal(bytecode_encode(copy, &again, &size_again), 0);
    assert_int_equal(size, size_again);
    assert_memory_equal(bytes, again, size);
    free(bytes);
    free(again);
    bytecode_free(copy);
    bytecode_free(bytecode);
}

static void test_cut_off_bytes_are_refused(void **state)
{
    struct bytecode *bytecode = sample(), *copy = NULL;
    struct jit_error error;
    uint8_t *bytes;
    void *whole;
    size_t size;

    assert_int_equal(bytecode_encode(bytecode, &whole, &size), 0);
    for (size_t cut = 0; cut <= size + 1; cut++) {
        if (cut == size)
            continue;
        bytes = malloc(cut + 1);        /* so that a read behind the end is found */
        assert_non_null(bytes);
        memset(bytes, 0, cut + 1);
        memcpy(bytes, whole, cut < size ? cut : size);
        assert_int_equal(bytecode_decode(bytes, cut, &copy, &error), -EINVAL);
        assert_string_equal(error.rule, "bytecode");
        assert_null(copy);
        free(bytes);
    }
    free(whole);
    bytecode_free(bytecode);
}

/* Whatever a byte is changed to: either it is refused, or it is a program in canonical form. */
static void test_changed_bytes_never_pass_unchecked(void **state)
{
    static const uint8_t changes[] = { 0x01, 0x80, 0xff };
    struct bytecode *bytecode = sample(), *copy;
    uint8_t *bytes;
    void *whole;
    size_t size;

    assert_int_equal(bytecode_encode(bytecode, &whole, &size), 0);
    bytes = whole;
    for (size_t at = 0; at < size; at++)
        for (size_t i = 0; i < COUNT(changes); i++) {
            bytes[at] ^= changes[i];
            if (bytecode_decode(bytes, size, &copy, NULL) == 0) {
                assert_int_equal(bytecode_check(copy, NULL), 0);
                bytecode_free(copy);
            }
            bytes[at] ^= changes[i];
        }
    free(whole);
    bytecode_free(bytecode);
}

/* ---- places ---- */

static void test_places(void **state)
{
    struct bytecode *bytecode = sample();

    assert_int_equal(bytecode_function_at(bytecode, 0), 0);
    assert_int_equal(bytecode_function_at(bytecode, 9), 0);
    assert_int_equal(bytecode_function_at(bytecode, 10), 1);
    assert_int_equal(bytecode_function_at(bytecode, 11), 1);
    assert_int_equal(bytecode_function_at(bytecode, 12), 2);
    assert_int_equal(bytecode_line_at(bytecode, 5)->line, 7);
    assert_int_equal(bytecode_line_at(bytecode, 6)->line, 9);
    assert_int_equal(bytecode_line_at(bytecode, 9)->line, 9);
    assert_null(bytecode_line_at(bytecode, 10));        /* of a function without lines */
    assert_null(bytecode_line_at(bytecode, 12));
    bytecode_free(bytecode);
    assert_null(bytecode_free(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_cut_off_bytes_are_refused),
        cmocka_unit_test(test_changed_bytes_never_pass_unchecked),
        cmocka_unit_test(test_places),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
