/* SPDX-License-Identifier: MIT */
/*
 * The daemon: what its parts share.  One thread, one event loop; nothing here needs a lock.
 *
 *                                              translators, one process a stage
 *                                                   |
 *      control clients --> service_control --> translation
 *                                        |          |
 *                                        +----------+--> change --> registry, store, image, arena --> poke --> grace --> release
 *                                        |                                                             |
 *      workers ---------> service_worker-+                                                             +--> settle
 */
#ifndef DAEMON_DAEMON_H
#define DAEMON_DAEMON_H

#include <stdint.h>

#include "grace.h"
#include "inheritance.h"
#include "registry.h"

struct arena;
struct change;
struct directory;
struct event_base;
struct grace_driver;
struct image;
struct listener;
struct long_calls;
struct measurement;
struct memory;
struct planning;
struct seats;
struct server;
struct statistics;
struct store;
struct translations;
struct workers;

struct daemon {
    struct event_base *base;
    struct store *store;
    struct memory *memory;
    struct directory *directory;
    struct image *image;
    struct arena *arena;
    enum arena_origin arena_origin;
    struct inheritance *inheritance;    /* NULL: the daemon is ready */
    struct translations *translations;
    uint64_t runtime;                   /* image offset of the runtime's functions (system.h) */
    struct shared_map *trace;           /* the ring of trace_printk; not in the registry; NULL: there is none yet */
    struct seats *seats;
    struct registry registry;
    struct grace_driver *grace;
    struct statistics *statistics;
    struct planning *planning;
    LIST_HEAD(, measurement) measurements;      /* measurement.c: under way */
    struct long_calls *long_calls;
    LIST_HEAD(, ring_stream) ring_streams;      /* ring_stream.c: rings that somebody reads */
    struct workers *workers;
    struct server *server;
    struct listener *control_listener, *worker_listener;
    uint64_t generation;
    LIST_HEAD(, change) changes;        /* change.c: poked, and not released yet */
    bool is_refreshing;                 /* refresh.c: `refreshing` waits */
    struct grace_waiter refreshing;
};

#endif
