/* SPDX-License-Identifier: MIT */
/* The conversation with the daemon: where its socket is, one call, and why it failed. */
#ifndef CTL_CONVERSATION_H
#define CTL_CONVERSATION_H

#include <limits.h>

#include "caller.h"
#include "status.h"

#define CONNECT_TIMEOUT_MS 1000     /* nobody waits longer to hear that there is no daemon */

/*
 * Path of the control socket: `option` (NULL: not given), else $DISPATCHD_CONTROL_SOCKET, else that of the user's own
 * daemon in $XDG_RUNTIME_DIR where it exists, else the system's.  The caller frees it.
 */
char *socket_path(const char *option);

/* A conversation that takes so long is one without an end. */
#define CONVERSATION_ENDLESS_MS INT_MAX

/*
 * Call one method that answers as often as it takes (`more`); `each` gets each answer's parameters.  timeout_ms: of
 * each answer.  *ret: as of converse().
 */
enum status converse_more(const char *path, int timeout_ms, const char *method, struct json_object *parameters,
                          void (*each)(void *userdata, struct json_object *parameters), void *userdata,
                          struct caller_reply *ret);

/*
 * Call one method of io.dispatchd.Control.  descriptor: sent along unless negative.  Failures to talk are complained
 * about here; a refusal by the daemon is STATUS_REFUSED with *ret filled.  The caller ends *ret with
 * caller_reply_done() in any case.
 */
enum status converse(const char *path, int timeout_ms, const char *method, struct json_object *parameters,
                     int descriptor, struct caller_reply *ret);

#endif
