/* SPDX-License-Identifier: MIT */
/* Methods of io.dispatchd.Control that list what there is; userdata is the daemon.  service_control.c has the table of all. */
#ifndef DAEMON_SERVICE_LIST_H
#define DAEMON_SERVICE_LIST_H

struct call;

void handle_list_programs(struct call *call, void *daemon);
void handle_list_tables(struct call *call, void *daemon);
void handle_list_calls(struct call *call, void *daemon);
void handle_list_links(struct call *call, void *daemon);
void handle_list_maps(struct call *call, void *daemon);
void handle_list_workers(struct call *call, void *daemon);

#endif
