/* SPDX-License-Identifier: MIT */
/*
 * Is a hash table as it must be when nobody changes it?  Written from the layout in runtime/hash.h and
 * runtime/element.h; shares no code with what works on tables.
 */
#ifndef TESTS_UNIT_TABLE_WALKER_H
#define TESTS_UNIT_TABLE_WALKER_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/map.h"

/* NULL: it is; else what is wrong, a static string.  *ret_elements: how many it has (may be NULL). */
const char *table_check(const struct map *map, uint32_t *ret_elements);

/* A key's hash, and the bucket that it belongs in. */
uint64_t table_hash(const struct map *map, const void *key);
uint32_t table_bucket(const struct map *map, const void *key);

/* The address of the key's value (of seat 0, in kinds with copies), or NULL. */
const void *table_value(const struct map *map, const void *key);

#endif
