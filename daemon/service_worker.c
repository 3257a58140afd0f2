/* SPDX-License-Identifier: MIT */
/* io.dispatchd.Worker: workers join, declare tables, fork, move.  All of it is hostile until checked. */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "call.h"
#include "change.h"
#include "connection.h"
#include "entry.h"
#include "log.h"
#include "memory.h"
#include "prototype.h"
#include "service.h"
#include "table_room.h"
#include "util.h"
#include "workers.h"

#define INTERFACE "io.dispatchd.Worker"

/* ---- tables -------------------------------------------------------------------------------------------- */

static enum context_rights rights_of(const char *name)
{
    static const char *const names[] = {
        [CONTEXT_READ] = "read", [CONTEXT_WRITE] = "write", [CONTEXT_DATA] = "data", [CONTEXT_DATA_END] = "data_end",
    };

    for (size_t i = CONTEXT_READ; i < ARRAY_LENGTH(names); i++)
        if (!strcmp(names[i], name))
            return (enum context_rights)i;
    return 0;                           /* the interface admits no other; context_new would refuse it */
}

/* A number that must fit 32 bits; 0xffffffff stands for what does not, and context_new refuses that. */
static uint32_t clamp_32(int64_t value)
{
    return value < 0 || value > UINT32_MAX ? UINT32_MAX : (uint32_t)value;
}

static int read_field(struct json_object *json, struct context_field *ret, struct refusal *refusal)
{
    const char *name = parameter_string(json, "name");

    if (strlen(name) > CONTEXT_NAME_MAX)
        return refuse_parameter(refusal, "tables.fields.name", "\"%.80s...\" is over %d bytes", name, CONTEXT_NAME_MAX);
    *ret = (struct context_field){
        .offset = clamp_32(parameter_int(json, "offset")),
        .size = clamp_32(parameter_int(json, "size")),
        .rights = rights_of(parameter_string(json, "rights")),
    };
    strcpy(ret->name, name);
    return 0;
}

static int read_context(struct json_object *json, struct context **ret, struct refusal *refusal)
{
    struct json_object *fields = json_object_object_get(json, "fields");
    struct context_field field[CONTEXT_FIELDS_MAX];
    struct jit_error error = { 0 };
    size_t n = json_object_array_length(fields);
    int r;

    if (n > CONTEXT_FIELDS_MAX)
        return refuse(refusal, -EDQUOT, "LimitExceeded", "si", "limit", "fields of a context", "maximum",
                      (int64_t)CONTEXT_FIELDS_MAX);
    for (size_t i = 0; i < n; i++) {
        r = read_field(json_object_array_get_idx(fields, i), &field[i], refusal);
        if (r < 0)
            return r;
    }
    r = context_new(parameter_string(json, "context"), clamp_32(parameter_int(json, "context_size")), field,
                    (uint32_t)n, ret, &error);
    if (r < 0)
        return refuse(refusal, r, "ContextMismatch", "sss", "table", parameter_string(json, "name"), "context",
                      parameter_string(json, "context"), "reason", error.text);
    return 0;
}

static int read_prototype(struct json_object *json, const char *parameter, struct operation *operation,
                          struct refusal *refusal)
{
    const char *text = parameter_string(json, "prototype");
    struct prototype prototype;

    if (prototype_read(text, &prototype) < 0 || strcmp(text, prototype.text))
        return refuse_parameter(refusal, parameter, "\"%.80s\" is no prototype in canonical form", text);
    strcpy(operation->prototype, text);
    return 0;
}

static int read_call(struct json_object *json, struct operation *operation, struct refusal *refusal)
{
    struct prototype prototype;
    int r;

    r = read_prototype(json, "tables.prototype", operation, refusal);
    if (r < 0)
        return r;
    prototype_read(operation->prototype, &prototype);
    r = context_new_arguments(operation->table_name, prototype.arguments, &operation->declared);
    if (r == -EINVAL)
        return refuse_parameter(refusal, "tables.name", "\"%s\" is longer than %zu bytes, the most for a call",
                                operation->table_name, CONTEXT_NAME_MAX - strlen(CONTEXT_CALL_PREFIX));
    return r < 0 ? refuse_memory(refusal) : 0;
}

static int read_table(struct json_object *json, struct operation *operation, struct refusal *refusal)
{
    const char *name = parameter_string(json, "name");
    int64_t verdict = parameter_int(json, "default_verdict");

    if (strlen(name) > NAME_LENGTH_MAX)
        return refuse_parameter(refusal, "tables.name", "\"%.80s...\" is over %d bytes", name, NAME_LENGTH_MAX);
    if (verdict < 0 || verdict > UINT32_MAX)
        return refuse_parameter(refusal, "tables.default_verdict", "%lld does not fit 32 bits", (long long)verdict);
    strcpy(operation->table_name, name);
    operation->kind = &operation_declare;
    operation->default_verdict = (uint32_t)verdict;
    operation->no_indirect = parameter_bool(json, "no_indirect");
    if (parameter_string(json, "prototype"))
        return read_call(json, operation, refusal);
    if (context_name_is_arguments(parameter_string(json, "context")))
        return refuse_parameter(refusal, "tables.context", "\"%s\" is the name of a call's arguments",
                                parameter_string(json, "context"));
    return read_context(json, &operation->declared, refusal);
}

static int read_native(struct json_object *json, struct operation *operation, struct refusal *refusal)
{
    const char *name = parameter_string(json, "name");

    if (!registry_name_valid(name))
        return refuse_parameter(refusal, "natives.name", "\"%.80s\" is no name: use 1 to %d of A-Z a-z 0-9 _ . -", name,
                                NAME_LENGTH_MAX);
    strcpy(operation->native_name, name);
    operation->kind = &operation_offer;
    operation->may_block = parameter_bool(json, "may_block");
    return read_prototype(json, "natives.prototype", operation, refusal);
}

/* Two modules of one process may declare the same table, but not as two different ones. */
static int check_twice(const struct operation *operation, size_t operations, struct refusal *refusal)
{
    for (size_t i = 0; i < operations; i++)
        for (size_t j = 0; j < i; j++)
            if (!strcmp(operation[i].table_name, operation[j].table_name) &&
                (operation[i].default_verdict != operation[j].default_verdict ||
                 strcmp(operation[i].prototype, operation[j].prototype) ||
                 strcmp(operation[i].declared->name, operation[j].declared->name) ||
                 !context_equal(operation[i].declared, operation[j].declared, NULL)))
                return refuse(refusal, -EINVAL, "ContextMismatch", "sss", "table", operation[i].table_name, "context",
                              operation[i].declared->name, "reason", "this call declares the table twice, differently");
    return 0;
}

struct declaration {
    struct table *table[WORKER_TABLES_MAX];
    size_t tables;
    struct native *native[WORKER_NATIVES_MAX];
    size_t natives;
    bool no_indirect[WORKER_TABLES_MAX];        /* is it called without indirect branches? */
};

static void note_tables(void *userdata, const struct operation *operation, size_t operations)
{
    struct declaration *declaration = userdata;

    for (size_t i = 0; i < operations; i++)
        if (operation[i].declared_table) {
            declaration->no_indirect[declaration->tables] = operation[i].no_indirect;
            declaration->table[declaration->tables++] = operation[i].declared_table;
        } else if (operation[i].native && operation[i].native->may_block == operation[i].may_block) {
            declaration->native[declaration->natives++] = operation[i].native;
        }                               /* else it is another, or one too many, and runs nowhere */
}

/* Tables first, then natives. */
static int read_offers(struct json_object *tables, struct json_object *natives, struct change_request *request,
                       struct refusal *refusal)
{
    size_t n = json_object_array_length(tables), total = n + (natives ? json_object_array_length(natives) : 0);
    int r = 0;

    if (n > WORKER_TABLES_MAX)
        return table_room_refuse("tables of a worker", WORKER_TABLES_MAX, refusal);
    if (total - n > WORKER_NATIVES_MAX)
        return refuse(refusal, -EDQUOT, "LimitExceeded", "si", "limit", "natives of a worker", "maximum",
                      (int64_t)WORKER_NATIVES_MAX);
    request->operation = calloc(total + 1, sizeof(*request->operation));
    if (!request->operation)
        return refuse_memory(refusal);
    request->operations = total;
    for (size_t i = 0; r >= 0 && i < n; i++)
        r = read_table(json_object_array_get_idx(tables, i), &request->operation[i], refusal);
    if (r >= 0)
        r = check_twice(request->operation, n, refusal);
    for (size_t i = n; r >= 0 && i < total; i++)
        r = read_native(json_object_array_get_idx(natives, i - n), &request->operation[i], refusal);
    return r;
}

/* Declare all tables and natives of a call in one change. */
static int run_declaration(struct daemon *daemon, struct call *call, const struct worker *worker,
                           struct declaration *ret, struct refusal *refusal)
{
    struct json_object *parameters = call_parameters(call);
    const struct ucred *peer = call_peer(call);
    struct change_request request = {
        .wait = CHANGE_COMMITTED,
        .uid = peer->uid, .pid = peer->pid, .done = note_tables, .userdata = ret,
    };
    int r;

    ret->tables = ret->natives = 0;
    if (daemon->registry.natives > NATIVES_MAX / 2)
        registry_prune_natives(&daemon->registry);
    r = read_offers(json_object_object_get(parameters, "tables"), json_object_object_get(parameters, "natives"),
                    &request, refusal);
    if (r >= 0)
        r = table_room(&daemon->registry, worker, &request, refusal);
    if (r < 0) {
        operations_free(request.operation, request.operations);
        return r;
    }
    return change_run(daemon, &request, refusal);
}

/* Tables that are called without indirect branches: code that has some is made anew, or the worker is refused. */
static int restrict_tables(struct daemon *daemon, const struct declaration *declaration, struct refusal *refusal)
{
    int r = 0;

    for (size_t i = 0; r >= 0 && i < declaration->tables; i++)
        if (declaration->no_indirect[i])
            r = change_restrict(daemon, declaration->table[i], refusal);
    return r;
}

static int add_tables(struct worker *worker, const struct declaration *declaration, struct refusal *refusal)
{
    for (size_t i = 0; i < declaration->tables; i++)
        if (worker_add_table(worker, declaration->table[i], declaration->no_indirect[i]) < 0)
            return refuse_memory(refusal);              /* table_room() has seen that there may be so many */
    for (size_t i = 0; i < declaration->natives; i++)
        if (worker_add_native(worker, declaration->native[i]) < 0)
            return refuse(refusal, -EDQUOT, "LimitExceeded", "si", "limit", "natives of a worker", "maximum",
                          (int64_t)WORKER_NATIVES_MAX);
    return 0;
}

/* What a call declares, the worker's from now on. */
static int declare_tables(struct daemon *daemon, struct call *call, struct worker *worker,
                          struct declaration *ret, struct refusal *refusal)
{
    int r;

    r = run_declaration(daemon, call, worker, ret, refusal);
    if (r >= 0)
        r = restrict_tables(daemon, ret, refusal);
    return r < 0 ? r : add_tables(worker, ret, refusal);
}

static struct json_object *entries_of(const struct declaration *declaration)
{
    struct json_object *entries = json_object_new_array();

    for (size_t i = 0; i < declaration->tables; i++) {
        const struct table *table = declaration->table[i];
        struct json_object *entry = json_object_new_object();

        json_object_object_add(entry, "table", json_object_new_string(table->name));
        json_object_object_add(entry, "offset", json_object_new_int64((int64_t)entry_offset(table->entry)));
        json_object_array_add(entries, entry);
    }
    return entries;
}

/* ---- joining ------------------------------------------------------------------------------------------- */

static struct lines *lines_cleanup(struct lines **lines)
{
    return lines_free(*lines);
}

static int receive_lines(struct call *call, size_t index, struct lines **ret, struct refusal *refusal)
{
    _cleanup_close_ int descriptor = call_take_descriptor(call, index);
    const char *reason = "there is none";
    int r = descriptor;

    if (descriptor >= 0)
        r = lines_new(descriptor, ret, &reason);
    if (r < 0)
        return refuse(refusal, r, "DescriptorRefused", "is", "descriptor", (int64_t)index, "reason", reason);
    return 0;
}

static int refuse_join(int r, struct refusal *refusal)
{
    switch (r) {
    case -ENOENT:
    case -ESRCH:
        return refuse(refusal, r, "UnknownProcess", "");
    case -EMFILE:
    case -ENFILE:
        return refuse(refusal, r, "LimitExceeded", "si", "limit", "open files of the daemon", "maximum", (int64_t)0);
    case -EUSERS:
        return refuse(refusal, r, "LimitExceeded", "si", "limit", "workers of a user", "maximum",
                      (int64_t)WORKERS_PER_UID);
    default:
        return refuse_memory(refusal);
    }
}

static int check_join(struct call *call, struct refusal *refusal)
{
    int64_t version = parameter_int(call_parameters(call), "layout_version");

    if (version != DD_LAYOUT_VERSION)
        return refuse(refusal, -EPROTO, "LayoutMismatch", "ii", "layout_version", version, "expected",
                      (int64_t)DD_LAYOUT_VERSION);
    if (connection_userdata(call_connection(call)))
        return refuse_parameter(refusal, "name", "this connection has joined already: use Declare for further tables");
    return 0;
}

/* Which of the descriptors is the arena that it hands back; -1: none. */
static int64_t arena_index(struct call *call)
{
    struct json_object *index = json_object_object_get(call_parameters(call), "arena");

    return index ? json_object_get_int64(index) : -1;
}

/* They come first, where they come at all. */
static bool has_lines(struct call *call)
{
    return call_descriptors(call) > 0 && arena_index(call) != 0;
}

/* Its tables, and then it is a worker. */
static int enter_tables(struct daemon *daemon, struct call *call, struct worker *worker,
                        struct declaration *declaration, struct refusal *refusal)
{
    int r;

    r = declare_tables(daemon, call, worker, declaration, refusal);
    if (r < 0)
        return r;
    return worker_accept(worker) < 0 ? refuse_memory(refusal) : 0;
}

/*
 * Join: the lines are known to the grace periods, and the tables' code is such as this worker may call, before the image
 * is handed out.  The record comes first, as it is what a refusal undoes: tables that are declared stay.
 */
static int join(struct daemon *daemon, struct call *call, struct declaration *declaration, struct refusal *refusal)
{
    _cleanup_(lines_cleanup) struct lines *lines = NULL;
    struct worker *worker;
    int r;

    r = check_join(call, refusal);
    if (r >= 0 && has_lines(call))
        r = receive_lines(call, 0, &lines, refusal);
    if (r < 0)
        return r;
    r = workers_join(daemon->workers, call_connection(call), parameter_string(call_parameters(call), "name"), lines,
                     &worker);
    if (r < 0)
        return refuse_join(r, refusal);
    TAKE_POINTER(lines);
    r = enter_tables(daemon, call, worker, declaration, refusal);
    if (r < 0)
        worker_refuse(worker);
    return r;
}

void worker_join(struct call *call, void *userdata)
{
    struct daemon *daemon = userdata;
    const int descriptors[] = {
        daemon->memory->control_descriptor, daemon->memory->text_descriptor, daemon->memory->arena_of_windows,
        daemon->memory->linkage_descriptor[daemon->registry.no_indirect], daemon->memory->linkage_descriptor[1],
    };
    struct declaration declaration;
    struct refusal refusal = { 0 };
    struct json_object *reply;

    if (join(daemon, call, &declaration, &refusal) < 0) {
        service_refuse(call, INTERFACE, &refusal);
        return;
    }
    reply = json_object_new_object();
    json_object_object_add(reply, "generation", json_object_new_int64((int64_t)daemon->generation));
    json_object_object_add(reply, "text_size", json_object_new_int64((int64_t)daemon->memory->text_size));
    json_object_object_add(reply, "entries", entries_of(&declaration));
    call_reply_descriptors(call, reply, descriptors, ARRAY_LENGTH(descriptors));
}

/* What it hands back of the daemon before.  Whether it is of use or not, the worker joins. */
static void receive_arena(struct daemon *daemon, struct call *call)
{
    int64_t index = arena_index(call);
    const char *mistake = "there is none";
    int descriptor;

    if (index < 0)
        return;
    descriptor = call_take_descriptor(call, (size_t)index);
    if (descriptor >= 0)
        mistake = inheritance_offer(daemon, descriptor);
    if (mistake)
        log_line(LOG_WARNING, "worker %d: the arena that it hands back is refused: %s", (int)call_peer(call)->pid,
                 mistake);
}

static void handle_join(struct call *call, void *userdata)
{
    struct daemon *daemon = userdata;
    struct refusal refusal = { 0 };

    receive_arena(daemon, call);
    if (!daemon->inheritance) {
        worker_join(call, daemon);
    } else if (inheritance_postpone(daemon->inheritance, call) < 0) {
        refuse_memory(&refusal);
        service_refuse(call, INTERFACE, &refusal);
    }
}

/* The worker behind a call that only a joined worker may make; refuses for all others. */
static struct worker *joined_worker(struct call *call, struct refusal *refusal)
{
    struct connection *connection = call_connection(call);
    struct worker *worker = connection ? connection_userdata(connection) : NULL;

    if (!worker)
        refuse(refusal, -ENOTCONN, "UnknownProcess", "");
    return worker;
}

static void handle_declare(struct call *call, void *userdata)
{
    struct refusal refusal = { 0 };
    struct worker *worker = joined_worker(call, &refusal);
    struct declaration declaration;
    struct json_object *reply;

    if (!worker || declare_tables(userdata, call, worker, &declaration, &refusal) < 0) {
        service_refuse(call, INTERFACE, &refusal);
        return;
    }
    reply = json_object_new_object();
    json_object_object_add(reply, "entries", entries_of(&declaration));
    call_reply(call, reply);
}

static void handle_moved(struct call *call, void *userdata)
{
    struct daemon *daemon = userdata;
    struct refusal refusal = { 0 };
    struct worker *worker = joined_worker(call, &refusal);
    int64_t generation = parameter_int(call_parameters(call), "generation");

    if (worker && generation != (int64_t)daemon->generation)
        refuse_parameter(&refusal, "generation", "%lld is not the generation of this daemon, which is %llu",
                         (long long)generation, (unsigned long long)daemon->generation);
    if (refusal.error) {
        service_refuse(call, INTERFACE, &refusal);
        return;
    }
    worker_moved(worker);
    call_reply(call, NULL);
}

/* ---- forks --------------------------------------------------------------------------------------------- */

static int receive_child(struct daemon *daemon, struct call *call, struct worker *parent, struct refusal *refusal)
{
    _cleanup_close_ int descriptor = call_take_descriptor(call, 1);
    _cleanup_(lines_cleanup) struct lines *lines = NULL;
    socklen_t length = sizeof(struct ucred);
    struct connection *connection;
    struct worker *child;
    struct ucred maker;
    int r;

    if (descriptor < 0)
        return refuse(refusal, descriptor, "DescriptorRefused", "is", "descriptor", (int64_t)1, "reason",
                      "there is none");
    if (getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &maker, &length) < 0 || maker.pid != worker_pid(parent))
        return refuse(refusal, -EPERM, "DescriptorRefused", "is", "descriptor", (int64_t)1, "reason",
                      "it is no socket of a pair that the calling process made");
    r = receive_lines(call, 0, &lines, refusal);
    if (r < 0)
        return r;
    r = workers_fork(daemon->workers, parent, lines, &child);
    if (r < 0)
        return refuse_join(r, refusal);
    TAKE_POINTER(lines);
    r = connection_adopt(daemon->worker_listener, descriptor, child, &connection);
    if (r < 0)
        return refuse_join(r, refusal); /* its lines stay known: it may be alive, and take one at any moment */
    TAKE_DESCRIPTOR(descriptor);
    worker_connect(child, connection);
    return 0;
}

static void handle_fork(struct call *call, void *userdata)
{
    struct refusal refusal = { 0 };
    struct worker *parent = joined_worker(call, &refusal);

    if (!parent || receive_child(userdata, call, parent, &refusal) < 0)
        service_refuse(call, INTERFACE, &refusal);
    else
        call_reply(call, NULL);
}

static void handle_adopt(struct call *call, void *userdata)
{
    const struct ucred *sender = call_sender(call);
    struct refusal refusal = { 0 };
    struct worker *worker = joined_worker(call, &refusal);
    int r;

    (void)userdata;
    if (worker && sender && !worker_adopted(worker)) {
        r = worker_adopt(worker, sender->pid, sender->uid);
        if (r < 0)
            refuse_join(r, &refusal);
    }
    if (refusal.error)
        service_refuse(call, INTERFACE, &refusal);
    else
        call_reply(call, NULL);
}

static void handle_leave(struct call *call, void *userdata)
{
    struct refusal refusal = { 0 };
    struct worker *worker = joined_worker(call, &refusal);

    (void)userdata;
    if (!worker) {
        service_refuse(call, INTERFACE, &refusal);
        return;
    }
    worker_leave(worker);
    call_reply(call, NULL);
}

void worker_connection_closed(struct connection *connection, void *userdata)
{
    struct worker *worker = connection_userdata(connection);

    (void)userdata;
    if (worker)
        worker_disconnect(worker);
}

const struct method_handler worker_handlers[] = {
    { "Join", handle_join, 0 },
    { "Declare", handle_declare, 0 },
    { "Moved", handle_moved, 0 },
    { "Fork", handle_fork, 0 },
    { "Adopt", handle_adopt, 0 },
    { "Leave", handle_leave, 0 },
    { NULL, NULL, 0 },
};
