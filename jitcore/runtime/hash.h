/* SPDX-License-Identifier: MIT */
/*
 * Hash tables: the code of hash, lru_hash and percpu_hash.
 *
 *      bucket (one cache line)      lock | version | 6 slots | overflow
 *      slot                         upper half of the key's hash << 32 | link of the element; 0: empty
 *      element                      next | referenced | key | value
 *
 * An element is reached from one slot, or, where all six are in use, from the bucket's overflow list, which is in the
 * order of the keys' hashes.  It keeps its slot, or its place in that order, as long as its key is there, so that a
 * walk which others disturb misses nothing that stays.
 *
 * Changes are made under the bucket's lock; the commit is one store to a slot or a link.  An update of a key that is
 * there writes its value in place if one store can, else it puts the seat's spare element in the place of the old one,
 * which is the seat's spare from then on: who has the old value's address sees the old value until that spare is used.
 *
 * Lookups take no lock and write nothing.  The version is raised after an element left the bucket and before it can be
 * used again: what was seen under one version was the bucket's all the time.
 *
 * Kinds with a copy for each seat have the values apart from the elements, seat by seat, so that seats which use none
 * take no memory; an update writes the own copy in place, and a new element has zeros in all others.
 */
#ifndef JITCORE_RUNTIME_HASH_H
#define JITCORE_RUNTIME_HASH_H

#include "element.h"
#include "map.h"
#include "seat.h"

#define HASH_KEY_MAX 512        /* bytes, as in the kernel */
#define HASH_SLOTS 6
#define HASH_LOAD 4             /* elements a bucket, at most on average */
#define HASH_WALK 64            /* elements of an overflow list; who does not know the seed never gets there */

struct bucket {
    uint32_t lock;
    uint32_t version;
    uint64_t slot[HASH_SLOTS];
    uint32_t overflow;          /* link of the first element of the list; 0: none */
    uint32_t padding;
};

_Static_assert(sizeof(struct bucket) == 64, "a cache line");

struct hash_element {
    uint32_t next;              /* link of the next element of the list */
    uint8_t referenced;         /* was looked up or updated since eviction last came by */
    uint8_t padding[3];
    uint8_t key[];
};

#define HASH_KEY_AT 8
_Static_assert(sizeof(struct hash_element) == HASH_KEY_AT, "shared layout");

/* What a seat has in a table, in a cache line of its own. */
struct hash_seat {
    uint32_t spare;             /* link of its spare element; 0: still the one that it began with */
    uint32_t used;              /* has this seat touched its copies of values? */
    uint32_t padding[14];
};

_Static_assert(sizeof(struct hash_seat) == 64, "a cache line");

/* The parts of a table's memory; the buckets stand first. */
#define HASH_SEATS_AT(map) ((map)->part_at[0])          /* struct hash_seat, SEATS_MAX of them */
#define HASH_HAND_AT(map) ((map)->part_at[1])           /* 32 bits: where eviction goes on */
#define HASH_COPIES_AT(map) ((map)->part_at[2])         /* values of kinds with copies */

/* An element by its key, with what an address needs no lock for. */
uint32_t hash_find(const struct map *map, const void *key);     /* its link, or 0 */
void *hash_value(const struct map *map, uint32_t link);         /* kinds with one value for all */
void *hash_copy(const struct map *map, uint32_t link, uint32_t seat);   /* kinds with copies */

/* It was used.  Written only when it is not set, so that an element which all look up stays in all caches. */
static inline void hash_refer(struct hash_element *element)
{
    if (READ_ONCE(element->referenced) == 0)
        WRITE_ONCE(element->referenced, 1);
}

/* Before a seat's copies are touched: from then on, new elements get zeros there. */
void hash_use_copy(const struct map *map, uint32_t seat);

/*
 * For the daemon, in kinds with copies: as an update, and zeros in the copies of all other seats, in one change.  Who
 * adds to its own copy in place at the same time may bring it back.  A kill leaves perhaps some of them as they were.
 */
long hash_assign(const struct map *map, const void *key, const void *value, uint64_t flags, struct thread *thread);

/* Delete the element of this link, if a bucket reaches it: -ENOENT: none does. */
int hash_evict(const struct map *map, struct thread *thread, uint32_t link);

/* The link of the next element after the cursor, 0: the end. */
uint32_t hash_walk(const struct map *map, struct map_cursor *cursor);

/*
 * Move the cursor past so many empty places at most.  False: there may be more of them; true: an element is next, or
 * the end, so that `next` takes no longer than that.
 */
bool hash_skip(const struct map *map, struct map_cursor *cursor, uint32_t places);

/*
 * For map.c, of a kind with copies that is made anew where it lies: reach this element, which is free and keeps its
 * values, under this key.  Nothing happens if it is in use, if another has the key, or if there is no room.
 */
void hash_adopt(const struct map *map, uint32_t link, const void *key);

/* For map.c: finish or undo what a dead seat has left; all kinds. */
void hash_recover(const struct map *map, struct seat *seat);

/* For the daemon: the value of seat 0 of this key, those of others are copy_stride further; NULL: no such key. */
void *seat_hash_copies(const struct map *map, const void *key);

#endif
