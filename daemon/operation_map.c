/* SPDX-License-Identifier: MIT */
/* Operations create-map, remove-map and set-inner.  Maps are also created by load: operation_program.c. */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "change.h"
#include "map_row.h"
#include "shared_map.h"
#include "store.h"

static void describe_map(const struct operation *operation, char *text, size_t size)
{
    snprintf(text, size, "%s", operation->map_name);
}

static int find_map(const struct daemon *daemon, const char *name, struct shared_map **ret, struct refusal *refusal)
{
    *ret = registry_map(&daemon->registry, name);
    return *ret ? 0 : refuse(refusal, -ENOENT, "UnknownMap", "s", "map", name);
}

/* ---- create-map ---------------------------------------------------------------------------------------- */

/* The maps that a map of maps may hold are like another one, which stays as it is. */
static int find_template(const struct daemon *daemon, struct operation *operation, struct refusal *refusal)
{
    struct shared_map *inner;
    int r;

    if (!*operation->inner_name)
        return 0;
    r = find_map(daemon, operation->inner_name, &inner, refusal);
    if (r < 0)
        return r;
    operation->inner_definition = inner->definition;
    operation->definition.value_size = sizeof(uint64_t);
    return 0;
}

static int check_create(struct daemon *daemon, struct operation *operation, struct refusal *refusal)
{
    int r = find_template(daemon, operation, refusal);
    const struct map_wanted wanted = {
        .name = operation->map_name, .definition = operation->definition, .inner = operation->inner_definition,
        .key = operation->key_type, .value = operation->value_type,
    };

    if (r < 0)
        return r;
    if (!registry_name_valid(operation->map_name))
        return refuse_parameter(refusal, "map", "\"%s\" is no name: use 1 to %d of A-Z a-z 0-9 _ . -",
                                operation->map_name, NAME_LENGTH_MAX);
    if (registry_map(&daemon->registry, operation->map_name))
        return refuse(refusal, -EEXIST, "MapExists", "s", "map", operation->map_name);
    return shared_map_want(&daemon->registry, &wanted, operation->uid, &operation->map, &operation->created, refusal);
}

static int prepare_create(struct daemon *daemon, struct operation *operation, struct refusal *refusal)
{
    (void)daemon;
    return shared_map_place(operation->map, ARENA_NONE, refusal);
}

static int store_create(struct daemon *daemon, const struct operation *operation)
{
    return map_row_add(daemon->store, operation->map);
}

static void undo_create(struct daemon *daemon, struct operation *operation)
{
    (void)daemon;
    shared_map_withdraw(operation->map);
    operation->map = shared_map_put(operation->map);
}

static void release_create(struct daemon *daemon, struct operation *operation)
{
    (void)daemon;
    operation->map = shared_map_put(operation->map);
}

const struct operation_kind operation_create_map = {
    .name = "create_map",
    .check = check_create,
    .prepare = prepare_create,
    .store = store_create,
    .undo = undo_create,
    .release = release_create,
    .describe = describe_map,
};

/* ---- remove-map ---------------------------------------------------------------------------------------- */

static int check_remove(struct daemon *daemon, struct operation *operation, struct refusal *refusal)
{
    struct json_object *programs, *outers;
    struct shared_map *map;
    int r;

    r = find_map(daemon, operation->map_name, &map, refusal);
    if (r < 0)
        return r;
    programs = shared_map_programs(map);
    outers = shared_map_outers(map);
    if (json_object_array_length(programs) > 0 || json_object_array_length(outers) > 0)
        return refuse(refusal, -EBUSY, "MapInUse", "soo", "map", map->name, "programs", programs, "maps", outers);
    json_object_put(programs);
    json_object_put(outers);
    registry_remove_map(&daemon->registry, map);
    operation->map = map;
    return 0;
}

static int store_remove(struct daemon *daemon, const struct operation *operation)
{
    return store_remove_map(daemon->store, operation->map->number);
}

static void undo_remove(struct daemon *daemon, struct operation *operation)
{
    registry_add_map(&daemon->registry, operation->map);        /* its place is still there */
    operation->map = NULL;
}

/* The registration's reference.  No thread is in a program any more that used it when it was removed. */
static void release_remove(struct daemon *daemon, struct operation *operation)
{
    (void)daemon;
    operation->map = shared_map_put(operation->map);
}

const struct operation_kind operation_remove_map = {
    .name = "remove_map",
    .check = check_remove,
    .store = store_remove,
    .undo = undo_remove,
    .release = release_remove,
    .describe = describe_map,
};

/* ---- set-inner ----------------------------------------------------------------------------------------- */

static int check_outer(struct daemon *daemon, const struct operation *operation, struct shared_map **ret,
                       struct refusal *refusal)
{
    int r = find_map(daemon, operation->map_name, ret, refusal);

    if (r < 0)
        return r;
    if (!shared_map_is_outer(*ret))
        return refuse_parameter(refusal, "map", "\"%s\" is no map of maps", operation->map_name);
    if (operation->key_size != (*ret)->definition.key_size)
        return refuse_parameter(refusal, "key", "it has %zu bytes; keys of \"%s\" have %u", operation->key_size,
                                operation->map_name, (*ret)->definition.key_size);
    return 0;
}

/* The programs that look it up were proven with what the outer map says of its inner maps. */
static int check_inner(struct daemon *daemon, const struct operation *operation, const struct shared_map *outer,
                       struct shared_map **ret, struct refusal *refusal)
{
    int r;

    *ret = NULL;
    if (!*operation->inner_name)
        return shared_map_inner(outer, operation->key)
                   ? 0 : refuse(refusal, -ENOENT, "UnknownElement", "s", "map", outer->name);
    r = find_map(daemon, operation->inner_name, ret, refusal);
    return r < 0 ? r : shared_map_check_inner(outer, *ret, refusal);
}

static int check_set(struct daemon *daemon, struct operation *operation, struct refusal *refusal)
{
    struct shared_map *outer, *inner;
    int r;

    r = check_outer(daemon, operation, &outer, refusal);
    if (r >= 0)
        r = check_inner(daemon, operation, outer, &inner, refusal);
    if (r < 0)
        return r;
    r = shared_map_reserve_inner(outer, operation->key);
    if (r == -E2BIG)
        return refuse(refusal, r, "MapFull", "si", "map", outer->name, "max_entries",
                      (int64_t)outer->definition.max_entries);
    if (r == -ENOENT)
        return refuse(refusal, r, "UnknownElement", "s", "map", outer->name);
    if (r < 0)
        return refuse_memory(refusal);
    operation->map = shared_map_get(outer);
    operation->inner = shared_map_set_inner(outer, operation->key, inner ? shared_map_get(inner) : NULL);
    return 0;
}

/* A map that this change has created was placed by its operation, which stands before this one. */
static int store_set(struct daemon *daemon, const struct operation *operation)
{
    const struct shared_map *inner = shared_map_inner(operation->map, operation->key);

    return store_set_inner(daemon->store, operation->map->number, operation->key, operation->key_size,
                           inner ? inner->number : 0);
}

static void show_set(struct daemon *daemon, struct operation *operation)
{
    (void)daemon;
    shared_map_show_inner(operation->map, operation->key);
}

static void drop_set(struct operation *operation)
{
    shared_map_prune_inner(operation->map, operation->key);
    operation->inner = shared_map_put(operation->inner);
    operation->map = shared_map_put(operation->map);
}

static void undo_set(struct daemon *daemon, struct operation *operation)
{
    (void)daemon;
    operation->inner = shared_map_set_inner(operation->map, operation->key, operation->inner);
    drop_set(operation);
}

/* No thread that looked the key up before is in a program any more: the inner map that it had may go. */
static void release_set(struct daemon *daemon, struct operation *operation)
{
    (void)daemon;
    drop_set(operation);
}

static void describe_set(const struct operation *operation, char *text, size_t size)
{
    snprintf(text, size, "%s: %s", operation->map_name, *operation->inner_name ? operation->inner_name : "(nothing)");
}

const struct operation_kind operation_set_inner = {
    .name = "set_inner",
    .check = check_set,
    .store = store_set,
    .show = show_set,
    .undo = undo_set,
    .release = release_set,
    .describe = describe_set,
};
