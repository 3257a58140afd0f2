/* SPDX-License-Identifier: MIT */
/*
 * Kinds of maps: what may be asked of each, and how its memory is laid out.  A new kind is one row in map.c and one
 * file in runtime/.
 */
#ifndef JITCORE_MAP_H
#define JITCORE_MAP_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"
#include "runtime/functions.h"
#include "runtime/map.h"
#include "runtime/seat.h"

/* What a map shall be, as an object or an operator says. */
struct map_definition {
    uint32_t kind, key_size, value_size, max_entries, flags;
};

/* What can be done with a map of some kind; the functions are those of runtime/, NULL where there is none. */
struct map_kind {
    const char *name;           /* "hash" */
    uint32_t kind;              /* enum bpf_map_type */
    uint32_t flags;             /* BPF_F_* that it takes beside those that all take */
    uint8_t lookup, update, delete, push, pop, peek, next;      /* enum runtime_function */
    /* the same, to be called here */
    void *(*call_lookup)(const struct map *map, const void *key, uint64_t, uint64_t, uint64_t, struct thread *thread);
    long (*call_update)(const struct map *map, const void *key, const void *value, uint64_t flags, uint64_t,
                        struct thread *thread);
    long (*call_delete)(const struct map *map, const void *key, uint64_t, uint64_t, uint64_t, struct thread *thread);
    const void *(*call_next)(const struct map *map, struct map_cursor *cursor, void **ret_value, uint64_t, uint64_t,
                             struct thread *thread);
    /* Kinds whose `next` may walk far: move on over at most so many places without an element.  False: again. */
    bool (*call_skip)(const struct map *map, struct map_cursor *cursor, uint32_t places);
    long (*call_push)(const struct map *map, const void *value, uint64_t flags, uint64_t, uint64_t,
                      struct thread *thread);
    long (*call_pop)(const struct map *map, void *value, uint64_t, uint64_t, uint64_t, struct thread *thread);
    long (*call_peek)(const struct map *map, void *value, uint64_t, uint64_t, uint64_t, struct thread *thread);
    /* Kinds with a copy for each seat: that of seat 0; others are copy_stride further.  NULL: no such key. */
    void *(*call_copies)(const struct map *map, const void *key);
    /* Kinds whose elements may become other keys': update, and zeros in all other copies, in one change. */
    long (*call_assign)(const struct map *map, const void *key, const void *value, uint64_t flags,
                        struct thread *thread);
    uint32_t (*call_count)(const struct map *map);      /* elements that are there now; NULL: max_entries */
    /* Layout: check the definition, fill all of `ret` but number, seed, and distances. */
    int (*lay_out)(const struct map_definition *definition, struct map *ret, struct jit_error *error);
    /* Settle what a dead seat left half done; see map_recover. */
    void (*recover)(const struct map *map, struct seat *seat);
    /* Put all that can be reached in `old` into `map`, which is empty; NULL: see map_renewed_size. */
    void (*renew)(const struct map *map, const struct map *old, struct thread *thread);
};

/* NULL: unknown.  By enum bpf_map_type, and by name. */
const struct map_kind *map_kind_find(uint32_t kind);
const struct map_kind *map_kind_named(const char *name);

/*
 * Copy the value of a key, value_size bytes, that was found at `place` (by call_lookup or call_next), of kinds with one
 * value for all.  When it is copied the key is looked up again, and copied anew from where it is then: an element may
 * become another key's at any time, also by a mere update.  -ENOENT: the key is gone; -EBUSY: it moved time and again.
 * `same`: the place was this very key's; in a trie, where a shorter prefix might be found now, -ENOENT if it has moved.
 */
int map_copy_value(const struct map *map, const void *key, const void *place, bool same, void *ret);

/*
 * -EINVAL with `error`, rule "map": what is wrong with the definition, and what would be right; -E2BIG: more memory
 * than MAP_SIZE_MAX, or (but in tries) larger keys or values than there may be; -EOPNOTSUPP: a kind or a flag that is
 * not there, by name.
 */
#define MAP_SIZE_MAX (256u << 20)       /* bytes */
int map_lay_out(const struct map_definition *definition, struct map *ret, struct jit_error *error);

/*
 * For the daemon, of a seat whose line is dead for good and whose journal is not empty: finish or undo its change, drop
 * the lock, empty the journal.  `map` is the one that the journal names.  Bounded by the map's size; what it reads is
 * hostile.
 */
void map_recover(const struct map *map, struct seat *seat);

/*
 * For the daemon, where nobody is in any change of the map, after map_recover(): drop locks that no journal names, and
 * look for free elements everywhere again.  What is wrong in both is in a copy of the memory that was made while changes
 * went on.
 */
void map_drop_locks(const struct map *map);

/*
 * Likewise of such a copy: what says which elements are in use is perhaps older or younger than what leads to them.  So
 * make the first map_renewed_size() bytes of the map's memory anew, with all that can be reached in the copy; `copy` is
 * those bytes, and is left as it is.  `thread` has a seat.  0 bytes: there is nothing in this kind that could disagree.
 */
uint64_t map_renewed_size(const struct map *map);
void map_renew(const struct map *map, const void *copy, struct thread *thread);

/* Of a kind with a copy for each seat: may that of this seat (an index) have been written to?  Others must be zeros. */
bool map_copy_is_used(const struct map *map, uint32_t seat);

#endif
