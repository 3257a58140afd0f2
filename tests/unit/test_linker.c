/* SPDX-License-Identifier: MIT */
/* Linking: functions, data, and what instructions refer to. */
#include "objects.h"

static struct bytecode *read_program(const char *object_name, const char *name)
{
    struct object *object = objects_read(object_name);
    struct bytecode *bytecode = objects_bytecode(object, name);

    object_free(object);
    return bytecode;
}

/* ---- functions ---- */

static void assert_functions(const char *object, const char *program, const char *const names[])
{
    struct bytecode *bytecode = read_program(object, program);
    uint32_t next = 0, count = 0;

    for (; names[count]; count++) {
        assert_true(count < bytecode->functions);
        assert_string_equal(bytecode->function[count].name, names[count]);
        assert_int_equal(bytecode->function[count].first, next);
        next += bytecode->function[count].count;
        assert_int_equal(bytecode->instruction[next - 1].opcode, OPCODE_EXIT);
    }
    assert_int_equal(bytecode->functions, count);
    assert_int_equal(bytecode->instructions, next);
    bytecode_free(bytecode);
}

static void test_functions(void **state)
{
    assert_functions("subprogram", NULL, (const char *const[]){ "subprogram", "first", "second", "third", NULL });
    assert_functions("several", "first", (const char *const[]){ "first", "only_first", "shared", NULL });
    assert_functions("several", "second", (const char *const[]){ "second", "shared", NULL });
    assert_functions("several", "third", (const char *const[]){ "third", "only_third", NULL });
    assert_functions("several", "fourth", (const char *const[]){ "fourth", "second", "shared", NULL });
    assert_functions("recursion", NULL, (const char *const[]){ "recursion", "ackermann", NULL });
    assert_functions("callback", NULL, (const char *const[]){ "sums", "add_square", "add_index", "square", NULL });
}

/* Which function calls which: pairs of indices, by place. */
static void assert_calls(const char *object, const char *program, const uint32_t (*expected)[2], uint32_t count)
{
    struct bytecode *bytecode = read_program(object, program);
    uint32_t found = 0;

    for (uint32_t i = 0; i < bytecode->instructions; i += instruction_length(bytecode->instruction[i])) {
        struct instruction instruction = bytecode->instruction[i];

        if (instruction.opcode != OPCODE_CALL || instruction_source(instruction) != CALL_LOCAL)
            continue;
        assert_true(found < count);
        assert_int_equal(bytecode_function_at(bytecode, i), expected[found][0]);
        assert_int_equal(instruction.immediate, expected[found][1]);
        found++;
    }
    assert_int_equal(found, count);
    bytecode_free(bytecode);
}

static void test_calls(void **state)
{
    static const uint32_t first[][2] = { { 0, 1 }, { 0, 1 }, { 1, 2 } }, fourth[][2] = { { 0, 1 }, { 1, 2 } };

    assert_calls("several", "first", first, COUNT(first));
    assert_calls("several", "fourth", fourth, COUNT(fourth));   /* across sections, and back into .text */
}

/* ---- data ---- */

struct reference {
    unsigned source;
    int32_t index, offset;
};

/* All lddw that are no numbers, by place. */
static void assert_references(const struct bytecode *bytecode, const struct reference *expected, uint32_t count)
{
    uint32_t found = 0;

    for (uint32_t i = 0; i < bytecode->instructions; i += instruction_length(bytecode->instruction[i])) {
        const struct instruction *instruction = &bytecode->instruction[i];

        if (instruction->opcode != OPCODE_LOAD_64 || instruction_source(*instruction) == WIDE_NUMBER)
            continue;
        assert_true(found < count);
        assert_int_equal(instruction_source(*instruction), expected[found].source);
        assert_int_equal(instruction[0].immediate, expected[found].index);
        assert_int_equal(instruction[1].immediate, expected[found].offset);
        found++;
    }
    assert_int_equal(found, count);
}

static void assert_region(const struct bytecode_region *region, const char *name, enum bytecode_region_kind kind,
                          uint32_t size)
{
    assert_string_equal(region->name, name);
    assert_int_equal(region->kind, kind);
    assert_int_equal(region->size, size);
}

static void test_constants(void **state)
{
    static const uint32_t primes[] = { 2, 3, 5, 7 }, pairs[] = { 1, 2, 3, 4, 5, 6 };
    static const struct reference expected[] = {
        { WIDE_MAP_VALUE, 0, 0 }, { WIDE_MAP_VALUE, 0, 24 }, { WIDE_MAP_VALUE, 1, 0 }, { WIDE_MAP_VALUE, 0, 40 },
    };
    struct bytecode *bytecode = read_program("data", "reads");

    assert_int_equal(bytecode->regions, 2);
    assert_region(&bytecode->region[0], ".rodata", REGION_CONSTANT, 46);
    assert_memory_equal(bytecode->region[0].contents, pairs, sizeof(pairs));
    assert_memory_equal(bytecode->region[0].contents + 24, primes, sizeof(primes));
    assert_memory_equal(bytecode->region[0].contents + 40, "hello", 6);
    assert_region(&bytecode->region[1], ".rodata.separate", REGION_CONSTANT, 2);
    assert_memory_equal(bytecode->region[1].contents, "\xaa\xbb", 2);
    assert_references(bytecode, expected, COUNT(expected));
    bytecode_free(bytecode);
}

/* By symbol, and by section and addend: static variables. */
static void test_variables(void **state)
{
    static const struct reference expected[] = {
        { WIDE_MAP_VALUE, 0, 8 },  { WIDE_MAP_VALUE, 0, 0 }, { WIDE_MAP_VALUE, 0, 20 },
        { WIDE_MAP_VALUE, 1, 4 },  { WIDE_MAP_VALUE, 1, 0 },
    };
    struct bytecode *bytecode = read_program("data", "writes");

    assert_int_equal(bytecode->regions, 2);
    assert_region(&bytecode->region[0], ".bss", REGION_DATA, 48);
    assert_null(bytecode->region[0].contents);
    assert_region(&bytecode->region[1], ".data", REGION_DATA, 8);
    assert_memory_equal(bytecode->region[1].contents, "\x44\x33\x22\x11\x0a\x14\x1e\x28", 8);
    assert_references(bytecode, expected, COUNT(expected));
    bytecode_free(bytecode);
}

static void test_literals(void **state)
{
    static const uint32_t squares[] = { 0, 1, 4, 9, 16, 25, 36, 49 };
    struct bytecode *bytecode = read_program("data", "literals");

    assert_int_equal(bytecode->regions, 2);
    assert_region(&bytecode->region[0], ".rodata.str1.1", REGION_CONSTANT, 18);
    assert_memory_equal(bytecode->region[0].contents, "dispatch\0programs", 18);
    assert_region(&bytecode->region[1], ".rodata.cst32", REGION_CONSTANT, 32);
    assert_memory_equal(bytecode->region[1].contents, squares, sizeof(squares));
    bytecode_free(bytecode);
}

static void test_no_data(void **state)
{
    struct bytecode *bytecode = read_program("data", "no_data");

    assert_int_equal(bytecode->regions, 0);
    bytecode_free(bytecode);
}

/* One static function, referred to by section and addend, and one global, by symbol. */
static void test_callbacks(void **state)
{
    static const struct reference expected[] = { { WIDE_FUNCTION, 1, 0 }, { WIDE_FUNCTION, 2, 0 } };
    struct bytecode *bytecode = read_program("callback", "sums");

    assert_references(bytecode, expected, COUNT(expected));
    bytecode_free(bytecode);
}

/* ---- what is refused ---- */

/* The relocation of an object that refers to this symbol, and the instruction that it is for. */
static Elf64_Rel *find_relocation(uint8_t *bytes, const char *symbol, struct instruction **ret)
{
    const Elf64_Shdr *table = objects_section(bytes, ".reltable/packet"),
                     *code = objects_section(bytes, "table/packet");
    uint64_t index = (uint64_t)(objects_symbol(bytes, symbol) - objects_symbol(bytes, ""));
    Elf64_Rel *relocation = (Elf64_Rel *)(void *)(bytes + table->sh_offset);

    for (size_t i = 0; i < table->sh_size / sizeof(*relocation); i++)
        if (ELF64_R_SYM(relocation[i].r_info) == index) {
            *ret = (struct instruction *)(void *)(bytes + code->sh_offset + relocation[i].r_offset);
            return &relocation[i];
        }
    fail_msg("nothing refers to %s", symbol);
    abort();
}

static void set_type(Elf64_Rel *relocation, unsigned type)
{
    relocation->r_info = ELF64_R_INFO(ELF64_R_SYM(relocation->r_info), type);
}

/* Each changes the instruction that adds to `started`, or its relocation. */
static void change_type(Elf64_Rel *relocation, struct instruction *instruction)
{
    set_type(relocation, 10);
}

static void change_addend(Elf64_Rel *relocation, struct instruction *instruction)
{
    instruction->immediate = 9;
}

static void change_addend_down(Elf64_Rel *relocation, struct instruction *instruction)
{
    instruction->immediate = -1;
}

static void change_place(Elf64_Rel *relocation, struct instruction *instruction)
{
    relocation->r_offset += 16;         /* what follows is a load */
}

static void change_half(Elf64_Rel *relocation, struct instruction *instruction)
{
    relocation->r_offset += 8;
}

static void change_source(Elf64_Rel *relocation, struct instruction *instruction)
{
    relocation->r_offset = UINT64_MAX - 7;
    instruction->registers |= WIDE_MAP_VALUE << 4;
}

static void test_refused_references(void **state)
{
    static const struct {
        void (*change)(Elf64_Rel *relocation, struct instruction *instruction);
        const char *rule, *text;
    } cases[] = {
        { change_type, "relocation", "lddw has a relocation of type 10 (to \"started\")" },
        { change_addend, "relocation", "refers to byte 9 of section \".data\", which has 8" },
        { change_addend_down, "relocation", "refers to byte -1 of section \".data\", which has 8" },
        { change_place, "relocation", "has a relocation of type 1 (to \"started\")" },
        { change_half, "relocation", "has a relocation of type 1 (to \"started\")" },
        { change_source, "instruction", "lddw of kind 2 has no relocation" },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct instruction *instruction = NULL;
        Elf64_Rel *relocation;
        char what[16];
        size_t size;
        uint8_t *bytes = objects_bytes("data", &size);

        assert_non_null(bytes);
        relocation = find_relocation(bytes, "started", &instruction);
        cases[i].change(relocation, instruction);
        snprintf(what, sizeof(what), "case %zu", i);
        objects_refused(what, bytes, size, cases[i].rule, cases[i].text);
        free(bytes);
    }
}

/* A pointer may stand just behind the last byte, as C has it. */
static void test_end_of_data(void **state)
{
    struct instruction *instruction = NULL;
    struct jit_error error = { 0 };
    size_t size;
    uint8_t *bytes = objects_bytes("data", &size);

    assert_non_null(bytes);
    find_relocation(bytes, "started", &instruction);
    instruction->immediate = 8;
    if (objects_try(bytes, size, &error) < 0)
        fail_msg("%s", error.text);
    free(bytes);
}

static void test_refused_calls(void **state)
{
    struct instruction *call;
    size_t size;
    uint8_t *bytes = objects_bytes("several", &size);

    assert_non_null(bytes);
    find_relocation(bytes, "shared", &call);
    call->immediate = 0;                /* the second instruction of the function */
    objects_refused("middle", bytes, size, "instruction", "none begins at byte 8 of section \".text\"");
    call->immediate = INT32_MIN;
    objects_refused("before", bytes, size, "instruction", "call leads to no function");
    free(bytes);
}

/* Sections of data have at most 1 MiB. */
static void test_large_region(void **state)
{
    size_t size;
    uint8_t *bytes = objects_bytes("data", &size);

    assert_non_null(bytes);
    objects_section(bytes, ".bss")->sh_size = BYTECODE_REGION_SIZE_MAX + 1;
    objects_refused("large", bytes, size, "limit", "section \".bss\" has 1048577 bytes");
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_functions),
        cmocka_unit_test(test_calls),
        cmocka_unit_test(test_constants),
        cmocka_unit_test(test_variables),
        cmocka_unit_test(test_literals),
        cmocka_unit_test(test_no_data),
        cmocka_unit_test(test_callbacks),
        cmocka_unit_test(test_refused_references),
        cmocka_unit_test(test_end_of_data),
        cmocka_unit_test(test_refused_calls),
        cmocka_unit_test(test_large_region),
    };

    return cmocka_run_group_tests_name("linker", tests, NULL, NULL);
}
