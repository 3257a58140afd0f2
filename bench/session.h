/* SPDX-License-Identifier: MIT */
/*
 * What the benchmarks share: a running daemon that this process has joined, and its control socket.
 * A benchmark that cannot be run says why and ends: all functions exit with 1 after a message on failure.
 */
#ifndef BENCH_SESSION_H
#define BENCH_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "measure.h"

struct json_object;

/* A daemon to be started, or where one runs. */
struct session_options {
    const char *daemon;         /* program to start, in a directory of its own; NULL: one that runs already */
    const char *directory;      /* `daemon`: where its directory is made; else: that of its two sockets; NULL: defaults */
};

/* Find or start the daemon and join it.  The daemon that was started ends with this process, its files are removed. */
void session_open(const struct session_options *options);

/* Directory that is on the same file system as the database; NULL if the daemon was not started here. */
const char *session_directory(void);

/*
 * Call a method of io.dispatchd.Control and return what it answers; the caller puts it.  `parameters` is taken.
 * descriptor: sent along unless negative.
 */
struct json_object *session_call(const char *method, struct json_object *parameters, int descriptor);

/* Load the targets under the names bench_0, bench_1, ...; forget them. */
void session_load(unsigned targets);
void session_unload(unsigned targets);

/* Attach target key % TARGETS to the keys [first, end) of a table, as few transactions. */
void session_attach(const char *table, uint32_t first, uint32_t end);

/* Detach all links of a table, in few transactions. */
void session_detach(const char *table);

/* Wait until the table's code has its final place.  False: it has none yet after a second (it may be too large for one). */
bool session_settle(const char *table);

#endif
