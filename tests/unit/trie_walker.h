/* SPDX-License-Identifier: MIT */
/*
 * Is a trie as it must be when nobody changes it?  Written from the layout in runtime/trie.h and runtime/element.h;
 * shares no code with what works on tries.
 */
#ifndef TESTS_UNIT_TRIE_WALKER_H
#define TESTS_UNIT_TRIE_WALKER_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/trie.h"

/*
 * NULL: it is; else what is wrong, a static string.  Calls visit(argument, key, value) for each entry on the way, in
 * the order of prefixes; NULL: nobody wants to know.
 */
typedef void trie_visit(void *argument, const struct trie_key *key, const void *value);
const char *trie_check(const struct map *map, trie_visit *visit, void *argument);

/* A bit of a key, the most significant of each byte first; and are the first `length` bits of both the same? */
bool trie_bit(const uint8_t *data, uint32_t index);
bool trie_begins_with(const uint8_t *data, const uint8_t *prefix, uint32_t length);

#endif
