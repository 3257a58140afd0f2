/* SPDX-License-Identifier: MIT */
/*
 * The server: listening sockets, connections and calls, on a libevent loop.
 *
 *      server      interfaces and their handlers
 *      listener    a socket, which interfaces it serves, its limits
 *      connection  one conversation
 *      call        one request, answered now or later
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
#include <sys/socket.h>

#include "message.h"

struct event_base;
struct interface;
struct json_object;

struct server;
struct listener;
struct connection;
struct call;

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
 * Serve an interface.  `text`: a .varlink file; it must outlive the server.  `handlers`: an array that ends with a method
 * of NULL, and that outlives the server too.  Must come before server_listen.
 * -EBADMSG: the text is no interface definition; -ENOSYS: a method has no handler; -ENOENT: a handler is for a method that
 * the interface does not have; -EEXIST: served already; -ENOMEM.
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

/* ---- connection ---------------------------------------------------------------------------------------- */

/*
 * Add a connected socket (that of a forked child, sent by its parent) as if it had come through the listener: same
 * interfaces, limits, callbacks.  `opened` is called with `userdata` in place already.  Takes the descriptor over
 * if it succeeds.  Messages that wait in it are dispatched by the loop or by connection_drain.
 * -EUSERS: the limit on connections is reached; what `opened` returned; else as stream_new.
 * The sender of a message is known only if one end had SO_PASSCRED when it was sent: stream_pair sees to that.
 */
int connection_adopt(struct listener *listener, int descriptor, void *userdata, struct connection **ret);

/*
 * Read and dispatch, now, all that the peer had sent when this was called, and notice if it has closed.  The bound is
 * what was in the socket at the beginning, so a peer that keeps sending does not keep us here.
 * Returns 0 if all is dispatched (handlers of oneway calls have returned; others may still owe an answer to
 * the last one); -EBUSY: an earlier call of this connection has no answer yet, so what came behind it waits;
 * -ENOTCONN: the conversation is over: `closed` was called, now or before (everything before the end was dispatched).
 * May be called from a handler.  Never from inside `opened` or `closed`.
 */
int connection_drain(struct connection *connection);

/* Close it now; what is queued is lost.  `closed` is called before this returns.  reason: the log line's end. */
void connection_close(struct connection *connection, const char *reason);

void *connection_userdata(const struct connection *connection);
void connection_set_userdata(struct connection *connection, void *userdata);

/* The peer as of connecting (SO_PEERCRED).  For an adopted connection: the process that made the pair. */
const struct ucred *connection_peer(const struct connection *connection);

/* The socket, for SO_PEERPIDFD and the like; it stays the connection's. */
int connection_descriptor(const struct connection *connection);

/* ---- call ---------------------------------------------------------------------------------------------- */

struct call *call_get(struct call *call);

/* NULL is fine; returns NULL. */
struct call *call_put(struct call *call);

/* Fully qualified name of the method. */
const char *call_method(const struct call *call);

/* Checked against the interface; of type object, never NULL; borrowed from the call. */
struct json_object *call_parameters(const struct call *call);

/* NULL if the connection is closed: the answer will go nowhere. */
struct connection *call_connection(const struct call *call);

/* The peer as of connecting; valid also when the connection is gone. */
const struct ucred *call_peer(const struct call *call);

/* Who wrote this very message, from the kernel.  NULL: not known (no credentials passed on this socket). */
const struct ucred *call_sender(const struct call *call);

/* Descriptors that came with the call; taken ones are the caller's, the others are closed with the call. */
size_t call_descriptors(const struct call *call);
int call_take_descriptor(struct call *call, size_t index);      /* -EBADF: there is none, or taken before */

bool call_is_oneway(const struct call *call);   /* an answer goes nowhere, but is allowed */
bool call_wants_more(const struct call *call);

/*
 * Answer.  parameters: may be NULL for none; the reference passes to the call (also on failure), so that
 * json_object_new_...() can be written in place.  descriptors: duplicated, the caller keeps its own.
 * A call has one answer, except that any number of call_reply_continues may come before it if it wants `more`.
 * The answer is asserted to fit the interface.  Returns 0 also where nobody is left to read it; -ENOMEM, -EMFILE: the
 * connection was closed for it, with a log line, so callers may ignore the result.
 */
int call_reply(struct call *call, struct json_object *parameters);
int call_reply_descriptors(struct call *call, struct json_object *parameters, const int *descriptors, size_t n);
int call_reply_continues(struct call *call, struct json_object *parameters);

/* Answer with an error: fully qualified, declared in its interface ("io.dispatchd.Control.UnknownTable"). */
int call_error(struct call *call, const char *error, struct json_object *parameters);

/* Answer with InvalidParameter, for what the interface's types cannot say ("key", "must be below 4294967296"). */
int call_invalid_parameter(struct call *call, const char *parameter, const char *reason);

#endif
