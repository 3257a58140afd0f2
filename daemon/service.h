/* SPDX-License-Identifier: MIT */
/* The two services: from a call to a change or a listing, and back.  Parameters were checked against the interface before. */
#ifndef DAEMON_SERVICE_H
#define DAEMON_SERVICE_H

#include "daemon.h"
#include "refusal.h"
#include "server.h"

extern const struct method_handler control_handlers[];          /* userdata: struct daemon * */
extern const struct method_handler worker_handlers[];

/* A worker's connection came to its end. */
void worker_connection_closed(struct connection *connection, void *daemon);

/* Answer a call with a refusal, and log one line that names the object. */
void service_refuse(struct call *call, const char *interface, struct refusal *refusal);

/* Members of a checked parameter object; the defaults where an optional one is absent. */
const char *parameter_string(struct json_object *parameters, const char *name);     /* NULL */
int64_t parameter_int(struct json_object *parameters, const char *name);            /* 0 */
bool parameter_bool(struct json_object *parameters, const char *name);              /* false */

#endif
