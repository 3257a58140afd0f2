/* SPDX-License-Identifier: MIT */
/*
 * The caller: the blocking client side of a conversation, for dispatchctl and libdispatchd.
 *
 * Every function has a deadline, is indifferent to signals (EINTR), raises no SIGPIPE, never logs, and bounds what
 * the daemon can make it hold (an answer: 16 MiB, a million values, 16 descriptors).
 *
 * A conversation that failed is over: after any negative result except -EINVAL all later calls give -ENOTCONN, so that
 * the answer of one call is never taken for that of another.  A caller is used by one thread at a time.
 *
 * Errors of all calls: -ETIMEDOUT (the deadline passed), -ECONNRESET (the other side went away), -EPROTO (the
 * answer does not fit the interface), -ENOTCONN (failed before), those of message.h for an answer beyond the limits,
 * -ENOMEM, and what the system call in question gives.
 */
#ifndef DISPATCHD_CALLER_H
#define DISPATCHD_CALLER_H

#include "message.h"

struct caller;
struct interface;

/* The answer to one call.  All zero before the first use. */
struct caller_reply {
    const char *error;                  /* fully qualified name; NULL where the call succeeded */
    struct json_object *parameters;     /* of type object, never NULL; borrowed from message */
    bool continues;                     /* more answers follow: caller_next */
    struct message message;             /* owns all of it; descriptors: message_take_descriptor(&reply.message, i) */
};

/* Fine on an all-zero reply. */
void caller_reply_done(struct caller_reply *reply);

/*
 * Connect to a socket.  path: at most 107 bytes, else -ENAMETOOLONG.  interface: answers of its methods are checked
 * against it (fields that it lacks are let pass: a newer daemon), so that the types of what is there can be relied
 * upon; errors of other interfaces are passed on unchecked; it must outlive the caller; NULL: no check.
 * timeout_ms: more than 0.  -ENOENT, -ECONNREFUSED, -EACCES, ...: of connect(2); -ETIMEDOUT: the other side does not
 * accept (its queue is full).
 */
int caller_connect(const char *path, const struct interface *interface, int timeout_ms, struct caller **ret);

/* A conversation on a connected socket; takes the descriptor over if it succeeds.  Errors: of stream_new. */
int caller_new(int descriptor, const struct interface *interface, struct caller **ret);

/* Closes the socket.  NULL is fine; returns NULL. */
struct caller *caller_free(struct caller *caller);

/* The socket, which stays the caller's: readable means that the daemon went away, since it says nothing unasked. */
int caller_descriptor(const struct caller *caller);

/*
 * Call a method and wait for the answer.  method: fully qualified.  parameters: may be NULL; stay the caller's.
 * descriptors: duplicated into the message.  0: there is an answer, and ret->error says which kind; the caller of
 * this ends it with caller_reply_done.  -EINVAL: the answer to a caller_more is still unfinished.
 */
int caller_call(struct caller *caller, const char *method, struct json_object *parameters, const int *descriptors,
                size_t n_descriptors, int timeout_ms, struct caller_reply *ret);

/* Call a method and send nothing back: returns when the message is in the socket. */
int caller_oneway(struct caller *caller, const char *method, struct json_object *parameters,
                  const int *descriptors, size_t n_descriptors, int timeout_ms);

/* Call a method that may answer more than once: as caller_call, and while ret->continues, caller_next for the rest. */
int caller_more(struct caller *caller, const char *method, struct json_object *parameters, int timeout_ms,
                struct caller_reply *ret);

/* The next answer of a caller_more.  -EINVAL: there is none to come. */
int caller_next(struct caller *caller, int timeout_ms, struct caller_reply *ret);

#endif
