/* SPDX-License-Identifier: MIT */
/*
 * See connection.h.  What a connection waits for follows from its state alone, and is set in one place
 * (connection_update):
 *
 *      reading     nothing is pending, nothing waits to be sent, it is not ending
 *      writing     something waits to be sent
 *      the timer   a message is begun but not complete, or something waits to be sent
 *
 * Any callback of the owner may close the connection, so every function that calls one holds a reference, and looks
 * at connection->listener (NULL: closed) afterwards.
 */
#include "connection.h"

#include <assert.h>
#include <errno.h>
#include <json-c/json.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <syslog.h>

#include "server_internal.h"
#include "util.h"

#define READS_AT_ONCE 16        /* then the loop has its turn */

static bool is_open(const struct connection *connection)
{
    return connection->listener != NULL;
}

/* ---- references ---------------------------------------------------------------------------------------- */

struct connection *connection_get(struct connection *connection)
{
    connection->references++;
    return connection;
}

struct connection *connection_put(struct connection *connection)
{
    if (connection && --connection->references == 0) {
        assert(!is_open(connection));
        free(connection);
    }
    return NULL;
}

static void put_connection(struct connection **connection)
{
    connection_put(*connection);
}

#define _held_ _cleanup_(put_connection) __attribute__((unused))

/* ---- closing ------------------------------------------------------------------------------------------- */

static void connection_log(struct connection *connection, const char *reason)
{
    server_log(connection->listener->server, LOG_WARNING, "%s socket: connection of pid %d, uid %u closed: %s",
               connection->listener->options.name, (int)connection->peer.pid, (unsigned)connection->peer.uid, reason);
}

static void free_event(struct event **event)
{
    if (*event)
        event_free(*event);
    *event = NULL;
}

/* Give back all but the memory. */
static void connection_clear(struct connection *connection)
{
    free_event(&connection->readable);
    free_event(&connection->writable);
    free_event(&connection->resume);
    free_event(&connection->stalled);
    connection->stream = stream_free(connection->stream);
    connection->pending = NULL;
    connection->listener = NULL;
}

void connection_close(struct connection *connection, const char *reason)
{
    struct listener *listener = connection->listener;

    if (!listener)
        return;
    if (reason)
        connection_log(connection, reason);
    LIST_REMOVE(connection, entry);
    listener->n_connections--;
    connection_clear(connection);
    if (listener->options.closed)
        listener->options.closed(connection, listener->options.userdata);
    connection_put(connection);
}

/* ---- events -------------------------------------------------------------------------------------------- */

/* May the next message be dispatched, as far as answers are concerned? */
static bool is_ready_for_calls(const struct connection *connection)
{
    return !connection->pending && !connection->ending && stream_queued(connection->stream) == 0;
}

static void set_timer(struct connection *connection, bool wanted)
{
    const unsigned ms = connection->listener->options.stall_ms;
    const struct timeval interval = {.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000};

    if (!wanted)
        event_del(connection->stalled);
    else if (connection->progress || !event_pending(connection->stalled, EV_TIMEOUT, NULL))
        event_add(connection->stalled, &interval);
    connection->progress = false;
}

/* Wait for what the state asks for. */
static void connection_update(struct connection *connection)
{
    const bool sending = stream_queued(connection->stream) > 0;
    const bool receiving = is_ready_for_calls(connection);

    if (sending)
        event_add(connection->writable, NULL);
    else
        event_del(connection->writable);
    if (receiving && !stream_ready(connection->stream))
        event_add(connection->readable, NULL);
    else
        event_del(connection->readable);
    if (receiving && stream_ready(connection->stream))
        event_active(connection->resume, 0, 0);
    set_timer(connection, sending || (receiving && stream_unfinished(connection->stream) > 0));
}

static void connection_flush(struct connection *connection)
{
    const int r = stream_send(connection->stream);

    if (r == -EPIPE || r == -ECONNRESET)
        connection_close(connection, NULL);
    else if (r < 0 && r != -EAGAIN)
        connection_close(connection, message_error_text(r));
    else if (connection->ending && stream_queued(connection->stream) == 0)
        connection_close(connection, NULL);
    else
        connection_update(connection);
}

void connection_send(struct connection *connection, struct json_object *message, const int *descriptors, size_t n)
{
    const int r = stream_queue(connection->stream, message, descriptors, n);

    if (r == -ENOBUFS)
        connection_close(connection, "it does not read its answers (limit on queued bytes reached)");
    else if (r < 0)
        connection_close(connection, message_error_text(r));
    else
        connection_flush(connection);
}

void connection_answered(struct connection *connection, struct call *call)
{
    if (connection->pending == call)
        connection->pending = NULL;
    if (is_open(connection))
        connection_update(connection);
}

/* ---- ending -------------------------------------------------------------------------------------------- */

/* Read no more; close as soon as what is queued was sent. */
static void connection_end(struct connection *connection)
{
    connection->ending = true;
    if (stream_queued(connection->stream) == 0)
        connection_close(connection, NULL);
    else
        connection_update(connection);
}

/* The peer sent something that is not a message: say so where there is a name for it, and end. */
static void connection_refuse(struct connection *connection, int error)
{
    _held_ struct connection *held = connection_get(connection);
    struct json_object *answer = NULL;
    const char *limit;
    char reason[160];
    size_t maximum;

    snprintf(reason, sizeof reason, "%s", message_error_text(error));
    if (message_limit_of(error, &connection->listener->options.limits, &limit, &maximum)) {
        snprintf(reason, sizeof reason, "%s (limit of %zu %s)", message_error_text(error), maximum, limit);
        answer = listener_limit_answer(connection->listener, limit, maximum);
    }
    connection_log(connection, reason);
    if (answer)
        connection_send(connection, answer, NULL, 0);
    json_object_put(answer);
    if (is_open(connection))
        connection_end(connection);
}

/* The peer will send nothing more; it may still read. */
static void connection_end_of_input(struct connection *connection)
{
    if (stream_unfinished(connection->stream) > 0)
        connection_close(connection, "it ended in the middle of a message");
    else
        connection_end(connection);
}

/* ---- dispatching --------------------------------------------------------------------------------------- */

/* Dispatch the next message of those received.  The connection may be closed afterwards. */
static void connection_dispatch_one(struct connection *connection)
{
    struct message message;
    const int r = stream_next(connection->stream, &message);

    assert(r != 0);
    connection->progress = true;
    if (r < 0)
        connection_refuse(connection, r);
    else
        call_dispatch(connection, &message);
}

static void connection_dispatch(struct connection *connection)
{
    while (is_open(connection) && is_ready_for_calls(connection) && stream_ready(connection->stream))
        connection_dispatch_one(connection);
}

/* Read once.  Returns the bytes read, -EAGAIN for nothing now, 0 if reading is over (and possibly the connection). */
static ssize_t connection_read(struct connection *connection)
{
    const ssize_t n = stream_receive(connection->stream, 0);

    if (n > 0 || n == -EAGAIN)
        return n;
    if (n == 0)
        connection_end_of_input(connection);
    else if (n == -ECONNRESET)
        connection_close(connection, NULL);
    else
        connection_refuse(connection, (int)n);
    return 0;
}

static void on_readable(evutil_socket_t unused, short events, void *userdata)
{
    struct connection *connection = userdata;
    _held_ struct connection *held = connection_get(connection);

    connection_dispatch(connection);
    for (int i = 0; i < READS_AT_ONCE && is_open(connection) && is_ready_for_calls(connection); i++) {
        if (connection_read(connection) <= 0)
            break;
        connection_dispatch(connection);
    }
    if (is_open(connection))
        connection_update(connection);
}

static void on_writable(evutil_socket_t unused, short events, void *userdata)
{
    connection_flush(userdata);
}

static void on_stalled(evutil_socket_t unused, short events, void *userdata)
{
    struct connection *connection = userdata;
    const bool sending = stream_queued(connection->stream) > 0;

    connection_close(connection, sending ? "it does not read its answers" : "it does not finish a message it began");
}

int connection_drain(struct connection *connection)
{
    _held_ struct connection *held = connection_get(connection);
    int there = 0;
    ssize_t received = 0, n = 0;

    if (is_open(connection) && ioctl(connection_descriptor(connection), SIOCINQ, &there) < 0)
        there = 0;
    for (;;) {
        while (is_open(connection) && !connection->pending && !connection->ending && stream_ready(connection->stream))
            connection_dispatch_one(connection);
        if (is_open(connection) && connection->ending)
            connection_close(connection, NULL);
        if (!is_open(connection))
            return -ENOTCONN;
        if (connection->pending)
            return stream_ready(connection->stream) || received < there ? -EBUSY : 0;
        if (n == -EAGAIN || (received > there)) {
            connection_update(connection);
            return 0;
        }
        n = connection_read(connection);
        received += n > 0 ? n : 0;
    }
}

/* ---- life ---------------------------------------------------------------------------------------------- */

static int connection_open(struct connection *connection, int descriptor)
{
    const struct listener_options *options = &connection->listener->options;
    struct event_base *base = connection->listener->server->base;
    int r;

    r = stream_new(descriptor, &options->limits, options->queue_bytes, &connection->stream);
    if (r < 0)
        return r;
    r = stream_peer(connection->stream, &connection->peer);
    if (r < 0)
        return r;
    connection->readable = event_new(base, descriptor, EV_READ | EV_PERSIST, on_readable, connection);
    connection->writable = event_new(base, descriptor, EV_WRITE | EV_PERSIST, on_writable, connection);
    connection->resume = event_new(base, -1, 0, on_readable, connection);
    connection->stalled = event_new(base, -1, 0, on_stalled, connection);
    if (!connection->readable || !connection->writable || !connection->resume || !connection->stalled)
        return -ENOMEM;
    return event_add(connection->readable, NULL) < 0 ? -ENOMEM : 0;
}

/* It came to nothing: the socket goes back to whoever brought it. */
static int connection_abandon(struct connection *connection, int r)
{
    if (connection->stream)
        stream_release(connection->stream);
    connection_clear(connection);
    return r;
}

int connection_new(struct listener *listener, int descriptor, void *userdata, struct connection **ret)
{
    _held_ struct connection *connection = calloc(1, sizeof *connection);
    int r;

    if (!connection)
        return -ENOMEM;
    connection->references = 1;
    connection->listener = listener;
    connection->userdata = userdata;
    r = connection_open(connection, descriptor);
    if (r < 0)
        return connection_abandon(connection, r);
    LIST_INSERT_HEAD(&listener->connections, connection, entry);
    listener->n_connections++;
    r = listener->options.opened ? listener->options.opened(connection, listener->options.userdata) : 0;
    if (r < 0) {
        LIST_REMOVE(connection, entry);
        listener->n_connections--;
        return connection_abandon(connection, r);
    }
    *ret = TAKE_POINTER(connection);
    return 0;
}

int connection_adopt(struct listener *listener, int descriptor, void *userdata, struct connection **ret)
{
    struct ucred peer;
    socklen_t length = sizeof peer;
    const char *limit;
    unsigned maximum;

    /* What is no socket at all is refused, with its errno, by connection_new. */
    if (getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 &&
        listener_is_full(listener, peer.uid, &limit, &maximum))
        return -EUSERS;
    return connection_new(listener, descriptor, userdata, ret);
}

void *connection_userdata(const struct connection *connection)
{
    return connection->userdata;
}

void connection_set_userdata(struct connection *connection, void *userdata)
{
    connection->userdata = userdata;
}

const struct ucred *connection_peer(const struct connection *connection)
{
    return &connection->peer;
}

int connection_descriptor(const struct connection *connection)
{
    return connection->stream ? stream_descriptor(connection->stream) : -EBADF;
}
