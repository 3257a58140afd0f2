/* SPDX-License-Identifier: MIT */
#include "bytecode.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bytecode_check.h"
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

/* ---- maps ---- */

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
        return jit_error_set(error, -EINVAL, BYTECODE_RULE, "these bytes are no program in canonical form");
    r = bytecode_check_counts(&header, error);
    if (r < 0)
        return r;
    *ret = bytecode_new(&header);
    if (!*ret)
        return -ENOMEM;
    memcpy((*ret)->context, header.context, sizeof(header.context));
    transfer_body(stream, *ret);
    if (stream->failed || stream->position != stream->size)
        return jit_error_set(error, -EINVAL, BYTECODE_RULE, "the program's bytes are cut off or too many");
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
