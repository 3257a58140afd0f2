/* SPDX-License-Identifier: MIT */
#include "placement.h"

#include <assert.h>
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "image.h"
#include "memory.h"
#include "shared_map.h"
#include "target.h"

/* Per region of a translation: image offsets of its bytes (of a map, its elements), and of a map's descriptor. */
struct places {
    uint64_t region[BYTECODE_REGIONS_MAX], map[BYTECODE_REGIONS_MAX];
    uint64_t native[BYTECODE_NATIVES_MAX];      /* per native: of its stub */
};

int placement_program(struct daemon *daemon, const char *name, const struct translation *translation,
                      struct json_object *settings, uid_t uid, struct program **ret)
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
    program->uid = uid;
    *ret = program;
    return 0;
}

/* ---- maps ---------------------------------------------------------------------------------------------- */

static bool is_map(const struct translation_region *region)
{
    return region->definition.kind != 0;
}

static size_t count_maps(const struct translation *translation)
{
    size_t maps = 0;

    for (uint32_t i = 0; i < translation->regions; i++)
        maps += is_map(&translation->region[i]);
    return maps;
}

void placement_withdraw(struct program *program, uint64_t created)
{
    for (size_t i = 0; i < program->maps; i++)
        if (created & UINT64_C(1) << i)
            shared_map_withdraw(program->map[i]);
}

static void drop_maps(struct program *program, uint64_t created)
{
    placement_withdraw(program, created);
    while (program->maps > 0)
        shared_map_put(program->map[--program->maps]);
}

_Static_assert(BYTECODE_REGIONS_MAX <= 64, "a bit for each map");

int placement_maps(struct daemon *daemon, const struct translation *translation, struct program *program,
                   uint64_t *ret_created, struct refusal *refusal)
{
    uint64_t created = 0;

    program->map = calloc(count_maps(translation) + 1, sizeof(*program->map));
    if (!program->map)
        return refuse_memory(refusal);
    for (uint32_t i = 0; i < translation->regions; i++) {
        const struct translation_region *region = &translation->region[i];
        const struct map_wanted wanted = {
            .name = region->name, .definition = region->definition, .inner = region->inner, .key = region->key,
            .value = region->value,
        };
        bool is_new = false;
        int r = 0;

        if (!is_map(region))
            continue;
        r = shared_map_want(&daemon->registry, &wanted, program->uid, &program->map[program->maps], &is_new, refusal);
        if (r < 0) {
            drop_maps(program, created);
            return r;
        }
        created |= (uint64_t)is_new << program->maps++;
    }
    *ret_created = created;
    return 0;
}

/* Image offsets: the arena lies behind the text, in the window as in these numbers. */
static int place_maps(struct daemon *daemon, const struct translation *translation, struct program *program,
                      struct places *places, struct refusal *refusal)
{
    size_t next = 0;

    for (uint32_t i = 0; i < translation->regions; i++) {
        struct shared_map *map;
        int r;

        if (!is_map(&translation->region[i]))
            continue;
        map = program->map[next++];
        r = shared_map_place(map, ARENA_NONE, refusal);
        if (r < 0)
            return r;
        places->map[i] = map->descriptor;
        places->region[i] = shared_map_elements(map);
    }
    return 0;
}

/* ---- natives ------------------------------------------------------------------------------------------- */

static int place_natives(struct daemon *daemon, const struct translation *translation, struct program *program,
                         struct places *places, struct refusal *refusal)
{
    program->stub = calloc(translation->natives + 1, sizeof(*program->stub));
    if (!program->stub)
        return refuse_memory(refusal);
    for (uint32_t i = 0; i < translation->natives; i++) {
        const struct translation_native *native = &translation->native[i];

        if (target_helper_stub(daemon, native->name, native->prototype, &program->stub[i]) < 0)
            return target_refuse_stub(refusal);
        places->native[i] = (uint64_t)program->stub[i];
        program->stubs = i + 1;
    }
    return 0;
}

/* ---- data and code ------------------------------------------------------------------------------------- */

static size_t round_up(uint32_t size)
{
    return ((size_t)size + ARENA_GRANULE - 1) / ARENA_GRANULE * ARENA_GRANULE;
}

/* All variables of a program, behind each other. */
static size_t data_size(const struct translation *translation)
{
    size_t size = 0;

    for (uint32_t i = 0; i < translation->regions; i++)
        size += is_map(&translation->region[i]) ? 0 : round_up(translation->region[i].size);
    return size;
}

static int place_data(struct daemon *daemon, const struct translation *translation, struct program *program,
                      struct places *places, struct refusal *refusal)
{
    const struct arena_request request = { .size = data_size(translation), .uid = program->uid };
    uint64_t offset;
    int r;

    if (request.size == 0)
        return 0;
    r = arena_reserve(daemon->arena, &request, &offset);
    if (r < 0)
        return arena_refuse(daemon->arena, r, &request, refusal);
    program->data = offset;
    program->data_size = request.size;
    for (uint32_t i = 0; i < translation->regions; i++) {
        const struct translation_region *region = &translation->region[i];

        if (is_map(region))
            continue;
        places->region[i] = daemon->registry.arena_position + offset;
        if (region->contents)
            memcpy(arena_write(daemon->arena, offset), region->contents, region->size);
        offset += round_up(region->size);
    }
    return 0;
}

static int place_code(struct daemon *daemon, const struct code *code, const struct places *places,
                      struct program *program, struct refusal *refusal)
{
    const struct code_positions positions = {
        .region = places->region, .map = places->map, .native = places->native, .runtime = daemon->runtime,
        .linkage = (uint64_t)DD_WINDOW_LINKAGE - DD_WINDOW_TEXT,
    };
    struct image_usage usage;
    uint64_t offset;
    int r;

    r = image_reserve(daemon->image, code->size, IMAGE_FRESH, &offset);
    if (r < 0) {
        image_usage(daemon->image, &usage);
        return refuse(refusal, r, "ImageFull", "ii", "needed", (int64_t)code->size, "available", (int64_t)usage.fresh);
    }
    memcpy(image_write(daemon->image, offset), code->bytes, code->size);
    r = code_relocate(code, image_write(daemon->image, offset), offset, &positions);
    assert(r >= 0);                     /* text and arena are within reach of each other: layout.h */
    image_commit(daemon->image, offset);
    program->code = offset;
    program->code_size = code->size;
    return 0;
}

int placement(struct daemon *daemon, const struct translation *translation, struct program *program,
              struct refusal *refusal)
{
    struct places places = { 0 };
    int r;

    r = place_maps(daemon, translation, program, &places, refusal);
    if (r >= 0)
        r = place_natives(daemon, translation, program, &places, refusal);
    if (r >= 0)
        r = place_data(daemon, translation, program, &places, refusal);
    if (r >= 0)
        r = place_code(daemon, &translation->code, &places, program, refusal);
    return r;
}
