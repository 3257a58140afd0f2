/* SPDX-License-Identifier: MIT */
/*
 * One map without a daemon: its descriptor, the arena's head with the seats, and its memory, all in one mapping that
 * children of fork() share, each part between pages that nobody may touch.  What the daemon does for a dead process is
 * here one call.
 */
#ifndef TESTS_MAPS_FIXTURE_H
#define TESTS_MAPS_FIXTURE_H

#include <stddef.h>
#include <stdint.h>

#include "map.h"

struct fixture {
    const struct map_kind *kind;        /* its functions are those that workers run (block.h) */
    const struct map *map;      /* read-only, as in an image */
    struct arena_head *head;
    uint8_t *memory;            /* the map's; ends where a guard page begins */
    void *base;                 /* of the mapping, */
    size_t size;                /* bytes */
};

/* An empty map.  Ends the process with a message when it cannot be made.  Undo with fixture_clear(). */
void fixture_make(const struct map_definition *definition, struct fixture *ret);

/* What is zeroed is fine. */
void fixture_clear(struct fixture *fixture);

/* Like a new map: zeroes its memory and the seats. */
void fixture_reset(struct fixture *fixture);

/* Make memory and seats of `to`, a map of the same definition, what those of `from` are now. */
void fixture_copy(const struct fixture *from, const struct fixture *to);

/* What a thread brings whose reader line is the `index`th. */
struct thread fixture_thread(unsigned index);

/* The seat of the `index`th line; NULL: it has none. */
struct seat *fixture_seat(const struct fixture *fixture, unsigned index);

/* As the daemon does for a line that is dead: recovers what its journal names and frees the seat. */
void fixture_recover(const struct fixture *fixture, unsigned index);

/* Write a sentence to standard error and end the process with 1. */
__attribute__((noreturn, format(printf, 1, 2)))
void fixture_fail(const char *format, ...);

#endif
