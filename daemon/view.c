/* SPDX-License-Identifier: MIT */
#include "view.h"

#include <json-c/json.h>
#include <stdio.h>

#include "workers.h"

void view_add_string(struct json_object *object, const char *name, const char *value)
{
    json_object_object_add(object, name, json_object_new_string(value));
}

void view_add_int(struct json_object *object, const char *name, uint64_t value)
{
    json_object_object_add(object, name, json_object_new_int64((int64_t)value));
}

void view_add_bool(struct json_object *object, const char *name, bool value)
{
    json_object_object_add(object, name, json_object_new_boolean(value));
}

static struct json_object *link_ids(struct link *const *link, size_t links)
{
    struct json_object *ids = json_object_new_array();

    for (size_t i = 0; i < links; i++)
        json_object_array_add(ids, json_object_new_int64(link[i]->id));
    return ids;
}

struct json_object *view_program(const struct program *program)
{
    struct json_object *view = json_object_new_object();
    char digest[2 * sizeof(program->digest) + 1];

    for (size_t i = 0; i < sizeof(program->digest); i++)
        snprintf(digest + 2 * i, 3, "%02x", program->digest[i]);
    view_add_string(view, "name", program->name);
    view_add_string(view, "context", program->context->description->name);
    view_add_string(view, "function", program->function);
    view_add_string(view, "licence", program->licence);
    view_add_string(view, "digest", digest);
    json_object_object_add(view, "settings",
                           program->settings ? json_object_get(program->settings) : json_object_new_object());
    view_add_int(view, "instructions", program->instructions);
    view_add_int(view, "image_bytes", program->code_size);
    view_add_int(view, "arena_bytes", program->data_size);
    view_add_int(view, "references", program->references);
    json_object_object_add(view, "links", link_ids(program->link, program->links));
    return view;
}

struct json_object *view_table(const struct table *table)
{
    struct json_object *view = json_object_new_object();

    view_add_string(view, "name", table->name);
    view_add_string(view, "context", table->context->description->name);
    view_add_int(view, "default_verdict", table->default_verdict);
    json_object_object_add(view, "links", link_ids(table->link, table->links));
    view_add_string(view, "shape", "tree");
    view_add_int(view, "image_bytes", entry_code_size(table->entry));
    view_add_bool(view, "settled", entry_state(table->entry) == ENTRY_SETTLED);
    view_add_int(view, "workers", table->workers);
    return view;
}

struct json_object *view_link(const struct link *link)
{
    struct json_object *view = json_object_new_object();

    view_add_int(view, "id", (uint64_t)link->id);
    view_add_string(view, "table", link->table->name);
    view_add_int(view, "key", link->key);
    view_add_string(view, "program", link->program->name);
    return view;
}

static void add_worker(void *userdata, const struct worker_view *worker)
{
    struct json_object *view = json_object_new_object(), *tables = json_object_new_array();

    view_add_int(view, "pid", (uint64_t)worker->pid);
    view_add_int(view, "uid", worker->uid);
    view_add_string(view, "name", worker->name);
    view_add_int(view, "generation", worker->generation);
    view_add_string(view, "state", worker_state_name(worker->state));
    view_add_bool(view, "holding", worker->holding);
    view_add_int(view, "threads", worker->threads);
    view_add_int(view, "leaked_guards", worker->leaked);
    for (size_t i = 0; i < worker->tables; i++)
        json_object_array_add(tables, json_object_new_string(worker->table[i]->name));
    json_object_object_add(view, "tables", tables);
    json_object_array_add(userdata, view);
}

/* Who does not see a change yet: its threads may run the code of an earlier daemon. */
static void add_unmoved(void *userdata, const struct worker_view *worker)
{
    struct json_object *reference;

    if (worker->generation == worker->current)
        return;
    reference = json_object_new_object();
    view_add_int(reference, "pid", (uint64_t)worker->pid);
    view_add_string(reference, "name", worker->name);
    json_object_array_add(userdata, reference);
}

struct json_object *view_workers(struct daemon *daemon)
{
    struct json_object *list = json_object_new_array();

    workers_view(daemon->workers, add_worker, list);
    return list;
}

struct json_object *view_unmoved(struct daemon *daemon)
{
    struct json_object *list = json_object_new_array();

    workers_view(daemon->workers, add_unmoved, list);
    return list;
}
