/* SPDX-License-Identifier: MIT */
#include "view_map.h"

#include <json-c/json.h>
#include <linux/bpf.h>
#include <stdio.h>

#include "element.h"
#include "shared_map.h"
#include "view.h"

static const char *access_name(uint32_t flags)
{
    if (flags & BPF_F_RDONLY_PROG)
        return "read_only";
    return flags & BPF_F_WRONLY_PROG ? "write_only" : "any";
}

/* "hash of 4-byte keys, 16-byte values, 1024 entries" */
static struct json_object *view_definition(const struct map_definition *definition)
{
    char text[160];

    snprintf(text, sizeof(text), "%s of %u-byte keys, %u-byte values, %u entries",
             map_kind_find(definition->kind)->name,
             definition->key_size, definition->value_size, definition->max_entries);
    return json_object_new_string(text);
}

/* What is no C type: what the kind has none of, of no bytes; and what a map of maps has. */
static struct json_object *view_untyped(const char *text, uint32_t size)
{
    struct json_object *type = json_object_new_object();

    view_add_string(type, "text", text);
    view_add_int(type, "size", size);
    json_object_object_add(type, "members", json_object_new_array());
    return type;
}

static struct json_object *view_type(const struct typed *typed, uint32_t size)
{
    return typed && size > 0 ? element_show_type(typed) : view_untyped("", size);
}

static struct json_object *view_value_type(const struct shared_map *map)
{
    uint32_t size = map->definition.value_size;

    return shared_map_is_outer(map) ? view_untyped("map", size) : view_type(map->value, size);
}

struct json_object *view_map(const struct shared_map *map)
{
    const struct map_definition *definition = &map->definition;
    struct json_object *view = json_object_new_object();

    view_add_string(view, "name", map->name);
    view_add_string(view, "kind", map_kind_find(definition->kind)->name);
    json_object_object_add(view, "key", view_type(map->key, definition->key_size));
    json_object_object_add(view, "value", view_value_type(map));
    view_add_int(view, "max_entries", definition->max_entries);
    view_add_string(view, "access", access_name(definition->flags));
    if (shared_map_is_outer(map))
        json_object_object_add(view, "inner", view_definition(&map->inner));
    view_add_int(view, "uid", map->uid);
    view_add_int(view, "bytes", map->size);
    json_object_object_add(view, "programs", shared_map_programs(map));
    json_object_object_add(view, "outer", shared_map_outers(map));
    return view;
}
