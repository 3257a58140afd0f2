/* SPDX-License-Identifier: MIT */
/* See server.h: a listening socket, what it serves, and how many may come. */
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <string.h>
#include <sys/socket.h>
#include <syslog.h>

#include "server_internal.h"
#include "util.h"

#define CONNECTIONS_DEFAULT 1024u
#define CONNECTIONS_PER_UID_DEFAULT 64u
#define STALL_MS_DEFAULT 30000u
#define ACCEPTED_AT_ONCE 16         /* then the loop has its turn */
#define PAUSE_MS 100

/* ---- limits -------------------------------------------------------------------------------------------- */

struct served_interface *listener_find_interface(const struct listener *listener, const char *name, size_t length)
{
    struct served_interface *served = server_find_interface(listener->server, name, length);

    for (size_t i = 0; served && i < listener->n_interfaces; i++)
        if (listener->interfaces[i] == served)
            return served;
    return NULL;
}

bool listener_is_full(const struct listener *listener, uid_t uid, const char **ret_limit, unsigned *ret_maximum)
{
    const struct connection *connection;
    unsigned same_uid = 0;

    if (listener->n_connections >= listener->options.connections) {
        *ret_limit = "connections";
        *ret_maximum = listener->options.connections;
        return true;
    }
    LIST_FOREACH(connection, &listener->connections, entry)
        if (connection->peer.uid == uid)
            same_uid++;
    if (same_uid >= listener->options.connections_per_uid) {
        *ret_limit = "connections_per_uid";
        *ret_maximum = listener->options.connections_per_uid;
        return true;
    }
    return false;
}

struct json_object *listener_limit_answer(const struct listener *listener, const char *limit, size_t maximum)
{
    struct json_object *answer = NULL, *parameters = NULL;
    char error[256];
    size_t i = 0;

    while (i < listener->n_interfaces && !interface_error(listener->interfaces[i]->interface, "LimitExceeded"))
        i++;
    if (i == listener->n_interfaces)
        return NULL;
    snprintf(error, sizeof error, "%s.LimitExceeded", listener->interfaces[i]->interface->name);
    parameters = json_object_new_object();
    json_object_object_add(parameters, "limit", json_object_new_string(limit));
    json_object_object_add(parameters, "maximum", json_object_new_int64((int64_t)maximum));
    if (envelope_make_reply(&(struct envelope_reply){.error = error, .parameters = parameters}, &answer) < 0)
        answer = NULL;
    json_object_put(parameters);
    return answer;
}

/* ---- accepting ----------------------------------------------------------------------------------------- */

/* Tell a peer who is one too many, if it can be told at once, and close. */
static void listener_turn_away(struct listener *listener, int descriptor, const char *limit, unsigned maximum)
{
    struct json_object *answer = listener_limit_answer(listener, limit, maximum);
    struct stream *stream = NULL;

    if (stream_new(descriptor, NULL, 0, &stream) < 0)
        close(descriptor);
    else if (answer && stream_queue(stream, answer, NULL, 0) == 0)
        (void)stream_send(stream);
    stream_free(stream);
    json_object_put(answer);
}

static void listener_admit(struct listener *listener, int descriptor)
{
    struct ucred peer = {0};
    socklen_t length = sizeof peer;
    struct connection *connection;
    const char *limit;
    unsigned maximum;
    int r;

    /* Cannot fail on a connected Unix socket. */
    (void)getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &peer, &length);
    if (listener_is_full(listener, peer.uid, &limit, &maximum)) {
        server_log(listener->server, LOG_WARNING, "%s socket: pid %d, uid %u turned away: limit of %u %s reached",
                   listener->options.name, (int)peer.pid, (unsigned)peer.uid, maximum, limit);
        listener_turn_away(listener, descriptor, limit, maximum);
        return;
    }
    r = connection_new(listener, descriptor, NULL, &connection);
    if (r < 0)
        close(descriptor);
    if (r < 0 && r != -ENOTCONN)        /* -ENOTCONN: it went away before we looked */
        server_log(listener->server, LOG_WARNING, "%s socket: pid %d, uid %u turned away: %s", listener->options.name,
                   (int)peer.pid, (unsigned)peer.uid, message_error_text(r));
}

/*
 * No descriptors or memory left, most likely: the waiting connection stays readable, so without a pause the loop would
 * turn without end.
 */
static void listener_pause(struct listener *listener, int error)
{
    server_log(listener->server, LOG_ERR, "%s socket: accepting paused for %d ms: %s", listener->options.name, PAUSE_MS,
               strerrordesc_np(error));
    event_del(listener->acceptable);
    event_add(listener->resume, &(struct timeval){.tv_usec = PAUSE_MS * 1000});
}

static void on_resume(evutil_socket_t unused, short events, void *userdata)
{
    struct listener *listener = userdata;

    event_add(listener->acceptable, NULL);
}

static void on_acceptable(evutil_socket_t unused, short events, void *userdata)
{
    struct listener *listener = userdata;

    for (int i = 0; i < ACCEPTED_AT_ONCE; i++) {
        const int descriptor = accept4(listener->descriptor, NULL, NULL, SOCK_CLOEXEC);

        if (descriptor >= 0)
            listener_admit(listener, descriptor);
        else if (errno == EAGAIN)
            return;
        else if (errno != EINTR && errno != ECONNABORTED) {
            listener_pause(listener, errno);
            return;
        }
    }
}

/* ---- life ---------------------------------------------------------------------------------------------- */

/* A listening Unix stream socket, made ready for us. */
static int prepare_socket(int descriptor, bool pass_credentials)
{
    int domain = 0, type = 0, listening = 0, flags;
    socklen_t length = sizeof(int);

    if (getsockopt(descriptor, SOL_SOCKET, SO_DOMAIN, &domain, &length) < 0 ||
        getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &length) < 0 ||
        getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) < 0)
        return -errno;
    if (domain != AF_UNIX || type != SOCK_STREAM)
        return -EPROTOTYPE;
    if (!listening)
        return -EINVAL;
    /* Accepted sockets inherit this, so no message can arrive before it is in force. */
    if (pass_credentials && setsockopt(descriptor, SOL_SOCKET, SO_PASSCRED, &(int){1}, sizeof(int)) < 0)
        return -errno;
    flags = fcntl(descriptor, F_GETFL);
    return flags < 0 || fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : 0;
}

static int copy_options(struct listener *listener, const struct listener_options *options)
{
    listener->options = *options;
    listener->options.interfaces = NULL;
    listener->options.limits = message_limits_complete(&options->limits);
    listener->options.connections = options->connections ?: CONNECTIONS_DEFAULT;
    listener->options.connections_per_uid = options->connections_per_uid ?: CONNECTIONS_PER_UID_DEFAULT;
    listener->options.stall_ms = options->stall_ms ?: STALL_MS_DEFAULT;
    listener->options.name = strdup(options->name);
    return listener->options.name ? 0 : -ENOMEM;
}

static int find_interfaces(struct listener *listener, const char *const *names)
{
    struct server *server = listener->server;
    size_t n = 0;

    while (names[n])
        n++;
    listener->interfaces = calloc(n + 1, sizeof *listener->interfaces);
    if (!listener->interfaces)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        listener->interfaces[i] = server_find_interface(server, names[i], strlen(names[i]));
        if (!listener->interfaces[i])
            return -ENOENT;
    }
    listener->interfaces[n] = server->service;
    listener->n_interfaces = n + 1;
    return 0;
}

static void free_listener(struct listener **listener)
{
    listener_free(*listener);
}

int server_listen(struct server *server, int descriptor, const struct listener_options *options, struct listener **ret)
{
    _cleanup_(free_listener) struct listener *listener = calloc(1, sizeof *listener);
    int r;

    if (!listener)
        return -ENOMEM;
    listener->server = server;
    listener->descriptor = -EBADF;
    LIST_INIT(&listener->connections);
    LIST_INSERT_HEAD(&server->listeners, listener, entry);

    r = copy_options(listener, options);
    if (r < 0)
        return r;
    r = find_interfaces(listener, options->interfaces);
    if (r < 0)
        return r;
    r = prepare_socket(descriptor, options->pass_credentials);
    if (r < 0)
        return r;
    listener->acceptable = event_new(server->base, descriptor, EV_READ | EV_PERSIST, on_acceptable, listener);
    listener->resume = event_new(server->base, -1, 0, on_resume, listener);
    if (!listener->acceptable || !listener->resume || event_add(listener->acceptable, NULL) < 0)
        return -ENOMEM;
    listener->descriptor = descriptor;
    *ret = TAKE_POINTER(listener);
    return 0;
}

static void free_event(struct event *event)
{
    if (event)
        event_free(event);
}

struct listener *listener_free(struct listener *listener)
{
    if (!listener)
        return NULL;
    while (!LIST_EMPTY(&listener->connections))
        connection_close(LIST_FIRST(&listener->connections), NULL);
    LIST_REMOVE(listener, entry);
    free_event(listener->acceptable);
    free_event(listener->resume);
    close_descriptor(&listener->descriptor);
    free(listener->interfaces);
    free((char *)listener->options.name);
    free(listener);
    return NULL;
}
