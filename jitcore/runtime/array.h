/* SPDX-License-Identifier: MIT */
/*
 * Arrays: max_entries values, of index 0 and up, all there from the beginning.
 *
 *      [ value 0 | value 1 | ...         | locks ]         one for all: ARRAY_LOCKS locks, element i has lock i modulo
 *      that [ values and lock of seat 0 | values and lock of seat 1 | ... ]     a copy for each seat, copy_stride apart
 *
 * The values stand first, so that code which knows the index finds its value without calling anything.  A value that is
 * one word is written by one store; others under a lock, so that two updates are not mixed, and through the journal.
 */
#ifndef JITCORE_RUNTIME_ARRAY_H
#define JITCORE_RUNTIME_ARRAY_H

#include "map.h"
#include "seat.h"

#define ARRAY_LOCKS 64
#define ARRAY_LOCKS_AT(map) ((map)->part_at[0])         /* of a copy, in it */

/* For map.c: finish or undo what a dead seat has left; both kinds. */
void array_recover(const struct map *map, struct seat *seat);

/* For the daemon: the value of seat 0 of this index, those of others are copy_stride further; NULL: no such index. */
void *seat_array_copies(const struct map *map, const void *key);

#endif
