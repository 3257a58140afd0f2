/* SPDX-License-Identifier: MIT */
/*
 * What the benchmarks share: a running daemon that this process has joined, and its control socket.
 * A benchmark that cannot be run says why and ends: all functions exit with 1 after a message on failure.
 */
#ifndef BENCH_SESSION_H
#define BENCH_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "measure.h"

struct json_object;

/* A daemon to be started, in a directory of its own. */
struct session_options {
    const char *daemon;         /* program to start */
    const char *directory;      /* where its directory is made; NULL: /var/tmp */
    const char *planning_interval;      /* its option of this name; NULL: its default */
    bool quick;                 /* measure as little as there can be: its figures mean nothing */
};

/*
 * Read --daemon, --directory, --quick, --json and --help.  usage: what --help prints before the options.  Returns whether JSON
 * is wanted; wrong options, and --help, end the program.
 */
bool session_read_options(int argc, char **argv, const char *usage, struct session_options *options);

/* Start the daemon and join it.  It ends with this process, and its files are removed. */
void session_open(const struct session_options *options);

/* Directory that is on the same file system as the database. */
const char *session_directory(void);

/*
 * Call a method of io.dispatchd.Control and return what it answers; the caller puts it.  `parameters` is taken.
 * descriptor: sent along unless negative.
 */
struct json_object *session_call(const char *method, struct json_object *parameters, int descriptor);

/* Load the targets under the names bench_0, bench_1, ... */
void session_load(unsigned targets);

/*
 * Attach target key % TARGETS to each of these keys of a table, in few transactions.
 * ret_links: `count` of them, or NULL.
 */
void session_attach(const char *table, const uint32_t *keys, size_t count, int64_t *ret_links);

/* Detach links, in few transactions. */
void session_detach(const int64_t *links, size_t count);

/* Put a target in the place of a link's program. */
void session_replace(int64_t link, unsigned target);

/* Wait until the code of all tables has its final place.  False: it has not after a second. */
bool session_settle(void);

/* Has the planner seen keys of this table? */
bool session_planned(const char *table);

/* The shape of a table's code and its hottest keys, for people; at most `size` bytes. */
void session_shape(const char *table, char *ret_shape, size_t size);

/* Load the target for static calls under the name `call`, and set the static call of this name to it. */
void session_set_call(const char *call);

/* Processor time that the daemon has used so far, nanoseconds. */
uint64_t session_daemon_ns(void);

#endif
