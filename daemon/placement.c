/* SPDX-License-Identifier: MIT */
#include "placement.h"

#include <assert.h>
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "image.h"
#include "memory.h"

int placement_program(struct daemon *daemon, const char *name, const struct translation *translation,
                      struct json_object *settings, struct program **ret)
{
    struct program *program;
    int r;

    r = program_new(&daemon->registry, name, translation->context, &program);
    if (r < 0)
        return r;
    snprintf(program->function, sizeof(program->function), "%s", translation->function);
    snprintf(program->licence, sizeof(program->licence), "%s", translation->licence);
    memcpy(program->digest, translation->digest, sizeof(program->digest));
    program->instructions = translation->instructions;
    program->settings = json_object_get(settings);
    *ret = program;
    return 0;
}

static size_t round_up(uint32_t size)
{
    return ((size_t)size + ARENA_GRANULE - 1) / ARENA_GRANULE * ARENA_GRANULE;
}

/* All regions of a program, behind each other. */
static size_t data_size(const struct translation *translation)
{
    size_t size = 0;

    for (uint32_t i = 0; i < translation->regions; i++)
        size += round_up(translation->region[i].size);
    return size;
}

/* Image offsets of the regions: the arena lies behind the text, in the window as in these numbers. */
static int place_data(struct daemon *daemon, const struct translation *translation, struct program *program,
                      uint64_t position[BYTECODE_REGIONS_MAX], struct refusal *refusal)
{
    size_t size = data_size(translation);
    uint64_t offset;
    int r;

    if (size == 0)
        return 0;
    r = arena_reserve(daemon->arena, size, &offset);
    if (r < 0)
        return refuse(refusal, r, "ArenaFull", "ii", "needed", (int64_t)size, "available",
                      (int64_t)arena_largest(daemon->arena));
    program->data = offset;
    program->data_size = size;
    for (uint32_t i = 0; i < translation->regions; i++) {
        const struct translation_region *region = &translation->region[i];

        position[i] = daemon->memory->text_size + offset;
        if (region->contents)
            memcpy(arena_write(daemon->arena, offset), region->contents, region->size);
        offset += round_up(region->size);
    }
    return 0;
}

static int place_code(struct daemon *daemon, const struct code *code, const uint64_t *position, struct program *program,
                      struct refusal *refusal)
{
    struct image_usage usage;
    uint64_t offset;
    int r;

    r = image_reserve(daemon->image, code->size, IMAGE_FRESH, &offset);
    if (r < 0) {
        image_usage(daemon->image, &usage);
        return refuse(refusal, r, "ImageFull", "ii", "needed", (int64_t)code->size, "available", (int64_t)usage.fresh);
    }
    memcpy(image_write(daemon->image, offset), code->bytes, code->size);
    r = code_relocate(code, image_write(daemon->image, offset), offset, position);
    assert(r >= 0);                     /* text and arena are within reach of each other: layout.h */
    image_commit(daemon->image, offset);
    program->code = offset;
    program->code_size = code->size;
    return 0;
}

static void release_data(struct daemon *daemon, struct program *program)
{
    if (program->data != ARENA_NONE)
        arena_release(daemon->arena, program->data);
    program->data = ARENA_NONE;
    program->data_size = 0;
}

int placement(struct daemon *daemon, const struct translation *translation, struct program *program,
              struct refusal *refusal)
{
    uint64_t position[BYTECODE_REGIONS_MAX] = { 0 };
    int r;

    r = place_data(daemon, translation, program, position, refusal);
    if (r >= 0)
        r = place_code(daemon, &translation->code, position, program, refusal);
    if (r < 0)
        release_data(daemon, program);
    return r;
}
