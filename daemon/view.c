/* SPDX-License-Identifier: MIT */
#include "view.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "table_prototype.h"
#include "planner.h"
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

struct json_object *view_table(const struct registry *registry, const struct table *table)
{
    const char *policy_of = registry->no_indirect ? "host" : table->no_indirect ? "table"
                          : table->workers_no_indirect > 0 ? "workers" : NULL;
    struct json_object *view = json_object_new_object();

    view_add_string(view, "name", table->name);
    view_add_string(view, "context", table->context->description->name);
    view_add_int(view, "default_verdict", table->default_verdict);
    json_object_object_add(view, "links", link_ids(table->link, table->links));
    view_add_string(view, "shape", dispatcher_shape_name(entry_shape(table->entry)));
    view_add_string(view, "policy", policy_of ? "no_indirect" : "any");
    if (policy_of)
        view_add_string(view, "policy_of", policy_of);
    view_add_int(view, "image_bytes", entry_code_size(table->entry));
    view_add_bool(view, "settled", entry_state(table->entry) == ENTRY_SETTLED);
    view_add_bool(view, "overwritten", table->overwritten);
    view_add_int(view, "workers", table->workers);
    return view;
}

static void call_target_text(const struct table *call, char *text, size_t size)
{
    const struct link *link = call->links ? call->link[0] : NULL;
    char program[LINK_PROGRAM_TEXT], value[CALL_VALUE_TEXT];

    if (link) {
        link_program_text(link, program);
        snprintf(text, size, "%s%s", link->native ? "" : "program ", program);
    } else if (call->has_value) {
        call_value_text(call, value);
        snprintf(text, size, "value:%s", value);
    } else {
        snprintf(text, size, "default");
    }
}

static bool worker_offers(const struct worker_view *worker, const struct native *native)
{
    for (size_t i = 0; i < worker->natives; i++)
        if (worker->native[i] == native)
            return true;
    return false;
}

static bool worker_calls(const struct worker_view *worker, const struct table *table)
{
    for (size_t i = 0; i < worker->tables; i++)
        if (worker->table[i] == table)
            return true;
    return false;
}

struct lacking {
    const struct table *call;
    struct json_object *list;
};

static bool add_lacking(void *userdata, const struct worker_view *worker)
{
    const struct lacking *lacking = userdata;
    const struct link *link = lacking->call->link[0];
    struct json_object *reference;

    if (!worker_calls(worker, lacking->call) || worker_offers(worker, link->native))
        return true;
    reference = json_object_new_object();
    view_add_int(reference, "pid", (uint64_t)worker->pid);
    view_add_string(reference, "name", worker->name);
    json_object_array_add(lacking->list, reference);
    return true;
}

struct json_object *view_call(struct daemon *daemon, const struct table *call)
{
    struct json_object *view = json_object_new_object();
    struct lacking lacking = { call, json_object_new_array() };
    char target[NAME_LENGTH_MAX + 16];

    call_target_text(call, target, sizeof(target));
    view_add_string(view, "name", call->name);
    view_add_string(view, "prototype", call->prototype);
    view_add_string(view, "target", target);
    if (call->links)
        view_add_int(view, "link", (uint64_t)call->link[0]->id);
    view_add_int(view, "workers", call->workers);
    if (call->links && call->link[0]->native)
        workers_view(daemon->workers, 0, add_lacking, &lacking);
    json_object_object_add(view, "lacking", lacking.list);
    view_add_bool(view, "settled", entry_state(call->entry) == ENTRY_SETTLED);
    view_add_bool(view, "overwritten", call->overwritten);
    return view;
}

struct json_object *view_link(const struct link *link)
{
    struct json_object *view = json_object_new_object(), *proceed_on = json_object_new_array();
    char keys[LINK_KEYS_TEXT], program[LINK_PROGRAM_TEXT];

    link_keys_text(link, keys);
    link_program_text(link, program);
    view_add_int(view, "id", (uint64_t)link->id);
    view_add_string(view, "table", link->table->name);
    view_add_string(view, "keys", keys);
    if (!link->otherwise) {
        view_add_int(view, "first", link->first);
        view_add_int(view, "last", link->last);
    }
    json_object_object_add(view, "priority", json_object_new_int64(link->priority));
    for (unsigned i = 0; i < link->proceeds; i++)
        json_object_array_add(proceed_on, json_object_new_int64(link->proceed[i]));
    json_object_object_add(view, "proceed_on", proceed_on);
    view_add_string(view, "program", program);
    return view;
}

/* Is the text among the elements of a list from `from` on? */
static bool is_listed(struct json_object *list, size_t from, const char *text)
{
    for (size_t i = from; i < json_object_array_length(list); i++)
        if (!strcmp(json_object_get_string(json_object_array_get_idx(list, i)), text))
            return true;
    return false;
}

static void add_lacked(struct json_object *list, const struct worker_view *worker, const struct table *table)
{
    size_t from = json_object_array_length(list);
    const struct native *latest = NULL;
    char text[2 * NAME_LENGTH_MAX + 16];

    for (size_t i = 0; i < table->links; i++) {
        const struct native *native = table->link[i]->native;

        if (!native || native == latest || worker_offers(worker, native))
            continue;
        latest = native;
        snprintf(text, sizeof(text), "%s native:%s", table->name, native->name);
        if (!is_listed(list, from, text))
            json_object_array_add(list, json_object_new_string(text));
    }
}

/*
 * Natives that this worker does not have, though its hooks lead to them: there it runs its default.
 * Each hook's once.
 */
static struct json_object *lacked_natives(const struct worker_view *worker)
{
    struct json_object *list = json_object_new_array();

    for (size_t i = 0; i < worker->tables; i++)
        add_lacked(list, worker, worker->table[i]);
    return list;
}

struct json_object *view_worker(const struct worker_view *worker)
{
    struct json_object *view = json_object_new_object(), *tables = json_object_new_array();
    struct json_object *natives = json_object_new_array();

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
    for (size_t i = 0; i < worker->natives; i++)
        json_object_array_add(natives, json_object_new_string(worker->native[i]->name));
    json_object_object_add(view, "tables", tables);
    json_object_object_add(view, "natives", natives);
    json_object_object_add(view, "lacking", lacked_natives(worker));
    return view;
}

/* Who does not see a change yet: its threads may run the code of an earlier daemon. */
static bool add_unmoved(void *userdata, const struct worker_view *worker)
{
    struct json_object *reference;

    if (worker->generation == worker->current)
        return true;
    reference = json_object_new_object();
    view_add_int(reference, "pid", (uint64_t)worker->pid);
    view_add_string(reference, "name", worker->name);
    json_object_array_add(userdata, reference);
    return true;
}

struct json_object *view_unmoved(struct daemon *daemon)
{
    struct json_object *list = json_object_new_array();

    workers_view(daemon->workers, 0, add_unmoved, list);
    return list;
}
