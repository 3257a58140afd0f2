/* SPDX-License-Identifier: MIT */
/*
 * Maps, as the code sees them that works on them: in workers (this folder's code is compiled into the image), in the
 * daemon and in tests (which link the same sources).
 *
 *      descriptor      struct map: what a map is.  Lies in sealed memory, or in the daemon's own
 *      memory          its data, in the arena, where any worker may write anything at any time
 *
 * THE RULE of this folder.  A number that is read from a map's memory is read once (READ_ONCE), compared with the
 * descriptor, and only then used.  No loop ends by what the memory says: each has a bound that the descriptor gives. 
 * So whoever scribbles on the memory spoils data, and makes nobody read or write outside it, or loop for ever.
 *
 * The same goes for the caller's keys: they may lie in a map's memory.  What is decided by a key is decided by one load
 * of it, or by a copy.
 *
 * Zeroed memory is an empty map, of all kinds.  Everything in it is an offset or an index, never an address.
 * Code here calls nothing outside this folder, has no writable data, no relocations and no indirect branches, and uses
 * general registers only.  Errors are the kernel's negative errno.
 */
#ifndef JITCORE_RUNTIME_MAP_H
#define JITCORE_RUNTIME_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Shared memory, in one access.  _ONCE orders nothing.  READ_BEFORE is made before all accesses that stand behind it,
 * WRITE_AFTER after all that stand before it: acquire and release, which keep the compiler from moving accesses; x86-64
 * makes stores in program order, and loads too, so they cost no instruction.
 */
#define READ_ONCE(place) __atomic_load_n(&(place), __ATOMIC_RELAXED)
#define WRITE_ONCE(place, value) __atomic_store_n(&(place), (value), __ATOMIC_RELAXED)
#define READ_BEFORE(place) __atomic_load_n(&(place), __ATOMIC_ACQUIRE)
#define WRITE_AFTER(place, value) __atomic_store_n(&(place), (value), __ATOMIC_RELEASE)

struct map {
    uint32_t kind;              /* enum bpf_map_type */
    uint32_t flags;             /* BPF_F_*, as the map was made */
    uint32_t key_size, value_size;      /* bytes */
    uint32_t max_entries;
    uint32_t number;            /* of the map in this arena, not 0: journals name it by this */
    uint32_t stride;            /* bytes from one element (of an array: value) to the next; a multiple of 8 */
    uint32_t value_at;          /* bytes from an element's beginning to its value (of copy 0) */
    uint32_t copy_stride;       /* bytes from a value's copy of one seat to that of the next; 0: one for all */
    uint32_t buckets;           /* a power of two; 0 for kinds without */
    uint32_t elements_at;       /* byte offset in the memory of the first element */
    uint32_t part_at[3];        /* byte offsets of the kind's other parts */
    uint64_t seed;              /* of the hash; unknown to who sends keys */
    uint64_t size;              /* bytes of the memory; a multiple of 64 */
    int64_t memory;             /* distance from this descriptor to the map's memory, bytes */
    int64_t arena;              /* to the arena's first byte (seat.h) */
    uint32_t elements;          /* that element_take gives out (element.h); 0 for kinds without */
    uint32_t spares;            /* elements behind those, one a seat: SEATS_MAX or 0 */
    uint32_t owners_at;         /* byte offset of the elements' owners (element.h) */
    uint32_t value_stride;      /* bytes from one value of a copy to the next, where they lie apart from the elements */
    uint64_t padding[3];
};

_Static_assert(sizeof(struct map) == 128, "two cache lines in the image");

/* Descriptors are as they are for the life of a map, and lie at multiples of 64. */
static inline void *map_memory(const struct map *map)
{
    return (uint8_t *)(uintptr_t)map + map->memory;
}

/*
 * What a map of maps holds for a key, 8 bytes: the distance from its own descriptor to the inner map's, 0 for none. 
 * Its memory lies in the sealed text and not in the arena, so that it can be trusted; only the daemon writes it.
 */
static inline const struct map *map_inner(const struct map *outer, int64_t distance)
{
    return distance ? (const void *)((const uint8_t *)outer + distance) : NULL;
}

struct thread;                  /* seat.h */

/* Where iteration is; zeroed before the first element. */
struct map_cursor {
    uint32_t position;
    uint32_t given;             /* how many elements of that position were, where a kind says so */
    uint64_t within;            /* the position, likewise */
};

/*
 * ---- operations: declared here, one file a kind; what each returns is what the kernel's helper does ----
 *
 * lookup   the address of the value, or NULL.  It stays inside the map's memory whatever happens to the element; when
 *          the element is deleted and used again, it is another key's value (as in the kernel's preallocated maps).
 * update   0; -EEXIST (BPF_NOEXIST, it is there), -ENOENT (BPF_EXIST, it is not), -E2BIG (full; array: index), -EINVAL
 *          (flags), -EBUSY (its lock is held by a thread that does not go on, or by this one), -ENOSPC (no seat)
 * delete   0; -ENOENT; -EINVAL (array); -EBUSY; -ENOSPC
 * next     the next element after the cursor: its key, or NULL at the end, and its value.  An element that is there
 *          from the first call to the last is seen, once; what comes or goes meanwhile perhaps.  The key may be another
 *          one by the time that it is read: who wants to be sure looks it up.  In a trie an entry whose value is
 *          replaced meanwhile is another element: it may be missed, or seen twice
 *
 * Kinds with a copy for each seat give the calling thread's own copy; NULL, -ENOSPC: it has no seat.
 */
void *array_lookup(const struct map *map, const void *key);
long array_update(const struct map *map, const void *key, const void *value, uint64_t flags, uint64_t unused,
                  struct thread *thread);
long array_delete(const struct map *map, const void *key);      /* -EINVAL, also where each seat has a copy */
const void *array_next(const struct map *map, struct map_cursor *cursor, void **ret_value);

void *hash_lookup(const struct map *map, const void *key);
long hash_update(const struct map *map, const void *key, const void *value, uint64_t flags, uint64_t unused,
                 struct thread *thread);
long hash_delete(const struct map *map, const void *key, uint64_t unused1, uint64_t unused2, uint64_t unused3,
                 struct thread *thread);
const void *hash_next(const struct map *map, struct map_cursor *cursor, void **ret_value);

/* A full one makes room: an element that was not looked up or updated lately goes.  Its iteration is hash_next. */
void *lru_lookup(const struct map *map, const void *key);
long lru_update(const struct map *map, const void *key, const void *value, uint64_t flags, uint64_t unused,
                struct thread *thread);
long lru_delete(const struct map *map, const void *key, uint64_t unused1, uint64_t unused2, uint64_t unused3,
                struct thread *thread);

void *seat_array_lookup(const struct map *map, const void *key, uint64_t unused1, uint64_t unused2, uint64_t unused3,
                        struct thread *thread);
long seat_array_update(const struct map *map, const void *key, const void *value, uint64_t flags, uint64_t unused,
                       struct thread *thread);
const void *seat_array_next(const struct map *map, struct map_cursor *cursor, void **ret_value, uint64_t unused1,
                            uint64_t unused2, struct thread *thread);

void *seat_hash_lookup(const struct map *map, const void *key, uint64_t unused1, uint64_t unused2, uint64_t unused3,
                       struct thread *thread);
long seat_hash_update(const struct map *map, const void *key, const void *value, uint64_t flags, uint64_t unused,
                      struct thread *thread);
long seat_hash_delete(const struct map *map, const void *key, uint64_t unused1, uint64_t unused2, uint64_t unused3,
                      struct thread *thread);
const void *seat_hash_next(const struct map *map, struct map_cursor *cursor, void **ret_value, uint64_t unused1,
                           uint64_t unused2, struct thread *thread);

/* Of maps of maps: the inner map, or NULL. */
const struct map *map_array_lookup(const struct map *map, const void *key);
const struct map *map_hash_lookup(const struct map *map, const void *key);

#endif
