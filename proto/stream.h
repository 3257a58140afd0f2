/* SPDX-License-Identifier: MIT */
/*
 * The stream: a connected Unix socket that carries messages both ways, without ever blocking or raising SIGPIPE.
 * Who waits, and how (poll, libevent), is the business of the module above.
 *
 *      life        new, free, the descriptor
 *      receiving   bytes from the socket, messages out of them
 *      sending     messages into a bounded queue, bytes into the socket
 *
 * A stream is used by one thread at a time.  No function is safe in a signal handler.
 */
#ifndef DISPATCHD_STREAM_H
#define DISPATCHD_STREAM_H

#include "message.h"

struct stream;

/* ---- life ---------------------------------------------------------------------------------------------- */

/*
 * A stream on a connected Unix stream socket.  Takes the descriptor over if it succeeds.  queue_bytes bounds what
 * waits to be sent (0: 8 MiB).  -ENOTSOCK, -EPROTOTYPE: not a connected Unix stream socket; -ENOTCONN; -ENOMEM.
 * The descriptor may come from a hostile peer who shares it: its file status flags do not matter here.
 */
int stream_new(int descriptor, const struct message_limits *limits, size_t queue_bytes, struct stream **ret);

/* Closes the socket, received descriptors that nobody took, and what is queued.  NULL is fine; returns NULL. */
struct stream *stream_free(struct stream *stream);

/* The socket; it stays the stream's. */
int stream_descriptor(const struct stream *stream);

/* Give the socket away: it is the caller's, and the stream is good for stream_free only. */
int stream_release(struct stream *stream);

/* Who connected or listened on the other side (SO_PEERCRED): as it was then, and not after a fork. */
int stream_peer(const struct stream *stream, struct ucred *ret);

/*
 * Two connected close-on-exec sockets on which the kernel notes the sender of each message (SO_PASSCRED) from the
 * first byte on, whichever end is read when.  For a parent that makes its child's conversation.
 */
int stream_pair(int ret[2]);

/* ---- receiving ----------------------------------------------------------------------------------------- */

/*
 * Read once from the socket, at most `maximum` bytes (0: as much as is usual).  Returns the bytes read, 0 at the end
 * of the conversation, -EAGAIN if there is nothing now.  -EMFILE: descriptors came that this process cannot hold;
 * -EMSGSIZE, -ETOOMANYREFS, -EBADMSG: as reader.h says; others: of recvmsg(2).  After an error but -EAGAIN the
 * stream is of no use.  Received descriptors are close-on-exec.
 */
ssize_t stream_receive(struct stream *stream, size_t maximum);

/* The next message of those received; returns as reader_next does. */
int stream_next(struct stream *stream, struct message *ret);

/* As reader_ready and reader_unfinished. */
bool stream_ready(const struct stream *stream);
size_t stream_unfinished(const struct stream *stream);

/* ---- sending ------------------------------------------------------------------------------------------- */

/*
 * Append a message.  The descriptors are duplicated: the caller keeps its own.  Nothing is queued on failure.
 * -ENOBUFS: the queue would exceed its limit; -ETOOMANYREFS: more descriptors than the kernel passes; -EMFILE; -ENOMEM.
 */
int stream_queue(struct stream *stream, struct json_object *object, const int *descriptors, size_t n_descriptors);

/*
 * Send what the socket takes.  0: the queue is empty; -EAGAIN: something is left, try again when it is writable;
 * -EPIPE, -ECONNRESET: nobody reads any more; others: of sendmsg(2).  Descriptors go with the first byte of their
 * message.
 */
int stream_send(struct stream *stream);

/* Take the message that was queued last out again, with its descriptors.  false: it was sent, or a part of it. */
bool stream_withdraw(struct stream *stream);

/* Bytes that wait to be sent. */
size_t stream_queued(const struct stream *stream);

#endif
