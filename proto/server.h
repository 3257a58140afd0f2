/* SPDX-License-Identifier: MIT */
/*
 * The server: listening sockets, connections and calls, on a libevent loop.
 *
 *      server          interfaces and their handlers
 *      listener        a socket, which interfaces it serves, its limits
 *      connection.h    one conversation
 *      call.h          one request, answered now or later
 *
 * What a peer sends is checked against the interface before a handler sees it, and refused by name:
 *
 *      org.varlink.service.InterfaceNotFound   the listener does not serve it
 *      org.varlink.service.MethodNotFound
 *      org.varlink.service.InvalidParameter    parameter: the path; reason: what is wrong with it
 *      org.varlink.service.ExpectedMore        the method streams and was called without `more`
 *      <interface>.LimitExceeded               limit, maximum; then the connection is closed
 *
 * A message that is not even a call is a closed connection.  Each closing that is not the peer's own doing, and each
 * oneway call that was refused, is one line through the owner's log callback; the server itself never logs.
 *
 * Order: calls of one connection are answered in the order in which they came.  The next is dispatched after the
 * one before was answered and its answer was sent, so a client that does not read does not make us work.
 *
 * Everything here belongs to the thread of the event loop.  No function is safe in a signal handler.
 */
#ifndef DISPATCHD_SERVER_H
#define DISPATCHD_SERVER_H

#include <stdbool.h>
#include <stddef.h>

#include "call.h"
#include "connection.h"
#include "message.h"

struct event_base;

struct server;
struct listener;

/* ---- server -------------------------------------------------------------------------------------------- */

/* What org.varlink.service.GetInfo says, and where log lines go.  Strings are copied. */
struct server_options {
    const char *vendor, *product, *version, *url;
    /* priority: as syslog(3); text: one line without newline, valid during the call.  May be NULL. */
    void (*log)(void *userdata, int priority, const char *text);
    void *userdata;
};

/* -ENOMEM. */
int server_new(struct event_base *base, const struct server_options *options, struct server **ret);

/*
 * Closes all listeners and connections (`closed` is called for each).  Calls that are not answered yet stay valid
 * until their last reference is put; their answers go nowhere.  NULL is fine; returns NULL.
 */
struct server *server_free(struct server *server);

enum method_flags {
    METHOD_REQUIRES_MORE = 1 << 0,      /* streams: ExpectedMore without `more` */
};

/*
 * A handler answers the call before it returns, or takes a reference with call_get and answers later.  A call whose
 * last reference goes without an answer closes the connection, with a log line: nobody waits for ever.
 */
struct method_handler {
    const char *method;                 /* within the interface: "Attach" */
    void (*handle)(struct call *call, void *userdata);
    unsigned flags;                     /* enum method_flags */
};

/*
 * Serve an interface.  `text`: a .varlink file.  `handlers`: an array that ends with a method of NULL, and that
 * outlives the server.  Must come before server_listen.
 * -EBADMSG: the text is no interface definition; -ENOSYS: a method has no handler; -ENOENT: a handler is for a method
 * that the interface does not have; -EEXIST: two are for one method, or the interface is served already; -ENOMEM.
 */
int server_add_interface(struct server *server, const char *text, const struct method_handler *handlers,
                         void *userdata);

/* ---- listener ------------------------------------------------------------------------------------------ */

struct listener_options {
    const char *name;                   /* for log lines: "control" */
    const char *const *interfaces;      /* names, ends with NULL; org.varlink.service is served everywhere */
    struct message_limits limits;       /* of one message; 0s are the defaults */
    size_t queue_bytes;                 /* answers that wait for a peer that reads slowly; then it is closed [8 MiB] */
    unsigned connections;               /* at once, adopted ones included [1024] */
    unsigned connections_per_uid;       /* [64; for uid 0 as for others] */
    unsigned stall_ms;                  /* an unfinished message, or an answer not taken, this long: closed [30000] */
    bool pass_credentials;              /* the kernel notes the sender of each message: call_sender */
    /* A connection came: 0, or negative to close it again (no `closed` then).  May be NULL. */
    int (*opened)(struct connection *connection, void *userdata);
    /* A connection ended, for whatever reason; it is not to be used afterwards.  May be NULL. */
    void (*closed)(struct connection *connection, void *userdata);
    void *userdata;
};

/*
 * Accept connections on a listening Unix stream socket, made here or by systemd.  Takes the descriptor over if it
 * succeeds.  Strings and the list of interfaces are copied.
 * -ENOENT: an interface was not added; -ENOTSOCK, -EPROTOTYPE, -EINVAL: the descriptor is not such a socket; -ENOMEM.
 * When this process can open no more descriptors, accepting pauses for 100 ms, with one log line.
 */
int server_listen(struct server *server, int descriptor, const struct listener_options *options,
                  struct listener **ret);

#endif
