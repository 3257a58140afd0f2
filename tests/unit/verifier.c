/* SPDX-License-Identifier: MIT */
/* What the tests of the verifier share. */
#include "verifier.h"

#include <stdlib.h>
#include <string.h>

static const struct bytecode_region regions[] = {
    [RODATA] = { .name = ".rodata", .kind = REGION_CONSTANT, .size = 16 },
    [DATA] = { .name = ".data", .kind = REGION_DATA, .size = 64 },
    [HASH] = { .name = "hash", .kind = REGION_MAP, .map_type = BPF_MAP_TYPE_HASH, .key_size = 4, .value_size = 16,
               .max_entries = 8 },
    [READ_ONLY] = { .name = "settings", .kind = REGION_MAP, .size = 8, .map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4,
                    .value_size = 8, .max_entries = 1, .map_flags = BPF_F_RDONLY_PROG },
    [RING] = { .name = "ring", .kind = REGION_MAP, .map_type = BPF_MAP_TYPE_RINGBUF, .max_entries = 4096 },
    [WRITE_ONLY] = { .name = "secrets", .kind = REGION_MAP, .map_type = BPF_MAP_TYPE_QUEUE, .value_size = 16,
                     .max_entries = 4, .map_flags = BPF_F_WRONLY_PROG },
    [QUEUE] = { .name = "jobs", .kind = REGION_MAP, .map_type = BPF_MAP_TYPE_QUEUE, .value_size = 16,
                .max_entries = 4 },
    [OUTER] = { .name = "maps", .kind = REGION_MAP, .map_type = BPF_MAP_TYPE_ARRAY_OF_MAPS, .key_size = 4,
                .value_size = 8, .max_entries = 2, .inner = INNER },
    [INNER] = { .name = "maps.inner", .kind = REGION_INNER, .map_type = BPF_MAP_TYPE_HASH, .key_size = 8,
                .value_size = 24, .max_entries = 8 },
    [SEALED] = { .name = "sealed", .kind = REGION_MAP, .map_type = BPF_MAP_TYPE_HASH, .key_size = 4, .value_size = 16,
                 .max_entries = 8, .map_flags = BPF_F_RDONLY_PROG },
    [TEXT] = { .name = ".rodata.str", .kind = REGION_CONSTANT, .size = 24 },
};

/* At 0 a format, at 9 one without numbers, at 12 one that is not printed, at 20 no end. */
static const char text[24] = "%d%% %u\0\0ok\0a %-4s\0\0end%";

static const struct bytecode_native natives[] = {
    [CHECKSUM] = { "checksum", "u32(const void*,u32)" },
    [FILL] = { "fill", "void(u8*,u64,u8)" },
    [CLASSIFY] = { "classify", "s32(const packet*,s16,bool)" },
};

static uint32_t count_instructions(const struct program *program)
{
    uint32_t count = 0;

    if (program->counts[0]) {
        for (size_t i = 0; i < COUNT(program->counts) && program->counts[i]; i++)
            count += program->counts[i];
        return count;
    }
    while (count < CODE_MAX && program->code[count].opcode)
        count += instruction_length(program->code[count]);
    return count;
}

static struct bytecode *make(const struct program *program)
{
    uint32_t count = count_instructions(program);
    struct bytecode *plain = jit_bytecode(program->code, count, program->counts[0] ? program->counts : NULL), *bytecode;
    struct bytecode sizes = *plain;

    sizes.regions = COUNT(regions);
    sizes.natives = COUNT(natives);
    bytecode = bytecode_new(&sizes);
    assert_non_null(bytecode);
    strcpy(bytecode->context, plain->context);
    memcpy(bytecode->instruction, plain->instruction, count * sizeof(*plain->instruction));
    memcpy(bytecode->function, plain->function, plain->functions * sizeof(*plain->function));
    memcpy(bytecode->region, regions, sizeof(regions));
    memcpy(bytecode->native, natives, sizeof(natives));
    bytecode->region[RODATA].contents = malloc(regions[RODATA].size);
    assert_non_null(bytecode->region[RODATA].contents);
    for (uint8_t i = 0; i < regions[RODATA].size; i++)
        bytecode->region[RODATA].contents[i] = i + 1;
    bytecode->region[TEXT].contents = malloc(sizeof(text));
    assert_non_null(bytecode->region[TEXT].contents);
    memcpy(bytecode->region[TEXT].contents, text, sizeof(text));
    bytecode_free(plain);
    return bytecode;
}

int verifier_try(const struct program *program, const struct verifier_options *options, struct verified *ret,
                 struct verifier_statistics *statistics, struct bytecode **bytecode, struct jit_error *error)
{
    struct context *context = jit_packet_context();
    int r;

    *bytecode = make(program);
    *ret = (struct verified){ 0 };
    *error = (struct jit_error){ 0 };
    r = verifier_run(*bytecode, context, options, ret, statistics, error);
    context_free(context);
    return r;
}

void verifier_check(const struct program *programs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct program *program = &programs[i];
        struct bytecode *bytecode;
        struct verified verified;
        struct jit_error error;
        int r = verifier_try(program, NULL, &verified, NULL, &bytecode, &error);

        if (!program->rule && r != 0)
            fail_msg("%s: refused: %s: %s [%s]", program->name, error.rule, error.text, error.registers);
        if (program->rule && r >= 0)
            fail_msg("%s: accepted, not refused (%s)", program->name, program->rule);
        if (program->rule && (strcmp(error.rule, program->rule) != 0 ||
                              (program->text && !strstr(error.text, program->text) &&
                               !strstr(error.hint, program->text))))
            fail_msg("%s: rule %s (not %s), \"%s\" (not \"...%s...\")", program->name, error.rule, program->rule,
                     error.text, program->text ? program->text : "");
        verified_clear(&verified);
        bytecode_free(bytecode);
    }
}
