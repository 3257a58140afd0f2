/* SPDX-License-Identifier: MIT */
/* Objects as the API shows them: JSON as io.dispatchd.Control.varlink describes it.  Each result is the caller's. */
#ifndef DAEMON_VIEW_H
#define DAEMON_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon.h"

struct json_object;
struct worker_view;

void view_add_string(struct json_object *object, const char *name, const char *value);
void view_add_int(struct json_object *object, const char *name, uint64_t value);
void view_add_bool(struct json_object *object, const char *name, bool value);

struct json_object *view_program(const struct program *program);
struct json_object *view_table(const struct registry *registry, const struct table *table);
struct json_object *view_call(struct daemon *daemon, const struct table *call);
struct json_object *view_link(const struct link *link);

struct json_object *view_worker(const struct worker_view *worker);

/* A list of the workers that a change does not reach yet. */
struct json_object *view_unmoved(struct daemon *daemon);

#endif
