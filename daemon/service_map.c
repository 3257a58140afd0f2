/* SPDX-License-Identifier: MIT */
/* See service_map.h. */
#include "service_map.h"

#include <errno.h>
#include <json-c/json.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>

#include "call.h"
#include "element.h"
#include "map_access.h"
#include "map_iteration.h"
#include "request.h"
#include "ring_stream.h"
#include "service.h"
#include "shared_map.h"
#include "util.h"
#include "view.h"
#include "view_map.h"

/* ---- reading parameters ---------------------------------------------------------------------------------- */

static int find_map(const struct daemon *daemon, struct call *call, struct shared_map **ret, struct refusal *refusal)
{
    const char *name = parameter_string(call_parameters(call), "map");

    *ret = registry_map(&daemon->registry, name);
    return *ret ? 0 : refuse(refusal, -ENOENT, "UnknownMap", "s", "map", name);
}

/* A key or a value, in one of its two forms.  *ret is the caller's. */
static int read_bytes(struct json_object *parameters, const char *member, const char *hex_member,
                      const struct typed *typed,
                      uint32_t size, bool complete, uint8_t **ret, struct refusal *refusal)
{
    struct json_object *json = json_object_object_get(parameters, member);
    const char *hex = parameter_string(parameters, hex_member);
    _cleanup_free_ uint8_t *bytes = malloc(size + 1);
    int r;

    if (!bytes)
        return refuse_memory(refusal);
    if (!json == !hex)
        return refuse_parameter(refusal, member, "give either %s or %s", member, hex_member);
    r = hex ? element_read_hex(hex, size, hex_member, bytes, refusal)
            : element_read(typed, json, complete, member, bytes, refusal);
    if (r >= 0)
        *ret = TAKE_POINTER(bytes);
    return r;
}

static bool has_key(struct json_object *parameters)
{
    return json_object_object_get(parameters, "key") || json_object_object_get(parameters, "key_hex");
}

static int read_key(const struct shared_map *map, struct json_object *parameters, uint8_t **ret,
                    struct refusal *refusal)
{
    if (map->definition.key_size == 0)
        return refuse_parameter(refusal, "key", "elements of a %s have no keys",
                                map_kind_find(map->definition.kind)->name);
    return read_bytes(parameters, "key", "key_hex", map->key, map->definition.key_size, true, ret, refusal);
}

static int read_value(const struct shared_map *map, struct json_object *parameters, uint8_t **ret,
                      struct refusal *refusal)
{
    if (map->definition.value_size == 0)
        return refuse_parameter(refusal, "value", "a %s has no values that could be set",
                                map_kind_find(map->definition.kind)->name);
    return read_bytes(parameters, "value", "value_hex", map->value, map->definition.value_size, false, ret, refusal);
}

/* ---- one element ----------------------------------------------------------------------------------------- */

static void reply_element(struct call *call, struct json_object *element)
{
    struct json_object *reply = json_object_new_object();

    json_object_object_add(reply, "element", element);
    call_reply(call, reply);
}

static int lookup(struct daemon *daemon, struct call *call, struct json_object **ret, struct refusal *refusal)
{
    struct json_object *parameters = call_parameters(call);
    _cleanup_free_ uint8_t *key = NULL;
    struct shared_map *map;
    int r;

    r = find_map(daemon, call, &map, refusal);
    if (r >= 0 && (map->definition.key_size > 0 || has_key(parameters)))
        r = read_key(map, parameters, &key, refusal);
    return r < 0 ? r : map_access_lookup(daemon, map, key, parameter_bool(parameters, "hex"), ret, refusal);
}

void handle_lookup_element(struct call *call, void *daemon)
{
    struct refusal refusal = { 0 };
    struct json_object *element;

    if (lookup(daemon, call, &element, &refusal) < 0)
        service_refuse(call, CONTROL_INTERFACE, &refusal);
    else
        reply_element(call, element);
}

static uint64_t read_flags(struct json_object *parameters)
{
    const char *only = parameter_string(parameters, "only");

    if (!only)
        return BPF_ANY;
    return !strcmp(only, "new") ? BPF_NOEXIST : BPF_EXIST;
}

/* What a key of a map of maps has from now on, by name; "": nothing. */
static int read_inner(const struct shared_map *map, struct json_object *parameters, const uint8_t *key, char *ret,
                      struct refusal *refusal)
{
    uint64_t flags = read_flags(parameters);
    bool exists = shared_map_inner(map, key);

    if (flags != BPF_ANY && exists != (flags == BPF_EXIST))
        return refuse(refusal, exists ? -EEXIST : -ENOENT, exists ? "ElementExists" : "UnknownElement", "s", "map",
                      map->name);
    if (!json_object_object_get(parameters, "value"))
        return refuse_parameter(refusal, "value", "give the name of the inner map, as {\"value\": NAME}");
    return request_name(json_object_object_get(parameters, "value"), "value", ret, refusal);
}

/*
 * What a map of maps holds decides what programs reach, so that is a change like attaching: durable, and answered
 * when it is live. Takes the key.
 */
static int change_inner(struct daemon *daemon, struct call *call, const struct shared_map *map, uint8_t *key,
                        bool deletes,
                        struct refusal *refusal)
{
    struct operation *operation = calloc(1, sizeof(*operation));
    int r = 0;

    if (!operation) {
        free(key);
        return refuse_memory(refusal);
    }
    operation->kind = &operation_set_inner;
    operation->key = key;
    operation->key_size = map->definition.key_size;
    strcpy(operation->map_name, map->name);
    if (!deletes)
        r = read_inner(map, call_parameters(call), key, operation->inner_name, refusal);
    if (r < 0) {
        operations_free(operation, 1);
        return r;
    }
    return service_run(daemon, call, operation, 1, service_reply_nothing, refusal);
}

static int update(struct daemon *daemon, const struct shared_map *map, struct json_object *parameters,
                  const uint8_t *key,
                  struct refusal *refusal)
{
    _cleanup_free_ uint8_t *value = NULL;
    int r;

    r = read_value(map, parameters, &value, refusal);
    return r < 0 ? r : map_access_update(daemon, map, key, value, read_flags(parameters), refusal);
}

/* Update or delete.  *ret_answered: the call will be answered, or is. */
static int change(struct daemon *daemon, struct call *call, bool deletes, bool *ret_answered, struct refusal *refusal)
{
    struct json_object *parameters = call_parameters(call);
    _cleanup_free_ uint8_t *key = NULL;
    struct shared_map *map;
    int r;

    r = find_map(daemon, call, &map, refusal);
    if (r >= 0)
        r = read_key(map, parameters, &key, refusal);
    if (r < 0)
        return r;
    *ret_answered = shared_map_is_outer(map);
    if (*ret_answered)
        return change_inner(daemon, call, map, TAKE_POINTER(key), deletes, refusal);
    return deletes ? map_access_delete(daemon, map, key, refusal) : update(daemon, map, parameters, key, refusal);
}

static void handle_change(struct daemon *daemon, struct call *call, bool deletes)
{
    struct refusal refusal = { 0 };
    bool answered = false;

    if (change(daemon, call, deletes, &answered, &refusal) < 0)
        service_refuse(call, CONTROL_INTERFACE, &refusal);
    else if (!answered)
        call_reply(call, NULL);
}

void handle_update_element(struct call *call, void *daemon)
{
    handle_change(daemon, call, false);
}

void handle_delete_element(struct call *call, void *daemon)
{
    handle_change(daemon, call, true);
}

/* ---- queues and stacks ----------------------------------------------------------------------------------- */

static int push(struct daemon *daemon, struct call *call, struct refusal *refusal)
{
    struct json_object *parameters = call_parameters(call);
    _cleanup_free_ uint8_t *value = NULL;
    struct shared_map *map;
    uint64_t flags;
    int r;

    r = find_map(daemon, call, &map, refusal);
    if (r >= 0)
        r = read_value(map, parameters, &value, refusal);
    flags = parameter_bool(parameters, "drop_oldest") ? BPF_EXIST : BPF_ANY;
    return r < 0 ? r : map_access_push(daemon, map, value, flags, refusal);
}

void handle_push_element(struct call *call, void *daemon)
{
    struct refusal refusal = { 0 };

    if (push(daemon, call, &refusal) < 0)
        service_refuse(call, CONTROL_INTERFACE, &refusal);
    else
        call_reply(call, NULL);
}

void handle_pop_element(struct call *call, void *daemon)
{
    struct refusal refusal = { 0 };
    struct json_object *element;
    struct shared_map *map;
    int r;

    r = find_map(daemon, call, &map, &refusal);
    if (r >= 0)
        r = map_access_pop(daemon, map, parameter_bool(call_parameters(call), "hex"), &element, &refusal);
    if (r < 0)
        service_refuse(call, CONTROL_INTERFACE, &refusal);
    else
        reply_element(call, element);
}

/* ---- all elements ---------------------------------------------------------------------------------------- */

void handle_iterate_map(struct call *call, void *daemon)
{
    struct refusal refusal = { 0 };
    struct shared_map *map;
    int r;

    r = find_map(daemon, call, &map, &refusal);
    if (r >= 0)
        r = map_iteration_show(daemon, map, call, parameter_bool(call_parameters(call), "hex"), &refusal);
    if (r < 0)
        service_refuse(call, CONTROL_INTERFACE, &refusal);
}

void handle_clear_map(struct call *call, void *daemon)
{
    struct refusal refusal = { 0 };
    struct shared_map *map;
    int r;

    r = find_map(daemon, call, &map, &refusal);
    if (r >= 0)
        r = map_iteration_clear(daemon, map, call, &refusal);
    if (r < 0)
        service_refuse(call, CONTROL_INTERFACE, &refusal);
}

/* ---- rings ----------------------------------------------------------------------------------------------- */

void handle_read_ring(struct call *call, void *daemon)
{
    struct json_object *parameters = call_parameters(call);
    struct refusal refusal = { 0 };
    struct shared_map *map;
    unsigned flags = 0;
    int r;

    flags |= parameter_bool(parameters, "follow") ? RING_FOLLOW : 0;
    flags |= parameter_bool(parameters, "hex") ? RING_HEX : 0;
    r = find_map(daemon, call, &map, &refusal);
    if (r >= 0)
        r = ring_stream_start(daemon, map, call, flags, &refusal);
    if (r < 0)
        service_refuse(call, CONTROL_INTERFACE, &refusal);
}

void handle_trace(struct call *call, void *userdata)
{
    struct daemon *daemon = userdata;
    struct refusal refusal = { 0 };

    if (ring_stream_start(daemon, daemon->trace, call, RING_FOLLOW, &refusal) < 0)
        service_refuse(call, CONTROL_INTERFACE, &refusal);
}

/* ---- maps ------------------------------------------------------------------------------------------------ */

void handle_show_map(struct call *call, void *daemon)
{
    struct refusal refusal = { 0 };
    struct json_object *reply;
    struct shared_map *map;

    if (find_map(daemon, call, &map, &refusal) < 0) {
        service_refuse(call, CONTROL_INTERFACE, &refusal);
        return;
    }
    reply = json_object_new_object();
    json_object_object_add(reply, "map", view_map(map));
    view_add_int(reply, "entries", map_access_count(map));
    call_reply(call, reply);
}
