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
#include "registry.h"

struct arena;
struct change;
struct event_base;
struct grace_driver;
struct image;
struct listener;
struct measurement;
struct memory;
struct planning;
struct server;
struct statistics;
struct store;
struct translations;
struct workers;

struct daemon {
    struct event_base *base;
    struct store *store;
    struct memory *memory;
    struct image *image;
    struct arena *arena;
    struct translations *translations;
    struct registry registry;
    struct grace_driver *grace;
    struct statistics *statistics;
    struct planning *planning;
    LIST_HEAD(, measurement) measurements;      /* measurement.c: under way */
    struct workers *workers;
    struct server *server;
    struct listener *control_listener, *worker_listener;
    uint64_t generation;
    LIST_HEAD(, change) changes;        /* change.c: poked, and not released yet */
    bool is_refreshing;                 /* refresh.c: `refreshing` waits */
    struct grace_waiter refreshing;
};

#endif
