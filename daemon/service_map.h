/* SPDX-License-Identifier: MIT */
/*
 * Methods of io.dispatchd.Control about maps and what is in them.  Rows of control_handlers;
 * userdata: struct daemon *.
 */
#ifndef DAEMON_SERVICE_MAP_H
#define DAEMON_SERVICE_MAP_H

struct call;

void handle_show_map(struct call *call, void *daemon);
void handle_lookup_element(struct call *call, void *daemon);
void handle_update_element(struct call *call, void *daemon);
void handle_delete_element(struct call *call, void *daemon);
void handle_iterate_map(struct call *call, void *daemon);
void handle_clear_map(struct call *call, void *daemon);
void handle_push_element(struct call *call, void *daemon);
void handle_pop_element(struct call *call, void *daemon);
void handle_read_ring(struct call *call, void *daemon);
void handle_trace(struct call *call, void *daemon);

#endif
