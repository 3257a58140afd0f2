/* SPDX-License-Identifier: MIT */
#include "shared_map.h"

#include <assert.h>
#include <errno.h>
#include <json-c/json.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "util.h"

/* ---- the object ---------------------------------------------------------------------------------------- */

struct shared_map *shared_map_get(struct shared_map *map)
{
    map->references++;
    return map;
}

/* Nobody runs who may look at it. */
static void unplace(struct shared_map *map)
{
    struct registry *registry = map->registry;

    if (map->memory != ARENA_NONE) {
        if (shared_map_is_outer(map))
            image_release(registry->image, map->memory);
        else
            arena_release(registry->arena, map->memory);
    }
    if (map->descriptor != IMAGE_NONE)
        image_release(registry->image, map->descriptor);
    map->memory = ARENA_NONE;
    map->descriptor = IMAGE_NONE;
    free(TAKE_POINTER(map->view));
}

struct shared_map *shared_map_put(struct shared_map *map)
{
    if (!map || --map->references)
        return NULL;
    for (size_t i = 0; i < map->entries; i++) {
        shared_map_put(map->entry[i].inner);
        free(map->entry[i].key);
    }
    free(map->entry);
    unplace(map);
    typed_free(map->key);
    typed_free(map->value);
    free(map);
    return NULL;
}

/* Queues, stacks and rings have no keys, rings no values. */
static struct typed *copy_type(const struct typed *typed, uint32_t size)
{
    if (size == 0)
        return NULL;
    return typed ? typed_copy(typed) : typed_bytes(size);
}

int shared_map_new(struct registry *registry, const struct map_wanted *wanted, uid_t uid, uint32_t number,
                   struct shared_map **ret)
{
    struct shared_map *map = calloc(1, sizeof(*map));

    if (!map)
        return -ENOMEM;
    *map = (struct shared_map){
        .references = 1, .registry = registry, .definition = wanted->definition, .inner = wanted->inner,
        .number = number, .uid = uid, .descriptor = IMAGE_NONE, .memory = ARENA_NONE,
        .key = copy_type(wanted->key, wanted->definition.key_size),
        .value = copy_type(wanted->value, wanted->definition.value_size),
    };
    strcpy(map->name, wanted->name);
    /* Keys come from attackers: who knows the seed could send such as all fall into one bucket. */
    if (getrandom(&map->seed, sizeof(map->seed), 0) != sizeof(map->seed) ||
        (!map->key && wanted->definition.key_size > 0) || (!map->value && wanted->definition.value_size > 0)) {
        shared_map_put(map);
        return -ENOMEM;
    }
    *ret = map;
    return 0;
}

/* ---- step 1: who asks for a name gets the same map ----------------------------------------------------- */

static const char *kind_name(uint32_t kind)
{
    const struct map_kind *row = map_kind_find(kind);

    return row ? row->name : "none";
}

#define DIFFERENCE_TEXT 640

static bool numbers_differ(const char *what, const char *property, uint32_t has, uint32_t wanted, char *text)
{
    if (has == wanted)
        return false;
    snprintf(text, DIFFERENCE_TEXT, "its %s%s is %u, and %u is wanted", what, property, has, wanted);
    return true;
}

/* `what`: "inner maps' " or "". */
static bool definitions_differ(const char *what, const struct map_definition *has, const struct map_definition *wanted,
                               char *text)
{
    if (has->kind != wanted->kind) {
        snprintf(text, DIFFERENCE_TEXT, "its %skind is %s, and %s is wanted", what, kind_name(has->kind),
                 kind_name(wanted->kind));
        return true;
    }
    return numbers_differ(what, "key_size", has->key_size, wanted->key_size, text) ||
           numbers_differ(what, "value_size", has->value_size, wanted->value_size, text) ||
           numbers_differ(what, "max_entries", has->max_entries, wanted->max_entries, text) ||
           numbers_differ(what, "map_flags", has->flags, wanted->flags, text);
}

/* A map that was made without types fits all programs that agree in the sizes. */
static bool types_differ(const char *what, const struct typed *has, const struct typed *wanted, char *text)
{
    char has_text[256], wanted_text[256];

    if (!has || !wanted || has->type[0].kind == TYPED_BYTES || wanted->type[0].kind == TYPED_BYTES ||
        typed_equal(has, wanted))
        return false;
    snprintf(text, DIFFERENCE_TEXT, "its %s are %s, and %s is wanted", what,
             typed_format(has, has_text, sizeof(has_text)), typed_format(wanted, wanted_text, sizeof(wanted_text)));
    return true;
}

static int check_same(const struct shared_map *map, const struct map_wanted *wanted, struct refusal *refusal)
{
    char difference[DIFFERENCE_TEXT];

    if (!definitions_differ("", &map->definition, &wanted->definition, difference) &&
        !definitions_differ("inner maps' ", &map->inner, &wanted->inner, difference) &&
        !types_differ("keys", map->key, wanted->key, difference) &&
        !types_differ("values", map->value, wanted->value, difference))
        return 0;
    return refuse(refusal, -EEXIST, "MapMismatch", "ss", "map", map->name, "difference", difference);
}

static bool is_map_of_maps(uint32_t kind)
{
    return kind == BPF_MAP_TYPE_ARRAY_OF_MAPS || kind == BPF_MAP_TYPE_HASH_OF_MAPS;
}

static int check_definition(const struct map_wanted *wanted, struct refusal *refusal)
{
    struct jit_error error = { 0 };
    struct map layout;
    int r;

    if (is_map_of_maps(wanted->definition.kind) != (wanted->inner.kind != 0))
        return refuse(refusal, -EINVAL, "MapInvalid", "ss", "map", wanted->name, "reason",
                      "maps of maps, and no others, say what their inner maps are");
    if (is_map_of_maps(wanted->inner.kind))
        return refuse(refusal, -EINVAL, "MapInvalid", "ss", "map", wanted->name, "reason",
                      "the maps in a map of maps cannot be maps of maps");
    r = map_lay_out(&wanted->definition, &layout, &error);
    if (r >= 0 && wanted->inner.kind)
        r = map_lay_out(&wanted->inner, &layout, &error);
    return r < 0 ? refuse(refusal, r, "MapInvalid", "ss", "map", wanted->name, "reason", error.text) : 0;
}

int shared_map_want(struct registry *registry, const struct map_wanted *wanted, uid_t uid, struct shared_map **ret,
                    bool *ret_created, struct refusal *refusal)
{
    struct shared_map *map = registry_map(registry, wanted->name);
    int r;

    if (map) {
        r = check_same(map, wanted, refusal);
        if (r < 0)
            return r;
        *ret = shared_map_get(map);
        *ret_created = false;
        return 0;
    }
    r = check_definition(wanted, refusal);
    if (r < 0)
        return r;
    if (registry->maps >= MAPS_MAX)
        return refuse(refusal, -EDQUOT, "LimitExceeded", "si", "limit", "maps", "maximum", (int64_t)MAPS_MAX);
    r = shared_map_new(registry, wanted, uid, registry->next_map, &map);
    if (r >= 0) {
        r = registry_add_map(registry, map);
        if (r < 0)
            shared_map_put(map);
    }
    if (r < 0)
        return refuse_memory(refusal);
    registry->next_map++;
    *ret = shared_map_get(map);
    *ret_created = true;
    return 0;
}

void shared_map_withdraw(struct shared_map *map)
{
    registry_remove_map(map->registry, map);
    shared_map_put(map);
}

/* ---- step 2: descriptor and memory --------------------------------------------------------------------- */

static int refuse_image(const struct registry *registry, int r, size_t needed, struct refusal *refusal)
{
    struct image_usage usage;

    image_usage(registry->image, &usage);
    return refuse(refusal, r, "ImageFull", "ii", "needed", (int64_t)needed, "available", (int64_t)usage.largest);
}

/* Nothing is executed here, so bytes that are not fresh will do. */
static int reserve_image(struct registry *registry, size_t size, uint64_t *ret, struct refusal *refusal)
{
    int r = image_reserve(registry->image, size, IMAGE_ANY, ret);

    if (r < 0)
        return refuse_image(registry, r, size, refusal);
    memset(image_write(registry->image, *ret), 0, size);
    image_commit(registry->image, *ret);
    return 0;
}

/* A copy for each seat is much memory, of which few processes use much. */
static int reserve_arena(struct shared_map *map, bool sparse, uint64_t at, struct refusal *refusal)
{
    const struct arena_request request = { .size = map->size, .uid = map->uid, .sparse = sparse };
    struct arena *arena = map->registry->arena;
    uint64_t offset = at;
    int r;

    r = at == ARENA_NONE ? arena_reserve(arena, &request, &offset) : arena_reserve_at(arena, &request, at);
    if (r < 0)
        return arena_refuse(arena, r, &request, refusal);
    map->memory = offset;
    return 0;
}

static int reserve_memory(struct shared_map *map, const struct map *layout, uint64_t at, struct refusal *refusal)
{
    if (shared_map_is_outer(map))
        return reserve_image(map->registry, map->size, &map->memory, refusal);
    return reserve_arena(map, layout->copy_stride > 0, at, refusal);
}

/* As an image offset: in windows the arena stands behind the text. */
static uint64_t memory_position(const struct shared_map *map)
{
    return shared_map_is_outer(map) ? map->memory : map->registry->arena_position + map->memory;
}

uint64_t shared_map_elements(const struct shared_map *map)
{
    return memory_position(map) + map->view->elements_at;
}

static void write_descriptor(struct shared_map *map, const struct map *layout)
{
    const struct registry *registry = map->registry;
    struct map *descriptor = image_write(registry->image, map->descriptor);

    *descriptor = *layout;
    descriptor->memory = (int64_t)(memory_position(map) - map->descriptor);
    descriptor->arena = (int64_t)(registry->arena_position - map->descriptor);
}

/*
 * The same for the daemon's mappings.  Changes of maps of maps are journalled in seats of the daemon's own: no worker
 * can be in the way of them.
 */
static int make_view(struct shared_map *map, const struct map *layout)
{
    struct registry *registry = map->registry;
    const uint8_t *memory, *arena;

    if (shared_map_is_outer(map) && !registry->private_seats)
        registry->private_seats = calloc(1, ARENA_HEAD_SIZE);
    map->view = aligned_alloc(ARENA_GRANULE, sizeof(*map->view));
    if (!map->view || (shared_map_is_outer(map) && !registry->private_seats))
        return -ENOMEM;
    memory = shared_map_is_outer(map) ? image_write(registry->image, map->memory)
                                      : arena_write(registry->arena, map->memory);
    arena = shared_map_is_outer(map) ? registry->private_seats : arena_write(registry->arena, 0);
    *map->view = *layout;
    map->view->memory = (int64_t)((uintptr_t)memory - (uintptr_t)map->view);
    map->view->arena = (int64_t)((uintptr_t)arena - (uintptr_t)map->view);
    return 0;
}

int shared_map_place(struct shared_map *map, uint64_t at, struct refusal *refusal)
{
    struct jit_error error = { 0 };
    struct map layout;
    int r;

    if (map->view)
        return 0;
    r = map_lay_out(&map->definition, &layout, &error);
    if (r < 0)
        return refuse(refusal, r, "MapInvalid", "ss", "map", map->name, "reason", error.text);
    layout.number = map->number;
    layout.seed = map->seed;
    map->size = layout.size;
    r = reserve_memory(map, &layout, at, refusal);
    if (r >= 0)
        r = reserve_image(map->registry, sizeof(layout), &map->descriptor, refusal);
    if (r >= 0) {
        r = make_view(map, &layout);
        if (r < 0)
            refuse_memory(refusal);
    }
    if (r < 0) {
        unplace(map);
        return r;
    }
    write_descriptor(map, &layout);
    return 0;
}

/* ---- users --------------------------------------------------------------------------------------------- */

struct json_object *shared_map_programs(const struct shared_map *map)
{
    const struct registry *registry = map->registry;
    struct json_object *array = json_object_new_array();

    for (size_t i = 0; i < registry->programs; i++)
        for (size_t j = 0; j < registry->program[i]->maps; j++)
            if (registry->program[i]->map[j] == map)
                json_object_array_add(array, json_object_new_string(registry->program[i]->name));
    return array;
}

static bool has_inner(const struct shared_map *outer, const struct shared_map *inner)
{
    for (size_t i = 0; i < outer->entries; i++)
        if (outer->entry[i].inner == inner)
            return true;
    return false;
}

struct json_object *shared_map_outers(const struct shared_map *map)
{
    const struct registry *registry = map->registry;
    struct json_object *array = json_object_new_array();

    for (size_t i = 0; i < registry->maps; i++)
        if (has_inner(registry->map[i], map))
            json_object_array_add(array, json_object_new_string(registry->map[i]->name));
    return array;
}

/* ---- maps of maps -------------------------------------------------------------------------------------- */

/* What programs were proven with; the number of entries is looked up in the inner map itself. */
int shared_map_check_inner(const struct shared_map *outer, const struct shared_map *inner, struct refusal *refusal)
{
    struct map_definition wanted = outer->inner;
    char difference[DIFFERENCE_TEXT];

    wanted.max_entries = inner->definition.max_entries;
    if (!definitions_differ("", &inner->definition, &wanted, difference))
        return 0;
    return refuse(refusal, -EINVAL, "MapMismatch", "ss", "map", inner->name, "difference", difference);
}

/* Index of the first entry that is not below the key; *ret_found: it is that of the key. */
static size_t find_entry(const struct shared_map *outer, const void *key, bool *ret_found)
{
    size_t low = 0, high = outer->entries;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (memcmp(outer->entry[middle].key, key, outer->definition.key_size) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_found = low < outer->entries && !memcmp(outer->entry[low].key, key, outer->definition.key_size);
    return low;
}

struct shared_map *shared_map_inner(const struct shared_map *outer, const void *key)
{
    bool found;
    size_t at = find_entry(outer, key, &found);

    return found ? outer->entry[at].inner : NULL;
}

/* -E2BIG, -ENOENT: there is no place for a new key. */
static int check_place(const struct shared_map *outer, const void *key)
{
    uint32_t index, used = 0;

    if (outer->definition.kind == BPF_MAP_TYPE_ARRAY_OF_MAPS) {
        memcpy(&index, key, sizeof(index));
        return index < outer->definition.max_entries ? 0 : -ENOENT;
    }
    for (size_t i = 0; i < outer->entries; i++)
        used += outer->entry[i].inner != NULL;
    return used < outer->definition.max_entries ? 0 : -E2BIG;
}

static int make_room(struct shared_map *outer)
{
    size_t wanted = outer->entries_capacity ? 2 * outer->entries_capacity : 8;
    struct map_entry *larger;

    if (outer->entries < outer->entries_capacity)
        return 0;
    larger = reallocarray(outer->entry, wanted, sizeof(*larger));
    if (!larger)
        return -ENOMEM;
    outer->entry = larger;
    outer->entries_capacity = wanted;
    return 0;
}

int shared_map_reserve_inner(struct shared_map *outer, const void *key)
{
    struct map_entry *entry;
    uint8_t *copy;
    bool found;
    size_t at = find_entry(outer, key, &found);
    int r;

    if (found && outer->entry[at].inner)
        return 0;
    r = check_place(outer, key);
    if (r >= 0 && !found)
        r = make_room(outer);
    if (r < 0 || found)
        return r;
    copy = malloc(outer->definition.key_size);
    if (!copy)
        return -ENOMEM;
    memcpy(copy, key, outer->definition.key_size);
    entry = &outer->entry[at];
    memmove(entry + 1, entry, (outer->entries++ - at) * sizeof(*entry));
    *entry = (struct map_entry){ .key = copy };
    return 0;
}

struct shared_map *shared_map_set_inner(struct shared_map *outer, const void *key, struct shared_map *inner)
{
    bool found;
    size_t at = find_entry(outer, key, &found);
    struct shared_map *previous;

    assert(found);
    previous = outer->entry[at].inner;
    outer->entry[at].inner = inner;
    return previous;
}

void shared_map_prune_inner(struct shared_map *outer, const void *key)
{
    bool found;
    size_t at = find_entry(outer, key, &found);
    struct map_entry *entry = &outer->entry[at];

    if (!found || entry->inner)
        return;
    free(entry->key);
    memmove(entry, entry + 1, (--outer->entries - at) * sizeof(*entry));
}

/*
 * Readers load a distance as one word, and it decides where they read next: so it is stored as one word.  (In a table
 * of hashes an element is filled before it is linked; the runtime copies values of 8 bytes by words.)
 */
void shared_map_show_inner(struct shared_map *outer, const void *key)
{
    const struct shared_map *inner = shared_map_inner(outer, key);
    int64_t distance = inner ? (int64_t)(inner->descriptor - outer->descriptor) : 0;
    struct thread thread = { .line = SEAT_LINE(0, 1) };
    long r = 0;

    if (outer->definition.kind == BPF_MAP_TYPE_ARRAY_OF_MAPS)
        WRITE_ONCE(*(int64_t *)array_lookup(outer->view, key), distance);
    else if (inner)
        r = hash_update(outer->view, key, &distance, BPF_ANY, 0, &thread);
    else
        r = hash_delete(outer->view, key, 0, 0, 0, &thread);
    assert(r == 0 || (r == -ENOENT && !inner));         /* nobody else writes here, and room was made */
}
