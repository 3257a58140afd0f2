/* SPDX-License-Identifier: MIT */
#include "restore.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler.h"
#include "object.h"
#include "store.h"
#include "util.h"
#include "workers.h"

struct restore {
    struct daemon *daemon;
    struct shared_context **context;    /* all of the database's, a reference each */
    size_t contexts;
    char *text;
    size_t size;
};

static struct shared_context *find_context(const struct restore *restore, const char *name)
{
    for (size_t i = 0; i < restore->contexts; i++)
        if (!strcmp(restore->context[i]->description->name, name))
            return restore->context[i];
    return NULL;
}

static int restore_context(void *userdata, struct context *context)
{
    struct restore *restore = userdata;
    struct shared_context **larger;
    int r;

    larger = reallocarray(restore->context, restore->contexts + 1, sizeof(*larger));
    if (!larger) {
        context_free(context);
        return -ENOMEM;
    }
    restore->context = larger;
    r = shared_context_new(context, &restore->context[restore->contexts]);
    if (r < 0)
        context_free(context);
    else
        restore->contexts++;
    return r;
}

static int restore_table(void *userdata, const char *name, const char *context_name, uint32_t default_verdict)
{
    struct restore *restore = userdata;
    struct shared_context *context = find_context(restore, context_name);
    struct table *table = NULL;
    int r = -EBADMSG;

    if (context && registry_name_valid(name))
        r = table_new(name, context, default_verdict, &table);
    if (r >= 0)
        r = entry_new(restore->daemon->image, default_verdict, &table->entry);
    if (r >= 0)
        r = registry_add_table(&restore->daemon->registry, table);
    if (r < 0) {
        table_free(table);
        snprintf(restore->text, restore->size, "table \"%s\": %s", name, strerror(-r));
    }
    return r;
}

static int place(struct restore *restore, struct program *program, const struct object *object, struct jit_error *error)
{
    struct image *image = restore->daemon->image;
    struct code code = { 0 };
    int r;

    r = compile(object, program->context->description, image_architecture(image), &code, error);
    if (r < 0)
        return r;
    r = image_reserve(image, code.size, IMAGE_FRESH, &program->code);
    if (r >= 0) {
        memcpy(image_write(image, program->code), code.bytes, code.size);
        image_commit(image, program->code);
        program->code_size = code.size;
    } else {
        program->code = IMAGE_NONE;
        jit_error_set(error, r, "image", "the image is full: start with a larger --text-size");
    }
    free(code.bytes);
    return r;
}

static int restore_program(void *userdata, const char *name, const char *context_name, const void *bytes, size_t size)
{
    struct restore *restore = userdata;
    struct shared_context *context = find_context(restore, context_name);
    struct jit_error error = { .text = "its row is damaged" };
    struct object *object = NULL;
    struct program *program = NULL;
    int r = -EBADMSG;

    if (context && registry_name_valid(name))
        r = object_read(bytes, size, &object, &error);
    if (r >= 0)
        r = program_new(name, restore->daemon->image, context, &program);
    if (r >= 0) {
        snprintf(program->function, sizeof(program->function), "%s", object->function[0].name);
        memcpy(program->digest, object->digest, sizeof(program->digest));
        program->instructions = object->instructions;
        r = place(restore, program, object, &error);
    }
    if (r >= 0)
        r = registry_add_program(&restore->daemon->registry, program);
    object_free(object);
    if (r < 0) {
        program_put(program);
        snprintf(restore->text, restore->size, "program \"%s\": %s", name, error.text);
    }
    return r;
}

static int restore_link(void *userdata, int64_t id, const char *table_name, uint32_t key, const char *program_name)
{
    struct restore *restore = userdata;
    struct table *table = registry_table(&restore->daemon->registry, table_name);
    struct program *program = registry_program(&restore->daemon->registry, program_name);
    struct link *link;
    int r = -EBADMSG;

    if (table && program)
        r = link_new(id, table, key, program, &link);
    if (r >= 0) {
        r = registry_add_link(&restore->daemon->registry, link);
        if (r < 0)
            link_free(link);
    }
    if (r < 0)
        snprintf(restore->text, restore->size, "link %" PRId64 ": %s", id, strerror(-r));
    return r;
}

static int restore_worker(void *userdata, pid_t pid, uint64_t start_time, uid_t uid, const char *name)
{
    struct restore *restore = userdata;

    return workers_remember(restore->daemon->workers, pid, start_time, uid, name);
}

/* Nobody executes the image yet, so the code may be written where it is to stay: what fitted once always fits again. */
static int build_table(struct restore *restore, struct table *table)
{
    _cleanup_free_ struct dispatcher_case *cases = NULL;
    int r;

    if (!table->links)
        return 0;
    r = table_cases(table, &cases);
    if (r >= 0)
        r = entry_start(table->entry, cases, table->links);
    if (r < 0)
        snprintf(restore->text, restore->size, "table \"%s\": %s", table->name,
                 r == -ENOSPC ? "the image is full: start with a larger --text-size" : strerror(-r));
    return r;
}

int restore(struct daemon *daemon, char *text, size_t size)
{
    struct restore state = { .daemon = daemon, .text = text, .size = size };
    const struct store_reader reader = {
        restore_context, restore_table, restore_program, restore_link, restore_worker, &state,
    };
    int r;

    text[0] = 0;
    r = store_read(daemon->store, &reader, &daemon->registry.next_link);
    for (size_t i = 0; r >= 0 && i < daemon->registry.tables; i++)
        r = build_table(&state, daemon->registry.table[i]);
    if (r < 0 && !text[0])
        snprintf(text, size, "%s", store_error(daemon->store));
    for (size_t i = 0; i < state.contexts; i++)
        shared_context_put(state.context[i]);
    free(state.context);
    return r;
}
