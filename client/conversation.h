/* SPDX-License-Identifier: MIT */
/*
 * The conversation with a daemon: one socket, calls of io.dispatchd.Worker, at most one of them unanswered.
 *
 * Nothing here blocks but what says so; whoever waits does it on the descriptor.  What the daemon sends is checked
 * against the interface.  All functions are called with the library's lock.
 */
#ifndef DISPATCHD_CONVERSATION_H
#define DISPATCHD_CONVERSATION_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "descriptor.h"
#include "message.h"

struct stream;
struct json_object;

struct conversation {
    struct stream *stream;          /* NULL: there is none */
    struct descriptor socket;
    const char *awaiting;           /* method whose answer is to come ("Join"), a literal; NULL: none */
};

/* The answer to the call that was awaited. */
struct answer {
    const char *method;
    const char *error;              /* without the interface's name; NULL: success */
    struct json_object *parameters; /* of type object, fits the interface; borrowed from message */
    struct message message;         /* owns all of it */
};

void answer_done(struct answer *answer);

/* Once, before anything else: read the interface.  -ENOMEM. */
int conversation_prepare(void);

/* Connect to a socket.  -ENAMETOOLONG, and those of connect(2) (-EAGAIN: its queue is full). */
int conversation_connect(struct conversation *conversation, const char *path);

/* Whose effective user it is that listened on the socket, when that began: systemd's, where that did. */
int conversation_listener(const struct conversation *conversation, uid_t *ret);

/* Begin on a connected socket, which it takes over on success. */
int conversation_begin(struct conversation *conversation, int socket);

/* End it.  A descriptor that is not ours any more is left alone. */
void conversation_end(struct conversation *conversation);

/* Is it there, and its descriptor still ours? */
bool conversation_is_alive(const struct conversation *conversation);

/*
 * Send a call whose answer is awaited; nothing must be awaited.  parameters may be NULL and stay the caller's.  What
 * does not fit the socket now goes with later calls of conversation_receive().  After an error the conversation is
 * over.
 */
int conversation_call(struct conversation *conversation, const char *method, struct json_object *parameters,
                      const int *descriptors, size_t n_descriptors);

/*
 * Send a call that has no answer and wait, with a bound, until the socket has taken it: for fork().  -ETIMEDOUT,
 * others: it is not sent later either, unless a part of it was sent.
 */
int conversation_tell(struct conversation *conversation, const char *method, const int *descriptors,
                      size_t n_descriptors, int timeout_ms);

/* Something waits to be sent: watch for room, too. */
bool conversation_is_sending(const struct conversation *conversation);

/*
 * Send and read what there is.  1: *ret is the awaited answer, the caller ends it with answer_done(); 0: not yet;
 * negative: the conversation is over (-ECONNRESET: the daemon is gone; -EPROTO: it does not keep to the interface;
 * others).
 */
int conversation_receive(struct conversation *conversation, struct answer *ret);

#endif
