/* SPDX-License-Identifier: MIT */
/* See call.h. */
#include "call.h"

#include <assert.h>
#include <errno.h>
#include <json-c/json.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "parameters.h"
#include "server_internal.h"
#include "util.h"

struct call {
    unsigned references;
    struct connection *connection;              /* holds a reference */
    struct message message;
    struct envelope_call envelope;              /* borrows from message */
    struct json_object *parameters;             /* never NULL */
    const struct served_interface *served;      /* NULL until found, and so is method; gone with the server */
    const struct interface_member *method;
    struct ucred peer;
    bool answered;
};

/* ---- references ---------------------------------------------------------------------------------------- */

struct call *call_get(struct call *call)
{
    call->references++;
    return call;
}

static bool is_connected(const struct call *call)
{
    return call->connection->listener != NULL;
}

/*
 * The answer goes out next, and then the next call of the connection may be dispatched.  Who waits for none has had its
 * next one dispatched already, when the handler came back.
 */
static void call_finish(struct call *call)
{
    if (call->answered && call->envelope.oneway)
        return;
    assert(!call->answered);
    call->answered = true;
    connection_answered(call->connection, call);
}

struct call *call_put(struct call *call)
{
    char reason[200];

    if (!call || --call->references > 0)
        return NULL;
    if (!call->answered && is_connected(call)) {
        snprintf(reason, sizeof reason, "call of %s was left without an answer", call_method(call));
        connection_close(call->connection, reason);
    }
    connection_put(call->connection);
    json_object_put(call->parameters);
    message_done(&call->message);
    free(call);
    return NULL;
}

/* ---- what it asks -------------------------------------------------------------------------------------- */

const char *call_method(const struct call *call)
{
    return call->envelope.method;
}

struct json_object *call_parameters(const struct call *call)
{
    return call->parameters;
}

struct connection *call_connection(const struct call *call)
{
    return is_connected(call) ? call->connection : NULL;
}

const struct ucred *call_peer(const struct call *call)
{
    return &call->peer;
}

const struct ucred *call_sender(const struct call *call)
{
    return call->message.sender.pid > 0 ? &call->message.sender : NULL;
}

size_t call_descriptors(const struct call *call)
{
    return call->message.n_descriptors;
}

int call_take_descriptor(struct call *call, size_t index)
{
    return message_take_descriptor(&call->message, index);
}

bool call_is_oneway(const struct call *call)
{
    return call->envelope.oneway;
}

bool call_wants_more(const struct call *call)
{
    return call->envelope.more;
}

/* ---- answering ----------------------------------------------------------------------------------------- */

/* Is this an answer that the interface declares?  For asserts: a wrong one is our own mistake. */
static bool is_declared(const struct call *call, const struct envelope_reply *reply)
{
    const struct interface *service = call->connection->listener->server->service->interface;
    const struct interface_member *error;

    if (!reply->error)
        return call->method && parameters_check(call->method->output, reply->parameters, 0, NULL) == 0;
    error = interface_qualified_error(service, reply->error);
    if (!error && call->served)
        error = interface_qualified_error(call->served->interface, reply->error);
    return error && parameters_check(error->input, reply->parameters, 0, NULL) == 0;
}

static void call_send(struct call *call, const struct envelope_reply *reply, const int *descriptors, size_t n)
{
    struct json_object *message = NULL;

    if (!is_connected(call) || call->envelope.oneway)
        return;
    assert(is_declared(call, reply));
    if (envelope_make_reply(reply, &message) < 0)
        connection_close(call->connection, "no memory for an answer");
    else
        connection_send(call->connection, message, descriptors, n);
    json_object_put(message);
}

void call_reply_descriptors(struct call *call, struct json_object *parameters, const int *descriptors, size_t n)
{
    call_finish(call);
    call_send(call, &(struct envelope_reply){.parameters = parameters}, descriptors, n);
    json_object_put(parameters);
}

void call_reply(struct call *call, struct json_object *parameters)
{
    call_reply_descriptors(call, parameters, NULL, 0);
}

void call_reply_continues(struct call *call, struct json_object *parameters)
{
    assert(!call->answered && call->envelope.more);
    call_send(call, &(struct envelope_reply){.parameters = parameters, .continues = true}, NULL, 0);
    json_object_put(parameters);
}

size_t call_queued(const struct call *call)
{
    return is_connected(call) ? stream_queued(call->connection->stream) : 0;
}

bool call_is_deserted(const struct call *call)
{
    struct pollfd peer = { .fd = connection_descriptor(call->connection) };

    return !is_connected(call) || (poll(&peer, 1, 0) > 0 && peer.revents & (POLLHUP | POLLERR));
}

void call_close(struct call *call)
{
    if (is_connected(call))
        connection_close(call->connection, NULL);
}

void call_error(struct call *call, const char *error, struct json_object *parameters)
{
    call_finish(call);
    call_send(call, &(struct envelope_reply){.error = error, .parameters = parameters}, NULL, 0);
    json_object_put(parameters);
}

void call_invalid_parameter(struct call *call, const char *parameter, const char *reason)
{
    struct json_object *parameters = json_object_new_object();

    json_object_object_add(parameters, "parameter", json_object_new_string(parameter));
    json_object_object_add(parameters, "reason", json_object_new_string(reason));
    call_error(call, "org.varlink.service.InvalidParameter", parameters);
}

/* ---- dispatching --------------------------------------------------------------------------------------- */

/* A refused oneway call leaves no other trace than this. */
static void log_refusal(struct call *call, const char *why)
{
    struct listener *listener = call->connection->listener;

    if (call->envelope.oneway)
        server_log(listener->server, LOG_WARNING, "%s socket: oneway call of pid %d, uid %u to %s ignored: %s",
                   listener->options.name, (int)call->peer.pid, (unsigned)call->peer.uid, call_method(call), why);
}

/* Refuse with an error of org.varlink.service that has one string, or none. */
static void call_refuse(struct call *call, const char *error, const char *member, struct json_object *value)
{
    struct json_object *parameters = json_object_new_object();

    log_refusal(call, error);
    if (member)
        json_object_object_add(parameters, member, value);
    call_error(call, error, parameters);
}

static void call_refuse_parameter(struct call *call, const char *parameter, const char *reason)
{
    char why[400];

    snprintf(why, sizeof why, "%s %s", parameter, reason);
    log_refusal(call, why);
    call_invalid_parameter(call, parameter, reason);
}

/* Look up interface and method, allowed ones only.  False: the call was refused. */
static bool call_find_method(struct call *call)
{
    size_t length = 0;
    const char *method = envelope_split_name(call->envelope.method, &length);

    call->served = listener_find_interface(call->connection->listener, call->envelope.method, length);
    if (!call->served) {
        call_refuse(call, "org.varlink.service.InterfaceNotFound", "interface",
                    json_object_new_string_len(call->envelope.method, (int)length));
        return false;
    }
    call->method = interface_method(call->served->interface, method);
    if (!call->method) {
        call_refuse(call, "org.varlink.service.MethodNotFound", "method",
                    json_object_new_string(call->envelope.method));
        return false;
    }
    return true;
}

static const struct method_handler *call_find_handler(const struct call *call)
{
    const struct method_handler *handler = call->served->handlers;

    while (strcmp(handler->method, call->method->name) != 0)    /* server_add_interface made sure of it */
        handler++;
    return handler;
}

static void call_handle(struct call *call)
{
    const struct method_handler *handler;
    struct parameters_fault fault;
    const char *member;

    if (envelope_read_call(call->message.object, &call->envelope, &member) < 0) {
        call->envelope.method = "?";
        call_refuse_parameter(call, member, "is not a valid member of a call, or is missing");
        return;
    }
    json_object_put(call->parameters);
    call->parameters = json_object_get(call->envelope.parameters) ?: json_object_new_object();
    if (!call_find_method(call))
        return;
    if (parameters_check(call->method->input, call->parameters, 0, &fault) < 0) {
        call_refuse_parameter(call, fault.parameter, fault.reason);
        return;
    }
    handler = call_find_handler(call);
    if (handler->flags & METHOD_REQUIRES_MORE && !call->envelope.more) {
        call_refuse(call, "org.varlink.service.ExpectedMore", NULL, NULL);
        return;
    }
    handler->handle(call, call->served->userdata);
    if (call->envelope.oneway && !call->answered)
        call_finish(call);
}

void call_dispatch(struct connection *connection, struct message *message)
{
    struct call *call = calloc(1, sizeof *call);

    if (!call) {
        message_done(message);
        connection_close(connection, "no memory for a call");
        return;
    }
    call->references = 1;
    call->connection = connection_get(connection);
    call->message = *message;
    call->peer = connection->peer;
    connection->pending = call;
    call_handle(call);
    call_put(call);
}
