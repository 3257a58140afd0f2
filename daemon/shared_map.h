/* SPDX-License-Identifier: MIT */
/*
 * Shared maps: what the registry holds of each, and how one is made, placed and taken away.
 *
 *      definition      what was asked for; whoever asks for a name again must ask for the same
 *      descriptor      struct map in the image, 128 bytes: what programs and the runtime are led by; sealed
 *      memory          in the arena; of maps of maps in the image, since it decides where code reads
 *      view            a descriptor of the daemon's own, whose distances lead to the daemon's mappings: what the
 *                      runtime's functions are called with here.  What they read in the arena is hostile; they know.
 *
 * References: a map's registration holds one, and so do each program that uses it, each map of maps that it is in, and
 * whoever iterates.  Those of programs, of outer maps and of the registration are given back after the grace period
 * that follows their removal: the last put finds descriptor and memory unused, and frees them.
 */
#ifndef DAEMON_SHARED_MAP_H
#define DAEMON_SHARED_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "map.h"
#include "refusal.h"
#include "registry.h"
#include "typed.h"

struct json_object;

#define MAPS_MAX 4096                   /* of the host */

/* A map as somebody asks for it: all borrowed. */
struct map_wanted {
    const char *name;
    struct map_definition definition;
    struct map_definition inner;        /* maps of maps: what their inner maps must be; else of kind 0 */
    const struct typed *key, *value;    /* NULL: just bytes */
};

/* What a map of maps has for one key. */
struct map_entry {
    uint8_t *key;                       /* definition.key_size bytes; owned */
    struct shared_map *inner;           /* a reference; NULL: nothing (a change that is not over remembers the key) */
};

struct shared_map {
    char name[NAME_LENGTH_MAX + 1];
    unsigned references;
    struct registry *registry;
    struct map_definition definition, inner;
    uint32_t number;                    /* journals name it by this; never used again */
    uint64_t seed;                      /* of the hash; in the database, since the contents depend on it */
    uid_t uid;                          /* who made it, and whose quota it counts against */
    struct typed *key, *value;          /* just bytes where nothing is known; NULL where there are none */
    uint64_t descriptor;                /* image offset; IMAGE_NONE before it is placed */
    uint64_t memory;                    /* arena offset; of maps of maps: image offset.  ARENA_NONE before */
    uint64_t size;                      /* bytes of the memory */
    struct map *view;                   /* of the daemon; owned; NULL before it is placed */
    struct map_entry *entry;            /* maps of maps: by key, as memcmp() orders them */
    size_t entries, entries_capacity;
};

/* Is it a map of maps?  Its memory is the daemon's alone to write. */
static inline bool shared_map_is_outer(const struct shared_map *map)
{
    return map->inner.kind != 0;
}

/* For maps that are in no registry; the others: shared_map_want().  With one reference.  -ENOMEM. */
int shared_map_new(struct registry *registry, const struct map_wanted *wanted, uid_t uid, uint32_t number,
                   struct shared_map **ret);
struct shared_map *shared_map_get(struct shared_map *map);
struct shared_map *shared_map_put(struct shared_map *map);      /* NULL is fine; returns NULL */

/*
 * Step 1 of a change: the map of this name, with a reference for the caller.  *ret_created: there was none, and now it
 * is in the registry, placed nowhere yet.  On error nothing changed.
 * MapMismatch (the difference by name), MapInvalid (why no such map can be), LimitExceeded.
 */
int shared_map_want(struct registry *registry, const struct map_wanted *wanted, uid_t uid, struct shared_map **ret,
                    bool *ret_created, struct refusal *refusal);

/* Undo that it was created: out of the registry, whose reference is put. */
void shared_map_withdraw(struct shared_map *map);

/*
 * Step 2: give it descriptor and memory; nothing to do if it has them.  ImageFull, ArenaFull, QuotaExceeded, ...; then
 * it has neither.  `at`: ARENA_NONE, for memory that is zero; at a start, where its memory was: what is there stays.
 */
int shared_map_place(struct shared_map *map, uint64_t at, struct refusal *refusal);

/*
 * The image offset of its first element, once it is placed:
 * what inlined lookups and variables in an array are led by.
 */
uint64_t shared_map_elements(const struct shared_map *map);

/* Who keeps it from being removed, as JSON: the names of programs, those of maps of maps. */
struct json_object *shared_map_programs(const struct shared_map *map);
struct json_object *shared_map_outers(const struct shared_map *map);

/* ---- maps of maps ---- */

/* What one has for a key; NULL: nothing. */
struct shared_map *shared_map_inner(const struct shared_map *outer, const void *key);

/* May this map be in that one?  MapMismatch. */
int shared_map_check_inner(const struct shared_map *outer, const struct shared_map *inner, struct refusal *refusal);

/*
 * Make sure that there is an entry for a key, which may have nothing: shared_map_set_inner() cannot fail then.
 * -ENOMEM; -E2BIG: it is full; -ENOENT: an array has no such index.
 */
int shared_map_reserve_inner(struct shared_map *outer, const void *key);

/*
 * What it has for a key whose entry was reserved, in the book:
 * takes the reference over and returns that of what it had.
 */
struct shared_map *shared_map_set_inner(struct shared_map *outer, const void *key, struct shared_map *inner);

/* Forget the entry of a key if it has nothing. */
void shared_map_prune_inner(struct shared_map *outer, const void *key);

/* In the table, where programs see it: what the book says.  One store for each key. */
void shared_map_show_inner(struct shared_map *outer, const void *key);

#endif
