/* SPDX-License-Identifier: MIT */
/*
 * The call: one request that a server received, checked against its interface, to be answered now or later.
 * Counted references; valid also when the peer or the whole server has gone (the answer then goes nowhere).
 * Belongs to the thread of the event loop; no function is safe in a signal handler.
 */
#ifndef DISPATCHD_CALL_H
#define DISPATCHD_CALL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

struct call;
struct connection;
struct json_object;

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
 * Answer.  parameters: may be NULL for none; the reference passes to the call, so that json_object_new_...() can be
 * written in place.  descriptors: duplicated, the caller keeps its own.
 * A call has one answer, except that any number of call_reply_continues may come before it if it wants `more`.
 * The answer is asserted to fit the interface.  Where it cannot be sent (no memory, no descriptors, a peer that lets
 * answers pile up) the connection is closed with a log line; where the peer is gone, nothing happens.
 */
void call_reply(struct call *call, struct json_object *parameters);
void call_reply_descriptors(struct call *call, struct json_object *parameters, const int *descriptors, size_t n);
void call_reply_continues(struct call *call, struct json_object *parameters);

/*
 * For those who answer more than once: bytes of answers that the peer has not taken yet (0: the connection is closed);
 * and has it closed its end, so that nobody waits for more?  While a call is not answered its connection is not read,
 * so nothing else tells.
 */
size_t call_queued(const struct call *call);
bool call_is_deserted(const struct call *call);

/* Close the call's connection without a log line: the peer has gone, or all ends.  Fine where it is closed. */
void call_close(struct call *call);

/* Answer with an error: fully qualified, declared in its interface ("io.dispatchd.Control.UnknownTable"). */
void call_error(struct call *call, const char *error, struct json_object *parameters);

/* Answer with InvalidParameter, for what the interface's types cannot say ("key", "must be below 4294967296"). */
void call_invalid_parameter(struct call *call, const char *parameter, const char *reason);

#endif
