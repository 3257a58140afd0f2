/* SPDX-License-Identifier: MIT */
/* Operations attach and detach. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "change.h"
#include "store.h"

/* ---- attach -------------------------------------------------------------------------------------------- */

static int check_attach_objects(struct daemon *daemon, struct operation *operation, struct program **ret_program,
                                struct table **ret_table, struct refusal *refusal)
{
    struct program *program = registry_program(&daemon->registry, operation->program_name);
    struct table *table = registry_table(&daemon->registry, operation->table_name);
    const char *table_context, *program_context;

    if (!table)
        return refuse(refusal, -ENOENT, "UnknownTable", "s", "table", operation->table_name);
    if (!program)
        return refuse(refusal, -ENOENT, "UnknownProgram", "s", "program", operation->program_name);
    table_context = table->context->description->name;
    program_context = program->context->description->name;
    if (!context_equal(table->context->description, program->context->description, NULL))
        return refuse(refusal, -EINVAL, "ContextMismatch", "ssss", "table", table->name, "table_context", table_context,
                      "program", program->name, "program_context", program_context);
    *ret_program = program;
    *ret_table = table;
    return 0;
}

static int check_attach(struct daemon *daemon, struct operation *operation, struct refusal *refusal)
{
    struct program *program = NULL;
    struct table *table = NULL;
    struct link *link;
    int r;

    r = check_attach_objects(daemon, operation, &program, &table, refusal);
    if (r < 0)
        return r;
    link = table_link(table, operation->key);
    if (link)
        return refuse(refusal, -EEXIST, "KeyTaken", "siis", "table", table->name, "key", (int64_t)link->key, "link", link->id,
                      "program", link->program->name);
    if (daemon->registry.links >= LINKS_MAX)
        return refuse(refusal, -EDQUOT, "LimitExceeded", "si", "limit", "links", "maximum", (int64_t)LINKS_MAX);
    r = link_new(daemon->registry.next_link, table, operation->key, program, &link);
    if (r >= 0) {
        r = registry_add_link(&daemon->registry, link);
        if (r < 0)
            link_free(link);
    }
    if (r < 0)
        return refuse_memory(refusal);
    operation->link_id = daemon->registry.next_link++;
    operation->link = link;
    operation->table = table;
    return 0;
}

static int store_attach(struct daemon *daemon, const struct operation *operation)
{
    return store_add_link(daemon->store, operation->link_id, operation->table->name, operation->key,
                          operation->program_name);
}

/* The id stays used up: that of a link which never was is nobody's. */
static void undo_attach(struct daemon *daemon, struct operation *operation)
{
    registry_remove_link(&daemon->registry, operation->link);
    operation->link = link_free(operation->link);
}

static void describe_attach(const struct operation *operation, char *text, size_t size)
{
    snprintf(text, size, "%s %" PRIu32 " %s link %" PRId64, operation->table_name, operation->key,
             operation->program_name, operation->link_id);
}

const struct operation_kind operation_attach = {
    .name = "attach",
    .check = check_attach,
    .store = store_attach,
    .undo = undo_attach,
    .describe = describe_attach,
};

/* ---- detach -------------------------------------------------------------------------------------------- */

static int check_detach(struct daemon *daemon, struct operation *operation, struct refusal *refusal)
{
    struct link *link = registry_link(&daemon->registry, operation->link_id);

    if (!link)
        return refuse(refusal, -ENOENT, "UnknownLink", "i", "link", operation->link_id);
    registry_remove_link(&daemon->registry, link);
    operation->link = link;
    operation->table = link->table;
    return 0;
}

static int store_detach(struct daemon *daemon, const struct operation *operation)
{
    return store_remove_link(daemon->store, operation->link_id);
}

static void undo_detach(struct daemon *daemon, struct operation *operation)
{
    registry_add_link(&daemon->registry, operation->link);      /* its places are still there */
}

/* No thread is in the program on this link's account any more: give its reference back. */
static void release_detach(struct daemon *daemon, struct operation *operation)
{
    (void)daemon;
    operation->link = link_free(operation->link);
}

static void describe_detach(const struct operation *operation, char *text, size_t size)
{
    snprintf(text, size, "link %" PRId64, operation->link_id);
}

const struct operation_kind operation_detach = {
    .name = "detach",
    .check = check_detach,
    .store = store_detach,
    .undo = undo_detach,
    .release = release_detach,
    .describe = describe_detach,
};
