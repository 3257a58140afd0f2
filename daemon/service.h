/* SPDX-License-Identifier: MIT */
/*
 * The two services: from a call to a change or a listing, and back.
 * Parameters were checked against the interface before.
 */
#ifndef DAEMON_SERVICE_H
#define DAEMON_SERVICE_H

#include "daemon.h"
#include "refusal.h"
#include "server.h"

struct operation;

#define CONTROL_INTERFACE "io.dispatchd.Control"

extern const struct method_handler control_handlers[];          /* userdata: struct daemon * */
extern const struct method_handler worker_handlers[];

/* A Join that had to wait until the daemon was ready. */
void worker_join(struct call *call, void *daemon);

/* A worker's connection came to its end. */
void worker_connection_closed(struct connection *connection, void *daemon);

/* Answer a call with a refusal, and log one line that names the object. */
void service_refuse(struct call *call, const char *interface, struct refusal *refusal);

/*
 * Run operations (taken over, success or not) and answer the call with what `reply` makes of them when they are as far
 * as it asked for (its parameter `wait`).  Negative: refused, and not answered.
 */
typedef struct json_object *service_make_reply(struct daemon *daemon, const struct operation *operation,
                                               size_t operations);
int service_run(struct daemon *daemon, struct call *call, struct operation *operation, size_t operations,
                service_make_reply *reply, struct refusal *refusal);
service_make_reply service_reply_nothing;

/* Members of a checked parameter object; the defaults where an optional one is absent. */
const char *parameter_string(struct json_object *parameters, const char *name);     /* NULL */
int64_t parameter_int(struct json_object *parameters, const char *name);            /* 0 */
bool parameter_bool(struct json_object *parameters, const char *name);              /* false */

#endif
