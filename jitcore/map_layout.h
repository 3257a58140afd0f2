/* SPDX-License-Identifier: MIT */
/* How the memory of each kind of map is laid out: the functions of map.c's rows.  Each fills what its kind has. */
#ifndef JITCORE_MAP_LAYOUT_H
#define JITCORE_MAP_LAYOUT_H

#include "map.h"

#define LAYOUT_VALUE_MAX (1u << 20)     /* bytes */
#define LAYOUT_COPY_MAX (32u << 10)     /* of kinds with a copy for each seat */
#define LAYOUT_RING_MIN 4096u           /* bytes of a ring buffer */

static inline uint64_t layout_round(uint64_t bytes, uint64_t multiple)
{
    return (bytes + multiple - 1) & ~(multiple - 1);
}

/* `what` ("key_size") is from `least` to `most` bytes; -E2BIG: it is more; -EINVAL: less, or not the only one. */
int layout_check_size(const char *what, uint32_t size, uint32_t least, uint32_t most, struct jit_error *error);

/* All offsets were below this size, bytes: -E2BIG: it is more than MAP_SIZE_MAX.  Sets ret->size. */
int layout_finish(uint64_t size, struct map *ret, struct jit_error *error);

/*
 * Elements of this stride from byte offset `at` on, and their owners before them; returns the offset of what comes
 * behind. (ret->spares counts too.)
 */
uint64_t layout_elements(uint64_t at, uint32_t elements, uint32_t stride, struct map *ret);

int layout_array(const struct map_definition *definition, struct map *ret, struct jit_error *error);
int layout_seat_array(const struct map_definition *definition, struct map *ret, struct jit_error *error);
int layout_hash(const struct map_definition *definition, struct map *ret, struct jit_error *error);
int layout_seat_hash(const struct map_definition *definition, struct map *ret, struct jit_error *error);
int layout_array_of_maps(const struct map_definition *definition, struct map *ret, struct jit_error *error);
int layout_hash_of_maps(const struct map_definition *definition, struct map *ret, struct jit_error *error);
int layout_queue(const struct map_definition *definition, struct map *ret, struct jit_error *error);
int layout_ring(const struct map_definition *definition, struct map *ret, struct jit_error *error);
int layout_trie(const struct map_definition *definition, struct map *ret, struct jit_error *error);

#endif
