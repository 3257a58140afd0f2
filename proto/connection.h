/* SPDX-License-Identifier: MIT */
/*
 * The connection: one conversation of a server with a peer.  The server makes it (accepted or adopted) and ends it;
 * pointers to it are good until `closed` was called (server.h).
 * Belongs to the thread of the event loop; no function is safe in a signal handler.
 */
#ifndef DISPATCHD_CONNECTION_H
#define DISPATCHD_CONNECTION_H

#include <sys/socket.h>

struct connection;
struct listener;

/*
 * Add a connected socket (that of a forked child, sent by its parent) as if it had come through the listener: same
 * interfaces, limits, callbacks.  `opened` is called with `userdata` in place already.  Takes the descriptor over
 * if it succeeds.  Messages that wait in it are dispatched by the loop or by connection_drain.
 * -EUSERS: the limit on connections is reached; what `opened` returned; else as stream_new.
 * The sender of a message is known only if both ends had SO_PASSCRED from the beginning: stream_pair sees to that.
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

#endif
