/* SPDX-License-Identifier: MIT */
/* The conversation with the daemon: where its socket is, one call, and why it failed. */
#ifndef CTL_CONVERSATION_H
#define CTL_CONVERSATION_H

#include "caller.h"
#include "status.h"

#define CONNECT_TIMEOUT_MS 1000     /* nobody waits longer to hear that there is no daemon */

/*
 * Path of the control socket: `option` (NULL: not given), else $DISPATCHD_CONTROL_SOCKET, else that of the user's own
 * daemon in $XDG_RUNTIME_DIR where it exists, else the system's.  The caller frees it.
 */
char *socket_path(const char *option);

/*
 * Call one method of io.dispatchd.Control.  descriptor: sent along unless negative.  Failures to talk are complained
 * about here; a refusal by the daemon is STATUS_REFUSED with *ret filled.  The caller ends *ret with
 * caller_reply_done() in any case.
 */
enum status converse(const char *path, int timeout_ms, const char *method, struct json_object *parameters,
                     int descriptor, struct caller_reply *ret);

#endif
