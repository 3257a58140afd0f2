/* SPDX-License-Identifier: MIT */
/*
 * The bodies behind server.h, connection.h and call.h, for server.c, listener.c, connection.c and call.c alone.
 *
 * Who holds whom: a server owns its interfaces and listeners, a listener its open connections.  A call holds a
 * reference to its connection.  A connection that is closed keeps nothing but its memory, until the last call is put.
 */
#ifndef DISPATCHD_SERVER_INTERNAL_H
#define DISPATCHD_SERVER_INTERNAL_H

#include <event2/event.h>
#include <sys/queue.h>

#include "envelope.h"
#include "interface.h"
#include "server.h"
#include "stream.h"

/* ---- server.c ------------------------------------------------------------------------------------------ */

struct served_interface {
    struct served_interface *next;
    struct interface *interface;
    const struct method_handler *handlers;
    void *userdata;
};

struct server {
    struct event_base *base;
    struct server_options options;          /* strings owned */
    struct served_interface *interfaces;
    struct served_interface *service;       /* org.varlink.service: the one of them that all listeners serve */
    LIST_HEAD(, listener) listeners;
};

/* By name, which need not be terminated; NULL if it was not added. */
struct served_interface *server_find_interface(struct server *server, const char *name, size_t length);

/* One line to the owner's callback. */
__attribute__((format(printf, 3, 4)))
void server_log(struct server *server, int priority, const char *format, ...);

/* ---- listener.c ---------------------------------------------------------------------------------------- */

struct listener {
    LIST_ENTRY(listener) entry;
    struct server *server;
    struct listener_options options;        /* name owned; limits complete; interfaces is not used */
    struct served_interface **interfaces;   /* org.varlink.service is the last of them */
    size_t n_interfaces;
    int descriptor;
    struct event *acceptable, *resume;      /* resume: a timer, pending while accepting is paused */
    LIST_HEAD(, connection) connections;
    unsigned n_connections;
};

struct listener *listener_free(struct listener *listener);

/* Only what this listener serves; NULL for all else. */
struct served_interface *listener_find_interface(const struct listener *listener, const char *name, size_t length);

/* Does a limit on connections forbid one more of this uid?  Then *ret_limit and *ret_maximum say which. */
bool listener_is_full(const struct listener *listener, uid_t uid, const char **ret_limit, unsigned *ret_maximum);

/* LimitExceeded of the listener's first interface that declares it, to be sent; NULL if none does, or no memory. */
struct json_object *listener_limit_answer(const struct listener *listener, const char *limit, size_t maximum);

/* ---- connection.c -------------------------------------------------------------------------------------- */

struct connection {
    LIST_ENTRY(connection) entry;
    unsigned references;            /* one while open, one a call, one while a function works on it */
    struct listener *listener;      /* NULL when closed, and so are stream and events */
    struct stream *stream;
    struct event *readable, *writable;
    struct event *resume;           /* made active when messages that were received already may be dispatched */
    struct event *stalled;          /* a timer: something is unfinished for too long */
    struct call *pending;           /* the call that is not answered yet; calls behind it wait */
    bool ending;                    /* nothing is read any more; closed when the queue is empty */
    bool progress;                  /* a message was completed since the timer was set */
    struct ucred peer;
    void *userdata;
};

/* A connection on a socket, which is taken over if it succeeds.  Errors: as connection_adopt. */
int connection_new(struct listener *listener, int descriptor, void *userdata, struct connection **ret);

struct connection *connection_get(struct connection *connection);
struct connection *connection_put(struct connection *connection);

/* Queue an answer and send what the socket takes; may close the connection. */
void connection_send(struct connection *connection, struct json_object *message, const int *descriptors, size_t n);

/* `pending` was answered: go on with what waits behind it. */
void connection_answered(struct connection *connection, struct call *call);

/* ---- call.c -------------------------------------------------------------------------------------------- */

/*
 * Dispatch a message as a call: check it, and give it to its handler or refuse it.  The message passes to the
 * call, also on failure.  Makes the call the connection's pending one until it is answered.
 */
void call_dispatch(struct connection *connection, struct message *message);

#endif
