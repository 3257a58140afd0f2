/* SPDX-License-Identifier: MIT */
/*
 * Tries for longest-prefix matches.  A lookup finds the longest prefix in the map that its key begins with.
 *
 * A node is an element: an entry, or a branching, which has two children and no value.  Two entries that part where no
 * entry is have a branching there; so there are fewer branchings than entries.  Prefixes get longer downwards,
 * strictly, and a walk that sees otherwise ends: it is bounded by the key's bits whatever the memory says.
 *
 *      replace     the new node gets the old one's children;               commit: the link to the old one
 *      insert      at a link that is empty, or between a link and its node, with a branching where it is needed;
 *                                                                          commit: that link
 *      delete      with two children: it becomes a branching;              commit: `branching`
 *                  with one: the link gets the child;                      commit: the link
 *                  with none: the same, with the parent if that is a branching, whose other child takes its place
 *
 * Each commit is one store, so readers and recovery see the trie before or after it.  A node that has left the trie is
 * given back after `version` was raised: a lookup that walked through one meanwhile sees that, and walks again.
 */
#ifndef JITCORE_RUNTIME_TRIE_H
#define JITCORE_RUNTIME_TRIE_H

#include "map.h"
#include "seat.h"

#define TRIE_DATA_MAX 256       /* bytes of a key behind the length */

/* A key, as struct bpf_lpm_trie_key: how many bits count, and the bits, the most significant of each byte first. */
struct trie_key {
    uint32_t length;
    uint8_t data[];
};

/* The memory of a trie, before the owners of its elements.  Links are those of element.h. */
struct trie_memory {
    uint32_t lock;
    uint32_t root;              /* link */
    uint64_t version;           /* raised before nodes that have left the trie can be used again */
    uint32_t count;             /* of entries */
    uint32_t spare[11];
};

_Static_assert(sizeof(struct trie_memory) == 64, "shared layout");

struct trie_node {
    uint32_t child[2];          /* links; by the first bit behind the prefix */
    uint32_t branching;         /* 1: there is no entry here */
    struct trie_key key;
};

_Static_assert(sizeof(struct trie_node) == 16, "shared layout");

/*
 * NULL: no prefix, or the key's length is more bits than keys have.  Takes no lock.  If others gave nodes back during
 * each of TRIE_ATTEMPTS walks, the last one counts, which may have missed the longest prefix.
 */
#define TRIE_ATTEMPTS 64
void *trie_lookup(const struct map *map, const void *key);

/* As other updates, but -ENOSPC: full (as in the kernel); -EINVAL also: more bits than keys have. */
long trie_update(const struct map *map, const void *key, const void *value, uint64_t flags, uint64_t,
                 struct thread *thread);

/* Of exactly this prefix: 0; -ENOENT; -EINVAL; -EBUSY; -ENOSPC. */
long trie_delete(const struct map *map, const void *key, uint64_t, uint64_t, uint64_t, struct thread *thread);

/* Entries in no order.  One that is replaced meanwhile is another element then: it may be missed, or seen twice. */
const void *trie_next(const struct map *map, struct map_cursor *cursor, void **ret_value);

/* As hash_skip. */
bool trie_skip(const struct map *map, struct map_cursor *cursor, uint32_t places);

/* For map.c, of a trie that nobody changes: trie_next of all entries that are reached, also if they count as free. */
const void *trie_next_reached(const struct map *map, struct map_cursor *cursor, void **ret_value);

/* How many entries are there now. */
uint32_t trie_count(const struct map *map);

/* Of map_kind.recover. */
void trie_recover(const struct map *map, struct seat *seat);

#endif
