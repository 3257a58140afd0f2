/* SPDX-License-Identifier: MIT */
#include "bytecode_check.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>

static bool name_valid(const char *name)
{
    size_t size = strnlen(name, BYTECODE_NAME_MAX + 1);

    for (size_t i = 0; i < size; i++)
        if (name[i] < ' ' || name[i] > '~')
            return false;
    return size > 0 && size <= BYTECODE_NAME_MAX;
}

int bytecode_check_counts(const struct bytecode *bytecode, struct jit_error *error)
{
    const struct {
        const char *what;
        uint32_t count, max;
    } counts[] = {
        { "instructions", bytecode->instructions, BYTECODE_INSTRUCTIONS_MAX },
        { "functions", bytecode->functions, BYTECODE_FUNCTIONS_MAX },
        { "regions", bytecode->regions, BYTECODE_REGIONS_MAX },
        { "functions of the workers'", bytecode->natives, BYTECODE_NATIVES_MAX },
        { "fields", bytecode->fields, TYPES_FIELDS_MAX },
        { "lines", bytecode->lines, BYTECODE_LINES_MAX },
        { "bytes of strings", bytecode->strings, BYTECODE_STRINGS_MAX },
    };

    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
        if (counts[i].count > counts[i].max)
            return jit_error_set(error, -EINVAL, BYTECODE_RULE, "the program has %u %s; at most %u are possible",
                                 counts[i].count, counts[i].what, counts[i].max);
    if (!bytecode->functions || !bytecode->instructions)
        return jit_error_set(error, -EINVAL, BYTECODE_RULE, "the program has no instructions");
    return 0;
}

/* The functions lie behind each other and leave nothing out. */
static int check_functions(const struct bytecode *bytecode, struct jit_error *error)
{
    uint32_t first = 0;

    for (uint32_t i = 0; i < bytecode->functions; i++) {
        const struct bytecode_function *function = &bytecode->function[i];

        if (!name_valid(function->name))
            return jit_error_set(error, -EINVAL, BYTECODE_RULE, "function %u has no printable name", i);
        if (function->first != first || !function->count || function->count > bytecode->instructions - first)
            return jit_error_set(error, -EINVAL, BYTECODE_RULE,
                                 "function %u (%s) is not a stretch of instructions behind the one before it", i,
                                 function->name);
        first += function->count;
    }
    if (first != bytecode->instructions)
        return jit_error_set(error, -EINVAL, BYTECODE_RULE, "instructions from %u on are in no function", first);
    return 0;
}

static bool is_map(const struct bytecode_region *region)
{
    return region->kind == REGION_MAP || region->kind == REGION_INNER;
}

static bool region_has_map_fields(const struct bytecode_region *region)
{
    return region->map_type || region->key_size || region->value_size || region->max_entries || region->map_flags ||
           region->inner || region->key_type || region->value_type;
}

/*
 * An array has all its bytes, and 32-bit keys: lookups rely on it.
 * Other maps have none that are addressed directly.
 */
static bool map_size_valid(const struct bytecode_region *region)
{
    if (region->map_type != BPF_MAP_TYPE_ARRAY || region->kind == REGION_INNER)
        return region->size == 0 && !region->contents;
    return region->key_size == sizeof(uint32_t) && region->size > 0 &&
           region->size == bytecode_map_stride(region) * region->max_entries;
}

static bool map_types_valid(const struct bytecode_region *region)
{
    return (!region->key_type || typed_size(region->key_type) == region->key_size) &&
           (!region->value_type || typed_size(region->value_type) == region->value_size);
}

/* What a map of maps holds is described by a region of its own, and is no map of maps. */
static bool map_inner_valid(const struct bytecode *bytecode, const struct bytecode_region *region)
{
    if (!bytecode_map_of_maps(region))
        return region->inner == 0;
    return region->kind == REGION_MAP && region->value_size == sizeof(int64_t) && region->inner < bytecode->regions &&
           bytecode->region[region->inner].kind == REGION_INNER;
}

static int check_layout(const struct bytecode_region *region, struct jit_error *error)
{
    const struct map_definition definition = bytecode_map_definition(region);
    struct jit_error why = { .rule = BYTECODE_RULE };
    struct map ignored;
    int r = map_lay_out(&definition, &ignored, &why);

    return r < 0 && r != -ENOMEM ? jit_error_set(error, r, why.rule, "map \"%s\": %s", region->name, why.text) : r;
}

static int check_map(const struct bytecode *bytecode, uint32_t index, struct jit_error *error)
{
    const struct bytecode_region *region = &bytecode->region[index];
    int r = check_layout(region, error);

    if (r < 0)
        return r;
    if (!map_size_valid(region))
        return jit_error_set(error, -EINVAL, BYTECODE_RULE,
                             "region %u (%s): its bytes are not those of an array of %u values of %u bytes", index,
                             region->name, region->max_entries, region->value_size);
    if (!map_types_valid(region))
        return jit_error_set(error, -EINVAL, BYTECODE_RULE, "region %u (%s): its types are not of its sizes", index,
                             region->name);
    if (!map_inner_valid(bytecode, region))
        return jit_error_set(error, -EINVAL, BYTECODE_RULE, "region %u (%s): it does not say what its maps are like", index,
                             region->name);
    return 0;
}

static int check_region(const struct bytecode *bytecode, uint32_t index, struct jit_error *error)
{
    const struct bytecode_region *region = &bytecode->region[index];
    uint32_t max = is_map(region) ? MAP_SIZE_MAX : BYTECODE_REGION_SIZE_MAX;

    if (!name_valid(region->name))
        return jit_error_set(error, -EINVAL, BYTECODE_RULE, "region %u has no printable name", index);
    if ((unsigned)region->kind > REGION_INNER)
        return jit_error_set(error, -EINVAL, BYTECODE_RULE, "region %u (%s) has the unknown kind %u", index, region->name,
                             (unsigned)region->kind);
    if (region->size > max)
        return jit_error_set(error, -EINVAL, BYTECODE_RULE, "region %u (%s) has %u bytes; at most %u are possible", index,
                             region->name, region->size, max);
    if (!is_map(region) && region_has_map_fields(region))
        return jit_error_set(error, -EINVAL, BYTECODE_RULE, "region %u (%s) is no map but is described as one", index,
                             region->name);
    return is_map(region) ? check_map(bytecode, index, error) : 0;
}

static int check_regions(const struct bytecode *bytecode, struct jit_error *error)
{
    for (uint32_t i = 0; i < bytecode->regions; i++) {
        int r = check_region(bytecode, i, error);

        if (r < 0)
            return r;
    }
    return 0;
}

static int check_natives(const struct bytecode *bytecode, struct jit_error *error)
{
    int r = 0;

    for (uint32_t i = 0; r == 0 && i < bytecode->natives; i++) {
        const struct bytecode_native *native = &bytecode->native[i];
        struct native_signature ignored;

        if (!context_name_valid(native->name, sizeof(native->name)))
            return jit_error_set(error, -EINVAL, BYTECODE_RULE, "native %u has a name that none can have", i);
        if (!memchr(native->prototype, '\0', sizeof(native->prototype)))
            return jit_error_set(error, -EINVAL, BYTECODE_RULE, "native %u has a prototype without an end", i);
        r = native_parse(native->prototype, bytecode->context, &ignored, error);
    }
    return r;
}

static int check_fields(const struct bytecode *bytecode, struct jit_error *error)
{
    if (bytecode->context[0] && !context_name_valid(bytecode->context, sizeof(bytecode->context)))
        return jit_error_set(error, -EINVAL, BYTECODE_RULE, "the context's name is not valid");
    for (uint32_t i = 0; i < bytecode->fields; i++)
        if (!memchr(bytecode->field[i].name, '\0', sizeof(bytecode->field[i].name)))
            return jit_error_set(error, -EINVAL, BYTECODE_RULE, "field %u has a name without an end", i);
    return 0;
}

static int check_lines(const struct bytecode *bytecode, struct jit_error *error)
{
    if (bytecode->strings && (bytecode->string[0] || bytecode->string[bytecode->strings - 1]))
        return jit_error_set(error, -EINVAL, BYTECODE_RULE, "the strings do not begin with an empty one or have no end");
    for (uint32_t i = 0; i < bytecode->lines; i++) {
        const struct bytecode_line *line = &bytecode->line[i];

        if (line->instruction >= bytecode->instructions || line->file >= bytecode->strings ||
            line->text >= bytecode->strings || (i > 0 && line->instruction <= line[-1].instruction))
            return jit_error_set(error, -EINVAL, BYTECODE_RULE, "line %u does not belong to the program or is out of order", i);
    }
    return 0;
}

/* ---- what holds for instructions ---- */

struct place {
    const struct bytecode *bytecode;
    const struct bytecode_function *function;
    uint32_t index;             /* in the function */
    struct jit_error *error;
};

#define PLACE_ERROR(place, ...) \
    jit_error_set_at((place)->error, -EINVAL, BYTECODE_RULE, (place)->function->name, (place)->index, __VA_ARGS__)

static const struct instruction *at(const struct place *place)
{
    return &place->bytecode->instruction[place->function->first + place->index];
}

static int check_load_64(const struct place *place)
{
    const struct bytecode *bytecode = place->bytecode;
    uint32_t source = instruction_source(*at(place)), index = (uint32_t)at(place)->immediate;

    switch (source) {
    case WIDE_NUMBER:
        return 0;
    case WIDE_MAP:
    case WIDE_MAP_VALUE:
        if (index >= bytecode->regions)
            return PLACE_ERROR(place, "lddw refers to region %u of %u", index, bytecode->regions);
        if (source == WIDE_MAP && bytecode->region[index].kind != REGION_MAP)
            return PLACE_ERROR(place, "lddw takes %s for a map, which it is not", bytecode->region[index].name);
        if (source == WIDE_MAP_VALUE && is_map(&bytecode->region[index]) && bytecode->region[index].size == 0)
            return PLACE_ERROR(place, "lddw refers to the values of %s, which are not accessed directly",
                               bytecode->region[index].name);
        if (source == WIDE_MAP ? at(place)[1].immediate != 0 :
                                 (uint32_t)at(place)[1].immediate > bytecode->region[index].size)
            return PLACE_ERROR(place, "lddw refers to byte %d of %s, which has %u", at(place)[1].immediate,
                               bytecode->region[index].name, bytecode->region[index].size);
        return 0;
    case WIDE_FUNCTION:
        if (index >= bytecode->functions || at(place)[1].immediate)
            return PLACE_ERROR(place, "lddw refers to function %u of %u", index, bytecode->functions);
        return 0;
    default:
        return PLACE_ERROR(place, "lddw of kind %u is not in canonical form", source);
    }
}

/* `half`: per instruction of the function, is it the second half of an lddw? */
static int check_jump(const struct place *place, const bool *half)
{
    int64_t to = (int64_t)place->index + 1 + instruction_jump_distance(*at(place));

    if (to < 0 || to >= place->function->count)
        return PLACE_ERROR(place, "%s leads out of the function", instruction_name(*at(place)));
    if (half[to])
        return PLACE_ERROR(place, "%s leads into the middle of an lddw", instruction_name(*at(place)));
    return 0;
}

static int check_references(const struct place *place, const bool *half)
{
    struct instruction i = *at(place);

    if (i.opcode == OPCODE_LOAD_64)
        return check_load_64(place);
    if (i.opcode == OPCODE_CALL && instruction_source(i) == CALL_LOCAL &&
        (uint32_t)i.immediate >= place->bytecode->functions)
        return PLACE_ERROR(place, "call of function %d of %u", i.immediate, place->bytecode->functions);
    if (i.opcode == OPCODE_CALL && instruction_source(i) == CALL_NATIVE &&
        (uint32_t)i.immediate >= place->bytecode->natives)
        return PLACE_ERROR(place, "call of native %d of %u", i.immediate, place->bytecode->natives);
    if (instruction_is_jump(i))
        return check_jump(place, half);
    return 0;
}

static bool falls_through(struct instruction i)
{
    return i.opcode != OPCODE_EXIT && i.opcode != OPCODE_JUMP_16 && i.opcode != OPCODE_JUMP_32;
}

static int check_instructions(const struct bytecode *bytecode, const struct bytecode_function *function, bool *half,
                              struct jit_error *error)
{
    struct place place = { bytecode, function, 0, error };
    uint32_t last = 0;
    int r = 0;

    memset(half, 0, function->count);
    for (; place.index < function->count && r == 0; place.index += instruction_length(*at(&place))) {
        bool end = place.index + 1 == function->count;

        last = place.index;
        r = instruction_check(*at(&place), end ? NULL : at(&place) + 1, function->name, place.index, error);
        if (r == 0 && instruction_length(*at(&place)) > 1)
            half[place.index + 1] = true;
    }
    for (place.index = 0; place.index < function->count && r == 0;
         place.index += instruction_length(*at(&place)))
        r = check_references(&place, half);
    place.index = last;
    if (r == 0 && falls_through(*at(&place)))
        return PLACE_ERROR(&place, "the function ends without an exit or a jump");
    return r;
}

int bytecode_check(const struct bytecode *bytecode, struct jit_error *error)
{
    bool *half;
    int r = bytecode_check_counts(bytecode, error);

    if (r == 0)
        r = check_functions(bytecode, error);
    if (r == 0)
        r = check_regions(bytecode, error);
    if (r == 0)
        r = check_fields(bytecode, error);
    if (r == 0)
        r = check_natives(bytecode, error);
    if (r == 0)
        r = check_lines(bytecode, error);
    if (r < 0)
        return r;
    half = malloc(bytecode->instructions * sizeof(*half));
    if (!half)
        return -ENOMEM;
    for (uint32_t i = 0; i < bytecode->functions && r == 0; i++)
        r = check_instructions(bytecode, &bytecode->function[i], half, error);
    free(half);
    return r;
}
