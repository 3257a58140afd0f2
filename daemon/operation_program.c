/* SPDX-License-Identifier: MIT */
/* Operations load and unload. */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "change.h"
#include "compiler.h"
#include "object.h"
#include "store.h"
#include "util.h"

static void describe_program(const struct operation *operation, char *text, size_t size)
{
    snprintf(text, size, "%s", operation->program_name);
}

/* ---- load ---------------------------------------------------------------------------------------------- */

static int refuse_object(const struct operation *operation, int r, const struct jit_error *error, struct refusal *refusal)
{
    if (r == -ENOMEM)
        return refuse_memory(refusal);
    return refuse(refusal, r, "ObjectInvalid", "ss", "program", operation->program_name, "reason", error->text);
}

static int refuse_program(const struct operation *operation, int r, const struct jit_error *error, struct refusal *refusal)
{
    if (r == -ENOMEM)
        return refuse_object(operation, r, error, refusal);
    return refuse(refusal, r, "ProgramRejected", "ssiss", "program", operation->program_name, "function",
                  error->function, "instruction", error->instruction, "rule", error->rule ? error->rule : "",
                  "reason", error->text);
}

static int check_load_names(struct daemon *daemon, const struct operation *operation, struct refusal *refusal)
{
    if (!registry_name_valid(operation->program_name))
        return refuse_parameter(refusal, "program", "\"%s\" is no name: use 1 to %d of A-Z a-z 0-9 _ . -",
                                operation->program_name, NAME_LENGTH_MAX);
    if (registry_program(&daemon->registry, operation->program_name))
        return refuse(refusal, -EEXIST, "ProgramExists", "s", "program", operation->program_name);
    if (!operation->allow_unverified)
        return refuse(refusal, -EPERM, "NotVerified", "s", "program", operation->program_name);
    if (daemon->registry.programs >= PROGRAMS_MAX)
        return refuse(refusal, -EDQUOT, "LimitExceeded", "si", "limit", "programs", "maximum", (int64_t)PROGRAMS_MAX);
    return 0;
}

/* The context that the object's section names, as a worker has declared it. */
static int check_load_context(struct daemon *daemon, struct operation *operation, struct refusal *refusal)
{
    struct shared_context *context = registry_context(&daemon->registry, operation->read->context);

    if (!context)
        return refuse(refusal, -ENOENT, "UnknownContext", "ss", "program", operation->program_name, "context",
                      operation->read->context);
    operation->context = shared_context_get(context);
    return 0;
}

static int check_load(struct daemon *daemon, struct operation *operation, struct refusal *refusal)
{
    struct jit_error error = { 0 };
    struct program *program;
    int r;

    r = check_load_names(daemon, operation, refusal);
    if (r < 0)
        return r;
    r = object_read(operation->object, operation->object_size, &operation->read, &error);
    if (r < 0)
        return refuse_object(operation, r, &error, refusal);
    r = check_load_context(daemon, operation, refusal);
    if (r < 0)
        return r;
    r = program_new(operation->program_name, daemon->image, operation->context, &program);
    if (r < 0)
        return refuse_object(operation, r, &error, refusal);
    snprintf(program->function, sizeof(program->function), "%s", operation->read->function[0].name);
    memcpy(program->digest, operation->read->digest, sizeof(program->digest));
    program->instructions = operation->read->instructions;
    r = registry_add_program(&daemon->registry, program);
    if (r < 0) {
        program_put(program);
        return refuse_object(operation, r, &error, refusal);
    }
    operation->program = program;
    return 0;
}

/* Place compiled code in bytes that were never executed: a slot may lead to them at once. */
static int place_code(struct daemon *daemon, struct program *program, const struct code *code, struct refusal *refusal)
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
    image_commit(daemon->image, offset);
    program->code = offset;
    program->code_size = code->size;
    return 0;
}

static int prepare_load(struct daemon *daemon, struct operation *operation, struct refusal *refusal)
{
    struct jit_error error = { 0 };
    struct code code = { 0 };
    int r;

    r = compile(operation->read, operation->context->description, image_architecture(daemon->image), &code, &error);
    if (r < 0)
        return refuse_program(operation, r, &error, refusal);
    r = place_code(daemon, operation->program, &code, refusal);
    free(code.bytes);
    return r;
}

static int store_load(struct daemon *daemon, const struct operation *operation)
{
    return store_add_program(daemon->store, operation->program_name, operation->context->description->name,
                             operation->object, operation->object_size, operation->program->digest);
}

static void undo_load(struct daemon *daemon, struct operation *operation)
{
    registry_remove_program(&daemon->registry, operation->program);
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
