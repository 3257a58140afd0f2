/* SPDX-License-Identifier: MIT */
/* io.dispatchd.Control: what operators ask. */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "call.h"
#include "change.h"
#include "config.h"
#include "explanation.h"
#include "grace_driver.h"
#include "memory.h"
#include "request.h"
#include "runtime/seat.h"
#include "seats.h"
#include "service.h"
#include "service_list.h"
#include "service_map.h"
#include "translation.h"
#include "util.h"
#include "view.h"
#include "view_map.h"
#include "view_statistics.h"
#include "workers.h"

#define OPERATIONS_MAX 100000           /* of one transaction */

/* ---- running changes ----------------------------------------------------------------------------------- */

/* A change that a client waits for. */
struct pending {
    struct daemon *daemon;
    struct call *call;
    service_make_reply *reply;
    struct change_request request;
    size_t translating;                 /* operations whose program is not translated yet */
};

static struct pending *pending_free(struct pending *pending)
{
    if (pending)
        call_put(pending->call);
    free(pending);
    return NULL;
}

static void on_done(void *userdata, const struct operation *operation, size_t operations)
{
    struct pending *pending = userdata;

    call_reply(pending->call, pending->reply(pending->daemon, operation, operations));
    pending_free(pending);
}

static enum change_wait wait_of(struct json_object *parameters)
{
    const char *name = parameter_string(parameters, "wait");

    if (name && !strcmp(name, "committed"))
        return CHANGE_COMMITTED;
    if (name && !strcmp(name, "quiescent"))
        return CHANGE_QUIESCENT;
    return CHANGE_LIVE;
}

/* The first translation that failed, NULL if none did. */
static struct translation *failed_translation(const struct change_request *request)
{
    for (size_t i = 0; i < request->operations; i++)
        if (request->operation[i].translation && request->operation[i].translation->result < 0)
            return request->operation[i].translation;
    return NULL;
}

/* All is translated: the change itself.  Takes the operations over. */
static int run_translated(struct pending *pending, struct refusal *refusal)
{
    struct change_request *request = &pending->request;
    struct translation *failed = failed_translation(request);
    int r;

    if (!failed)
        return change_run(pending->daemon, request, refusal);
    r = failed->result;
    *refusal = failed->refusal;
    failed->refusal = (struct refusal){ 0 };
    operations_free(request->operation, request->operations);
    return r;
}

static void on_translated(struct translation *translation, void *userdata)
{
    struct pending *pending = userdata;
    struct refusal refusal = { 0 };

    (void)translation;
    if (--pending->translating > 0 || run_translated(pending, &refusal) >= 0)
        return;
    service_refuse(pending->call, CONTROL_INTERFACE, &refusal);
    pending_free(pending);
}

static int translate(struct daemon *daemon, struct operation *operation, bool log,
                     void (*done)(struct translation *translation, void *userdata), void *userdata,
                     struct refusal *refusal)
{
    const struct translation_options options = {
        .program = operation->program_name, .object = operation->object, .object_size = operation->object_size,
        .function = operation->function, .settings = operation->settings, .log = log, .done = done,
        .userdata = userdata,
    };

    return translation_start(daemon->translations, &options, &operation->translation, refusal);
}

static int translate_all(struct pending *pending, struct refusal *refusal)
{
    const struct change_request *request = &pending->request;
    int r = 0;

    for (size_t i = 0; r >= 0 && i < request->operations; i++) {
        if (request->operation[i].kind != &operation_load)
            continue;
        r = translate(pending->daemon, &request->operation[i], false, on_translated, pending, refusal);
        pending->translating += r >= 0;
    }
    if (r < 0)
        operations_free(request->operation, request->operations);
    return r;
}

int service_run(struct daemon *daemon, struct call *call, struct operation *operation, size_t operations,
                service_make_reply *reply, struct refusal *refusal)
{
    struct pending *pending = malloc(sizeof(*pending));
    int r;

    if (!pending) {
        operations_free(operation, operations);
        return refuse_memory(refusal);
    }
    *pending = (struct pending){ .daemon = daemon, .call = call_get(call), .reply = reply };
    pending->request = (struct change_request){
        .operation = operation, .operations = operations, .wait = wait_of(call_parameters(call)),
        .uid = call_peer(call)->uid, .pid = call_peer(call)->pid, .done = on_done, .userdata = pending,
    };
    r = translate_all(pending, refusal);
    if (r >= 0 && pending->translating == 0)
        r = run_translated(pending, refusal);
    if (r < 0)
        pending_free(pending);
    return r;
}

struct json_object *service_reply_nothing(struct daemon *daemon, const struct operation *operation, size_t operations)
{
    (void)daemon, (void)operation, (void)operations;
    return NULL;
}

static struct json_object *reply_unmoved(struct daemon *daemon, const struct operation *operation, size_t operations)
{
    struct json_object *reply = json_object_new_object();

    (void)operation, (void)operations;
    json_object_object_add(reply, "unmoved", view_unmoved(daemon));
    return reply;
}

static struct json_object *reply_attach(struct daemon *daemon, const struct operation *operation, size_t operations)
{
    struct json_object *reply = reply_unmoved(daemon, operation, operations);

    json_object_object_add(reply, "link", json_object_new_int64(operation->link_id));
    return reply;
}

static struct json_object *reply_set_call(struct daemon *daemon, const struct operation *operation, size_t operations)
{
    struct json_object *reply = reply_unmoved(daemon, operation, operations);

    if (operation->table->links)
        json_object_object_add(reply, "link", json_object_new_int64(operation->link_id));
    return reply;
}

static struct json_object *reply_load(struct daemon *daemon, const struct operation *operation, size_t operations)
{
    struct json_object *reply = json_object_new_object();

    (void)daemon, (void)operations;
    json_object_object_add(reply, "program", view_program(operation->program));
    return reply;
}

static struct json_object *reply_create_map(struct daemon *daemon, const struct operation *operation, size_t operations)
{
    struct json_object *reply = json_object_new_object();

    (void)daemon, (void)operations;
    json_object_object_add(reply, "map", view_map(operation->map));
    return reply;
}

static struct json_object *reply_apply(struct daemon *daemon, const struct operation *operation, size_t operations)
{
    struct json_object *reply = reply_unmoved(daemon, operation, operations);
    struct json_object *outcomes = json_object_new_array();

    for (size_t i = 0; i < operations; i++) {
        struct json_object *outcome = json_object_new_object();

        if (operation[i].kind == &operation_attach)
            json_object_object_add(outcome, "link", json_object_new_int64(operation[i].link_id));
        json_object_array_add(outcomes, outcome);
    }
    json_object_object_add(reply, "outcomes", outcomes);
    return reply;
}

/* A method that is one operation. */
static void handle_one(struct daemon *daemon, struct call *call, const char *name, service_make_reply *reply)
{
    struct operation *operation = calloc(1, sizeof(*operation));
    struct refusal refusal = { 0 };
    int r;

    r = operation ? request_operation(call, name, call_parameters(call), operation, &refusal) : refuse_memory(&refusal);
    if (r < 0)
        operations_free(operation, 1);
    else
        r = service_run(daemon, call, operation, 1, reply, &refusal);
    if (r < 0)
        service_refuse(call, CONTROL_INTERFACE, &refusal);
}

static void handle_load(struct call *call, void *daemon)
{
    handle_one(daemon, call, "load", reply_load);
}

static void handle_unload(struct call *call, void *daemon)
{
    handle_one(daemon, call, "unload", service_reply_nothing);
}

static void handle_attach(struct call *call, void *daemon)
{
    handle_one(daemon, call, "attach", reply_attach);
}

static void handle_detach(struct call *call, void *daemon)
{
    handle_one(daemon, call, "detach", reply_unmoved);
}

static void handle_replace(struct call *call, void *daemon)
{
    handle_one(daemon, call, "replace", reply_unmoved);
}

static void handle_set_policy(struct call *call, void *daemon)
{
    handle_one(daemon, call, "set_policy", reply_unmoved);
}

static void handle_set_call(struct call *call, void *daemon)
{
    handle_one(daemon, call, "set_call", reply_set_call);
}

static void handle_create_map(struct call *call, void *daemon)
{
    handle_one(daemon, call, "create_map", reply_create_map);
}

static void handle_remove_map(struct call *call, void *daemon)
{
    handle_one(daemon, call, "remove_map", service_reply_nothing);
}

/* ---- statistics ---------------------------------------------------------------------------------------- */

static unsigned read_counting(struct json_object *json)
{
    static const struct {
        const char *name;
        unsigned counted;
    } level[] = {
        { "off", 0 },
        { "runs", COUNT_RUNS | COUNT_VERDICTS },
        { "time", COUNT_RUNS | COUNT_VERDICTS | COUNT_TIME },
        { "histogram", COUNT_RUNS | COUNT_VERDICTS | COUNT_TIME | COUNT_HISTOGRAM },
    };
    const char *name = parameter_string(json, "counting");

    for (size_t i = 0; i < ARRAY_LENGTH(level); i++)
        if (!strcmp(level[i].name, name))
            return level[i].counted;
    return 0;                           /* the interface knows no other */
}

/* One operation of a link or of a table; or one of each table. */
static int read_statistics(const struct daemon *daemon, struct json_object *json, struct operation *operation,
                           size_t operations, struct refusal *refusal)
{
    for (size_t i = 0; i < operations; i++) {
        operation[i].kind = &operation_statistics;
        operation[i].counted = read_counting(json);
        operation[i].misses = parameter_bool(json, "misses");
    }
    if (json_object_object_get(json, "link"))
        return request_link(json, operation, refusal);
    if (json_object_object_get(json, "table"))
        return request_name(json, "table", operation->table_name, refusal);
    for (size_t i = 0; i < operations; i++)
        strcpy(operation[i].table_name, daemon->registry.table[i]->name);
    return 0;
}

static int set_statistics(struct daemon *daemon, struct call *call, struct refusal *refusal)
{
    struct json_object *json = call_parameters(call);
    bool one = json_object_object_get(json, "table") || json_object_object_get(json, "link");
    size_t operations = one ? 1 : daemon->registry.tables;
    struct operation *operation = calloc(operations + 1, sizeof(*operation));
    int r;

    if (!operation)
        return refuse_memory(refusal);
    r = read_statistics(daemon, json, operation, operations, refusal);
    if (r < 0) {
        operations_free(operation, operations);
        return r;
    }
    return service_run(daemon, call, operation, operations, reply_unmoved, refusal);
}

static void handle_set_statistics(struct call *call, void *daemon)
{
    struct refusal refusal = { 0 };

    if (set_statistics(daemon, call, &refusal) < 0)
        service_refuse(call, CONTROL_INTERFACE, &refusal);
}

static void handle_get_statistics(struct call *call, void *daemon)
{
    struct refusal refusal = { 0 };

    if (view_statistics(daemon, call, &refusal) < 0)
        service_refuse(call, CONTROL_INTERFACE, &refusal);
}

/* ---- plans --------------------------------------------------------------------------------------------- */

static void handle_explain(struct call *call, void *userdata)
{
    struct daemon *daemon = userdata;
    const char *name = parameter_string(call_parameters(call), "table");
    const struct table *table = registry_table(&daemon->registry, name);
    struct refusal refusal = { 0 };

    if (table) {
        explanation_reply(daemon, call, table);
        return;
    }
    refuse(&refusal, -ENOENT, "UnknownTable", "s", "table", name);
    service_refuse(call, CONTROL_INTERFACE, &refusal);
}

/* ---- several operations -------------------------------------------------------------------------------- */

static int apply(struct daemon *daemon, struct call *call, struct refusal *refusal)
{
    struct json_object *list = json_object_object_get(call_parameters(call), "operations");
    size_t n = json_object_array_length(list);
    struct operation *operation;
    int r = 0;

    if (n > OPERATIONS_MAX)
        return refuse(refusal, -E2BIG, "LimitExceeded", "si", "limit", "operations", "maximum",
                      (int64_t)OPERATIONS_MAX);
    operation = calloc(n + 1, sizeof(*operation));
    if (!operation)
        return refuse_memory(refusal);
    for (size_t i = 0; r >= 0 && i < n; i++) {
        struct json_object *json = json_object_array_get_idx(list, i);

        r = request_operation(call, parameter_string(json, "operation"), json, &operation[i], refusal);
    }
    if (r < 0) {
        operations_free(operation, n);
        return r;
    }
    return service_run(daemon, call, operation, n, reply_apply, refusal);
}

static void handle_apply(struct call *call, void *daemon)
{
    struct refusal refusal = { 0 };

    if (apply(daemon, call, &refusal) < 0)
        service_refuse(call, CONTROL_INTERFACE, &refusal);
}

/* ---- verifying only ------------------------------------------------------------------------------------ */

/* A client that wants to know what Load would say. */
struct verification {
    struct call *call;
    struct operation *operation;
};

static void verification_free(struct verification *verification)
{
    operations_free(verification->operation, 1);
    call_put(verification->call);
    free(verification);
}

static void on_verified(struct translation *translation, void *userdata)
{
    struct verification *verification = userdata;
    struct json_object *reply;

    if (translation->result < 0) {
        service_refuse(verification->call, CONTROL_INTERFACE, &translation->refusal);
    } else {
        reply = json_object_new_object();
        view_add_string(reply, "function", translation->function);
        view_add_string(reply, "context", translation->context->description->name);
        view_add_string(reply, "licence", translation->licence);
        view_add_int(reply, "instructions", translation->instructions);
        view_add_int(reply, "processed", translation->processed);
        view_add_int(reply, "image_bytes", translation->code.size);
        if (translation->log)
            view_add_string(reply, "log", translation->log);
        call_reply(verification->call, reply);
    }
    verification_free(verification);
}

static int start_verification(struct daemon *daemon, struct call *call, struct verification *verification,
                              struct refusal *refusal)
{
    struct json_object *parameters = call_parameters(call);
    int r;

    verification->call = call_get(call);
    verification->operation = calloc(1, sizeof(*verification->operation));
    if (!verification->operation)
        return refuse_memory(refusal);
    r = request_object(call, parameters, verification->operation, refusal);
    return r < 0 ? r : translate(daemon, verification->operation, parameter_bool(parameters, "log"), on_verified,
                                 verification, refusal);
}

static void handle_verify(struct call *call, void *daemon)
{
    struct verification *verification = calloc(1, sizeof(*verification));
    struct refusal refusal = { 0 };

    if (verification && start_verification(daemon, call, verification, &refusal) >= 0)
        return;
    if (verification)
        verification_free(verification);
    else
        refuse_memory(&refusal);
    service_refuse(call, CONTROL_INTERFACE, &refusal);
}

/* ---- all in numbers -------------------------------------------------------------------------------------- */

static void handle_info(struct call *call, void *userdata)
{
    const struct daemon *daemon = userdata;
    struct json_object *reply = json_object_new_object();
    struct arena_usage arena;
    struct image_usage usage;

    image_usage(daemon->image, &usage);
    arena_usage(daemon->arena, &arena);
    view_add_string(reply, "product", "dispatchd");
    view_add_string(reply, "version", PACKAGE_VERSION);
    view_add_int(reply, "generation", daemon->generation);
    view_add_int(reply, "layout_version", DD_LAYOUT_VERSION);
    view_add_int(reply, "text_bytes", usage.size);
    view_add_int(reply, "text_bytes_used", usage.used);
    view_add_int(reply, "arena_bytes", arena.size);
    view_add_int(reply, "arena_bytes_used", arena.used);
    view_add_int(reply, "arena_bytes_held", arena.held);
    view_add_int(reply, "arena_largest_gap", arena.largest);
    view_add_int(reply, "arena_gaps", arena.gaps);
    view_add_string(reply, "arena_origin", arena_origin_name(daemon->arena_origin));
    view_add_int(reply, "seats", SEATS_MAX);
    view_add_int(reply, "seats_used", seats_used(daemon->seats));
    view_add_int(reply, "programs", daemon->registry.programs);
    view_add_int(reply, "maps", daemon->registry.maps);
    view_add_int(reply, "tables", daemon->registry.tables);
    view_add_int(reply, "links", daemon->registry.links);
    view_add_int(reply, "workers", workers_count(daemon->workers));
    view_add_int(reply, "grace_periods", grace_completed(grace_driver_grace(daemon->grace)));
    call_reply(call, reply);
}

const struct method_handler control_handlers[] = {
    { "Info", handle_info, 0 },
    { "Load", handle_load, 0 },
    { "Verify", handle_verify, 0 },
    { "Unload", handle_unload, 0 },
    { "Attach", handle_attach, 0 },
    { "Detach", handle_detach, 0 },
    { "Replace", handle_replace, 0 },
    { "SetPolicy", handle_set_policy, 0 },
    { "SetCall", handle_set_call, 0 },
    { "SetStatistics", handle_set_statistics, 0 },
    { "GetStatistics", handle_get_statistics, 0 },
    { "Explain", handle_explain, 0 },
    { "Apply", handle_apply, 0 },
    { "CreateMap", handle_create_map, 0 },
    { "RemoveMap", handle_remove_map, 0 },
    { "ShowMap", handle_show_map, 0 },
    { "LookupElement", handle_lookup_element, 0 },
    { "UpdateElement", handle_update_element, 0 },
    { "DeleteElement", handle_delete_element, 0 },
    { "IterateMap", handle_iterate_map, METHOD_REQUIRES_MORE },
    { "ClearMap", handle_clear_map, 0 },
    { "PushElement", handle_push_element, 0 },
    { "PopElement", handle_pop_element, 0 },
    { "ReadRing", handle_read_ring, METHOD_REQUIRES_MORE },
    { "Trace", handle_trace, METHOD_REQUIRES_MORE },
    { "ListMaps", handle_list_maps, 0 },
    { "ListPrograms", handle_list_programs, 0 },
    { "ListTables", handle_list_tables, 0 },
    { "ListCalls", handle_list_calls, 0 },
    { "ListLinks", handle_list_links, 0 },
    { "ListWorkers", handle_list_workers, 0 },
    { NULL, NULL, 0 },
};
