/* SPDX-License-Identifier: MIT */
/*
 * The runtime as workers run it: the bytes that images get (jitcore/runtime.h), mapped executable and not writable.
 * It is compiled otherwise than the library's, so its stores may come in another order.  Where this is included, the names
 * below call it; what only the daemon does (recovery, taking from rings, counting) is the library's.
 *
 * With sanitizers all is the library's: they see into nothing else.
 */
#ifndef TESTS_MAPS_BLOCK_H
#define TESTS_MAPS_BLOCK_H

#include "map.h"
#include "runtime/array.h"
#include "runtime/hash.h"
#include "runtime/queue.h"
#include "runtime/ring.h"
#include "runtime/trie.h"

#ifdef __has_feature
#define BLOCK_HAS_FEATURE(feature) __has_feature(feature)
#else
#define BLOCK_HAS_FEATURE(feature) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || BLOCK_HAS_FEATURE(address_sanitizer)
#define BLOCK_IS_LIBRARY 1
#else
#define BLOCK_IS_LIBRARY 0
#endif

/* The kind, with functions of the block where programs have them.  For the life of the process. */
const struct map_kind *block_kind(uint32_t kind);

/* A function of the block, to be called as what it is; `function` must not be RUNTIME_NONE. */
typedef void (*block_function_type)(void);
block_function_type block_function(enum runtime_function function);

#if !BLOCK_IS_LIBRARY
#define BLOCK(name) ((__typeof__(&name))block_function(RUNTIME_##name))
#define hash_lookup BLOCK(hash_lookup)
#define hash_update BLOCK(hash_update)
#define hash_delete BLOCK(hash_delete)
#define lru_lookup BLOCK(lru_lookup)
#define lru_update BLOCK(lru_update)
#define lru_delete BLOCK(lru_delete)
#define trie_lookup BLOCK(trie_lookup)
#define trie_update BLOCK(trie_update)
#define trie_delete BLOCK(trie_delete)
#define trie_next BLOCK(trie_next)
#define map_array_lookup BLOCK(map_array_lookup)
#define queue_push BLOCK(queue_push)
#define queue_pop BLOCK(queue_pop)
#define queue_peek BLOCK(queue_peek)
#define ring_reserve BLOCK(ring_reserve)
#define ring_submit BLOCK(ring_submit)
#define ring_discard BLOCK(ring_discard)
#define ring_output BLOCK(ring_output)
#define ring_query BLOCK(ring_query)
#endif

#endif
