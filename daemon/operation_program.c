/* SPDX-License-Identifier: MIT */
/* Operations load and unload. */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>

#include "change.h"
#include "map_row.h"
#include "placement.h"
#include "store.h"

static void describe_program(const struct operation *operation, char *text, size_t size)
{
    snprintf(text, size, "%s", operation->program_name);
}

/* ---- load ---------------------------------------------------------------------------------------------- */

static int check_load_names(struct daemon *daemon, const struct operation *operation, struct refusal *refusal)
{
    if (!registry_name_valid(operation->program_name))
        return refuse_parameter(refusal, "program", "\"%s\" is no name: use 1 to %d of A-Z a-z 0-9 _ . -",
                                operation->program_name, NAME_LENGTH_MAX);
    if (registry_program(&daemon->registry, operation->program_name))
        return refuse(refusal, -EEXIST, "ProgramExists", "s", "program", operation->program_name);
    if (daemon->registry.programs >= PROGRAMS_MAX)
        return refuse(refusal, -EDQUOT, "LimitExceeded", "si", "limit", "programs", "maximum", (int64_t)PROGRAMS_MAX);
    return 0;
}

/*
 * The translation is done (step 0), for a context that it pins: registry_context() finds no other description of the
 * name as long as this one is referred to.
 */
static int check_load(struct daemon *daemon, struct operation *operation, struct refusal *refusal)
{
    struct program *program;
    int r;

    r = check_load_names(daemon, operation, refusal);
    if (r < 0)
        return r;
    if (placement_program(daemon, operation->program_name, operation->translation, operation->settings, operation->uid,
                          &program) < 0)
        return refuse_memory(refusal);
    r = placement_maps(daemon, operation->translation, program, &operation->maps_created, refusal);
    if (r >= 0 && registry_add_program(&daemon->registry, program) < 0) {
        placement_withdraw(program, operation->maps_created);
        r = refuse_memory(refusal);
    }
    if (r < 0) {
        program_put(program);
        return r;
    }
    operation->program = program;
    return 0;
}

static int prepare_load(struct daemon *daemon, struct operation *operation, struct refusal *refusal)
{
    return placement(daemon, operation->translation, operation->program, refusal);
}

/* Maps that come with it. */
static int store_maps(struct daemon *daemon, const struct operation *operation)
{
    int r = 0;

    for (size_t i = 0; r >= 0 && i < operation->program->maps; i++)
        if (operation->maps_created & UINT64_C(1) << i)
            r = map_row_add(daemon->store, operation->program->map[i]);
    return r;
}

static int store_load(struct daemon *daemon, const struct operation *operation)
{
    const struct program *program = operation->program;
    struct json_object *settings = operation->settings;
    const struct store_program row = {
        .name = program->name, .context = program->context->description->name, .function = program->function,
        .settings = settings ? json_object_to_json_string_ext(settings, JSON_C_TO_STRING_PLAIN) : "{}",
        .uid = program->uid, .object = operation->object, .size = operation->object_size,
    };
    int r = store_maps(daemon, operation);

    return r < 0 ? r : store_add_program(daemon->store, &row, program->digest);
}

static void undo_load(struct daemon *daemon, struct operation *operation)
{
    registry_remove_program(&daemon->registry, operation->program);
    placement_withdraw(operation->program, operation->maps_created);
    operation->program = program_put(operation->program);
}

const struct operation_kind operation_load = {
    .name = "load",
    .check = check_load,
    .prepare = prepare_load,
    .store = store_load,
    .undo = undo_load,
    .describe = describe_program,
};

/* ---- unload -------------------------------------------------------------------------------------------- */

/* The ids of the links that hold a program, as JSON. */
static struct json_object *links_of(const struct program *program)
{
    struct json_object *array = json_object_new_array();

    for (size_t i = 0; i < program->links; i++)
        json_object_array_add(array, json_object_new_int64(program->link[i]->id));
    return array;
}

static int check_unload(struct daemon *daemon, struct operation *operation, struct refusal *refusal)
{
    struct program *program = registry_program(&daemon->registry, operation->program_name);

    if (!program)
        return refuse(refusal, -ENOENT, "UnknownProgram", "s", "program", operation->program_name);
    if (program->links)
        return refuse(refusal, -EBUSY, "ProgramInUse", "so", "program", program->name, "links", links_of(program));
    registry_remove_program(&daemon->registry, program);
    operation->program = program;
    return 0;
}

static int store_unload(struct daemon *daemon, const struct operation *operation)
{
    return store_remove_program(daemon->store, operation->program_name);
}

static void undo_unload(struct daemon *daemon, struct operation *operation)
{
    registry_add_program(&daemon->registry, operation->program);       /* its place is still there */
}

/* The registration's reference. */
static void release_unload(struct daemon *daemon, struct operation *operation)
{
    (void)daemon;
    operation->program = program_put(operation->program);
}

const struct operation_kind operation_unload = {
    .name = "unload",
    .check = check_unload,
    .store = store_unload,
    .undo = undo_unload,
    .release = release_unload,
    .describe = describe_program,
};
