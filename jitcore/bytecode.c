/* SPDX-License-Identifier: MIT */
/* Programs in canonical form: what holds for each, and their form as bytes. */

#include "bytecode.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stream.h"
#include "typed_internal.h"

/* ---- memory ---- */

/* At least one element of each, so that NULL means no memory. */
static bool allocate(struct bytecode *bytecode)
{
    bytecode->instruction = calloc(bytecode->instructions + 1ul, sizeof(*bytecode->instruction));
    bytecode->function = calloc(bytecode->functions + 1ul, sizeof(*bytecode->function));
    bytecode->region = calloc(bytecode->regions + 1ul, sizeof(*bytecode->region));
    bytecode->native = calloc(bytecode->natives + 1ul, sizeof(*bytecode->native));
    bytecode->field = calloc(bytecode->fields + 1ul, sizeof(*bytecode->field));
    bytecode->line = calloc(bytecode->lines + 1ul, sizeof(*bytecode->line));
    bytecode->string = calloc(bytecode->strings + 1ul, 1);
    return bytecode->instruction && bytecode->function && bytecode->region && bytecode->native && bytecode->field &&
           bytecode->line && bytecode->string;
}

struct bytecode *bytecode_new(const struct bytecode *counts)
{
    struct bytecode *bytecode = calloc(1, sizeof(*bytecode));

    if (!bytecode)
        return NULL;
    *bytecode = (struct bytecode){
        .instructions = counts->instructions,
        .functions = counts->functions,
        .regions = counts->regions,
        .natives = counts->natives,
        .fields = counts->fields,
        .lines = counts->lines,
        .strings = counts->strings,
    };
    return allocate(bytecode) ? bytecode : bytecode_free(bytecode);
}

void bytecode_region_clear(struct bytecode_region *region)
{
    free(region->contents);
    typed_free(region->key_type);
    typed_free(region->value_type);
}

struct bytecode *bytecode_free(struct bytecode *bytecode)
{
    if (!bytecode)
        return NULL;
    for (uint32_t i = 0; bytecode->region && i < bytecode->regions; i++)
        bytecode_region_clear(&bytecode->region[i]);
    free(bytecode->instruction);
    free(bytecode->function);
    free(bytecode->region);
    free(bytecode->native);
    free(bytecode->field);
    free(bytecode->line);
    free(bytecode->string);
    free(bytecode);
    return NULL;
}

/* ---- places ---- */

uint32_t bytecode_function_at(const struct bytecode *bytecode, uint32_t instruction)
{
    uint32_t low = 0, high = bytecode->functions;

    if (instruction >= bytecode->instructions)
        return bytecode->functions;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;

        if (bytecode->function[middle].first <= instruction)
            low = middle;
        else
            high = middle;
    }
    return low;
}

const struct bytecode_line *bytecode_line_at(const struct bytecode *bytecode, uint32_t instruction)
{
    uint32_t low = 0, high = bytecode->lines, function = bytecode_function_at(bytecode, instruction);

    if (function == bytecode->functions)
        return NULL;
    while (low < high) {        /* the first one behind `instruction` */
        uint32_t middle = low + (high - low) / 2;

        if (bytecode->line[middle].instruction <= instruction)
            low = middle + 1;
        else
            high = middle;
    }
    /* A function's lines say nothing of the next function. */
    return low > 0 && bytecode->line[low - 1].instruction >= bytecode->function[function].first ?
               &bytecode->line[low - 1] :
               NULL;
}

/* ---- what holds for each ---- */

#define RULE "bytecode"

static bool name_valid(const char *name)
{
    size_t size = strnlen(name, BYTECODE_NAME_MAX + 1);

    for (size_t i = 0; i < size; i++)
        if (name[i] < ' ' || name[i] > '~')
            return false;
    return size > 0 && size <= BYTECODE_NAME_MAX;
}

static int check_counts(const struct bytecode *bytecode, struct jit_error *error)
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
            return jit_error_set(error, -EINVAL, RULE, "the program has %u %s; at most %u are possible",
                                 counts[i].count, counts[i].what, counts[i].max);
    if (!bytecode->functions || !bytecode->instructions)
        return jit_error_set(error, -EINVAL, RULE, "the program has no instructions");
    return 0;
}

/* The functions lie behind each other and leave nothing out. */
static int check_functions(const struct bytecode *bytecode, struct jit_error *error)
{
    uint32_t first = 0;

    for (uint32_t i = 0; i < bytecode->functions; i++) {
        const struct bytecode_function *function = &bytecode->function[i];

        if (!name_valid(function->name))
            return jit_error_set(error, -EINVAL, RULE, "function %u has no printable name", i);
        if (function->first != first || !function->count || function->count > bytecode->instructions - first)
            return jit_error_set(error, -EINVAL, RULE,
                                 "function %u (%s) is not a stretch of instructions behind the one before it", i,
                                 function->name);
        first += function->count;
    }
    if (first != bytecode->instructions)
        return jit_error_set(error, -EINVAL, RULE, "instructions from %u on are in no function", first);
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

static const struct bytecode_line *line_of(const struct bytecode *bytecode, const char *function, int64_t instruction)
{
    for (uint32_t i = 0; i < bytecode->functions; i++)
        if (strcmp(bytecode->function[i].name, function) == 0 && instruction < bytecode->function[i].count)
            return bytecode_line_at(bytecode, bytecode->function[i].first + (uint32_t)instruction);
    return NULL;
}

void bytecode_locate(const struct bytecode *bytecode, struct jit_error *error)
{
    const struct bytecode_line *line =
        error && error->instruction >= 0 ? line_of(bytecode, error->function, error->instruction) : NULL;

    if (!line)
        return;
    snprintf(error->file, sizeof(error->file), "%s", bytecode->string + line->file);
    snprintf(error->source, sizeof(error->source), "%s", bytecode->string + line->text);
    error->line = line->line;
}

uint64_t bytecode_map_stride(const struct bytecode_region *region)
{
    return (region->value_size + 7ull) & ~7ull;
}

struct map_definition bytecode_map_definition(const struct bytecode_region *region)
{
    return (struct map_definition){ region->map_type, region->key_size, region->value_size, region->max_entries,
                                    region->map_flags };
}

bool bytecode_map_of_maps(const struct bytecode_region *region)
{
    return region->map_type == BPF_MAP_TYPE_ARRAY_OF_MAPS || region->map_type == BPF_MAP_TYPE_HASH_OF_MAPS;
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
    struct jit_error why = { .rule = RULE };
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
        return jit_error_set(error, -EINVAL, RULE,
                             "region %u (%s): its bytes are not those of an array of %u values of %u bytes", index,
                             region->name, region->max_entries, region->value_size);
    if (!map_types_valid(region))
        return jit_error_set(error, -EINVAL, RULE, "region %u (%s): its types are not of its sizes", index,
                             region->name);
    if (!map_inner_valid(bytecode, region))
        return jit_error_set(error, -EINVAL, RULE, "region %u (%s): it does not say what its maps are like", index,
                             region->name);
    return 0;
}

static int check_region(const struct bytecode *bytecode, uint32_t index, struct jit_error *error)
{
    const struct bytecode_region *region = &bytecode->region[index];
    uint32_t max = is_map(region) ? MAP_SIZE_MAX : BYTECODE_REGION_SIZE_MAX;

    if (!name_valid(region->name))
        return jit_error_set(error, -EINVAL, RULE, "region %u has no printable name", index);
    if ((unsigned)region->kind > REGION_INNER)
        return jit_error_set(error, -EINVAL, RULE, "region %u (%s) has the unknown kind %u", index, region->name,
                             (unsigned)region->kind);
    if (region->size > max)
        return jit_error_set(error, -EINVAL, RULE, "region %u (%s) has %u bytes; at most %u are possible", index,
                             region->name, region->size, max);
    if (!is_map(region) && region_has_map_fields(region))
        return jit_error_set(error, -EINVAL, RULE, "region %u (%s) is no map but is described as one", index,
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
            return jit_error_set(error, -EINVAL, RULE, "native %u has a name that none can have", i);
        if (!memchr(native->prototype, '\0', sizeof(native->prototype)))
            return jit_error_set(error, -EINVAL, RULE, "native %u has a prototype without an end", i);
        r = native_parse(native->prototype, bytecode->context, &ignored, error);
    }
    return r;
}

static int check_fields(const struct bytecode *bytecode, struct jit_error *error)
{
    if (bytecode->context[0] && !context_name_valid(bytecode->context, sizeof(bytecode->context)))
        return jit_error_set(error, -EINVAL, RULE, "the context's name is not valid");
    for (uint32_t i = 0; i < bytecode->fields; i++)
        if (!memchr(bytecode->field[i].name, '\0', sizeof(bytecode->field[i].name)))
            return jit_error_set(error, -EINVAL, RULE, "field %u has a name without an end", i);
    return 0;
}

static int check_lines(const struct bytecode *bytecode, struct jit_error *error)
{
    if (bytecode->strings && (bytecode->string[0] || bytecode->string[bytecode->strings - 1]))
        return jit_error_set(error, -EINVAL, RULE, "the strings do not begin with an empty one or have no end");
    for (uint32_t i = 0; i < bytecode->lines; i++) {
        const struct bytecode_line *line = &bytecode->line[i];

        if (line->instruction >= bytecode->instructions || line->file >= bytecode->strings ||
            line->text >= bytecode->strings || (i > 0 && line->instruction <= line[-1].instruction))
            return jit_error_set(error, -EINVAL, RULE, "line %u does not belong to the program or is out of order", i);
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
    jit_error_set_at((place)->error, -EINVAL, RULE, (place)->function->name, (place)->index, __VA_ARGS__)

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
    int r = check_counts(bytecode, error);

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

/* ---- bytes ---- */

#define MAGIC 0x32636264u       /* "dbc2" */

static void transfer_header(struct stream *stream, uint32_t *magic, struct bytecode *bytecode)
{
    stream_number(stream, magic);
    stream_number(stream, &bytecode->instructions);
    stream_number(stream, &bytecode->functions);
    stream_number(stream, &bytecode->regions);
    stream_number(stream, &bytecode->natives);
    stream_number(stream, &bytecode->fields);
    stream_number(stream, &bytecode->lines);
    stream_number(stream, &bytecode->strings);
    stream_bytes(stream, bytecode->context, sizeof(bytecode->context));
}

static void transfer_instruction(struct stream *stream, struct instruction *instruction)
{
    uint32_t head = instruction->opcode | (uint32_t)instruction->registers << 8 |
                    (uint32_t)(uint16_t)instruction->offset << 16;
    uint32_t immediate = (uint32_t)instruction->immediate;

    stream_number(stream, &head);
    stream_number(stream, &immediate);
    if (stream->reading)
        *instruction = (struct instruction){ (uint8_t)head, (uint8_t)(head >> 8), (int16_t)(head >> 16),
                                             (int32_t)immediate };
}

static void transfer_type(struct stream *stream, struct typed **type)
{
    uint32_t is_there = *type != NULL;

    stream_number(stream, &is_there);
    if (is_there && !stream->failed)
        typed_transfer(stream, type);
}

static void transfer_contents(struct stream *stream, struct bytecode_region *region)
{
    uint32_t is_there = region->contents != NULL;

    stream_number(stream, &is_there);
    stream->failed |= stream->reading && is_there && region->size > stream->size - stream->position;
    if (!is_there || stream->failed)
        return;
    if (stream->reading)
        region->contents = malloc(region->size + 1ul);
    if (region->contents)
        stream_bytes(stream, region->contents, region->size);
    else
        stream->failed = true;
}

static void transfer_region(struct stream *stream, struct bytecode_region *region)
{
    uint32_t kind = region->kind;

    stream_bytes(stream, region->name, sizeof(region->name));
    stream_number(stream, &kind);
    if (stream->reading)
        region->kind = (enum bytecode_region_kind)kind;
    stream_number(stream, &region->size);
    stream_number(stream, &region->map_type);
    stream_number(stream, &region->key_size);
    stream_number(stream, &region->value_size);
    stream_number(stream, &region->max_entries);
    stream_number(stream, &region->map_flags);
    stream_number(stream, &region->inner);
    transfer_type(stream, &region->key_type);
    transfer_type(stream, &region->value_type);
    transfer_contents(stream, region);
}

static void transfer_body(struct stream *stream, struct bytecode *bytecode)
{
    for (uint32_t i = 0; i < bytecode->instructions; i++)
        transfer_instruction(stream, &bytecode->instruction[i]);
    for (uint32_t i = 0; i < bytecode->functions; i++) {
        stream_bytes(stream, bytecode->function[i].name, sizeof(bytecode->function[i].name));
        stream_number(stream, &bytecode->function[i].first);
        stream_number(stream, &bytecode->function[i].count);
    }
    for (uint32_t i = 0; i < bytecode->regions; i++)
        transfer_region(stream, &bytecode->region[i]);
    for (uint32_t i = 0; i < bytecode->natives; i++) {
        stream_bytes(stream, bytecode->native[i].name, sizeof(bytecode->native[i].name));
        stream_bytes(stream, bytecode->native[i].prototype, sizeof(bytecode->native[i].prototype));
    }
    for (uint32_t i = 0; i < bytecode->fields; i++) {
        stream_bytes(stream, bytecode->field[i].name, sizeof(bytecode->field[i].name));
        stream_number(stream, &bytecode->field[i].offset);
        stream_number(stream, &bytecode->field[i].size);
    }
    for (uint32_t i = 0; i < bytecode->lines; i++) {
        stream_number(stream, &bytecode->line[i].instruction);
        stream_number(stream, &bytecode->line[i].line);
        stream_number(stream, &bytecode->line[i].file);
        stream_number(stream, &bytecode->line[i].text);
    }
    stream_bytes(stream, bytecode->string, bytecode->strings);
}

int bytecode_encode(const struct bytecode *bytecode, void **ret, size_t *ret_size)
{
    struct bytecode *source = (struct bytecode *)(uintptr_t)bytecode;   /* writing leaves it as it is */
    struct stream stream = { .size = 0 };
    uint32_t magic = MAGIC;

    transfer_header(&stream, &magic, source);
    transfer_body(&stream, source);
    stream = (struct stream){ .at = malloc(stream.position), .size = stream.position };
    if (!stream.at)
        return -ENOMEM;
    transfer_header(&stream, &magic, source);
    transfer_body(&stream, source);
    *ret = stream.at;
    *ret_size = stream.size;
    return 0;
}

static int decode(struct stream *stream, struct bytecode **ret, struct jit_error *error)
{
    struct bytecode header = { .instructions = 0 };
    uint32_t magic = 0;
    int r;

    transfer_header(stream, &magic, &header);
    if (stream->failed || magic != MAGIC)
        return jit_error_set(error, -EINVAL, RULE, "these bytes are no program in canonical form");
    r = check_counts(&header, error);
    if (r < 0)
        return r;
    *ret = bytecode_new(&header);
    if (!*ret)
        return -ENOMEM;
    memcpy((*ret)->context, header.context, sizeof(header.context));
    transfer_body(stream, *ret);
    if (stream->failed || stream->position != stream->size)
        return jit_error_set(error, -EINVAL, RULE, "the program's bytes are cut off or too many");
    return bytecode_check(*ret, error);
}

int bytecode_decode(const void *bytes, size_t size, struct bytecode **ret, struct jit_error *error)
{
    struct stream stream = { .at = (uint8_t *)(uintptr_t)bytes, .size = size, .reading = true };
    struct bytecode *bytecode = NULL;
    int r = decode(&stream, &bytecode, error);

    if (r < 0) {
        bytecode_free(bytecode);
        return r;
    }
    *ret = bytecode;
    return 0;
}
