/* SPDX-License-Identifier: MIT */
/*
 * Elements: pieces of a map's memory, all of one size, that a change takes and gives back.
 *
 * Each has one byte that says whose it is, in an array of its own (at map->owners_at), so that free ones are found
 * eight at a time and zeroed memory is a map without elements:
 *
 *      ELEMENT_FREE    0
 *      1 + seat        a change of that seat takes it or gives it back; the seat's journal names it
 *      ELEMENT_USED    the map's structure reaches it
 *
 *      take    journal.element[i] = it;  FREE -> 1 + seat;  fill;  commit (it is reached);    1 + seat -> USED
 *      give    journal.element[i] = it;  USED -> 1 + seat;  commit (it is not reached);       1 + seat -> FREE
 *
 * All of it happens under a lock which covers the place where the element is, or will be, reached from.  So a killed
 * change, while the lock has the dead seat's number, is settled by one rule: what has the seat's number and is reached
 * is USED, what is not is FREE (element_pending finds it).  What does not have the seat's number was not taken yet or
 * is given back already, and may be another's.
 *
 * The owners are followed by a byte for each ELEMENT_GROUP of them, so that a full map is known by looking at these:
 *
 *      anything else   perhaps one of the group is free
 *      1 + seat        the same; a change of that seat looks at all of them
 *      GROUP_FULL      none is
 *
 *      look    byte = 1 + seat;  barrier;  read the owners;  none is free: 1 + seat -> GROUP_FULL, if it is that still
 *      free    owner = FREE;     barrier;  read the byte;    it is not 0:  byte = 0
 *
 * Each has a barrier between its store and its load (Dekker), so who looks sees the free one, or who frees sees that
 * somebody looks, and the byte is not GROUP_FULL afterwards.  A killed look says nothing.  Of a killed free, the
 * journal names the element: element_pending makes the byte 0.
 *
 * Spares (map->spares is SEATS_MAX) are elements with numbers from map->elements on, one for each seat, for kinds that
 * replace an element by another: a replacement needs no free element then, so it works in a full map, and a map has
 * room for exactly max_entries.  A spare is its seat's from the beginning, so there 0 says that and ELEMENT_FREE_SPARE
 * is free.
 */
#ifndef JITCORE_RUNTIME_ELEMENT_H
#define JITCORE_RUNTIME_ELEMENT_H

#include "map.h"
#include "seat.h"

#define ELEMENT_FREE 0
#define ELEMENT_FREE_SPARE 0xfe
#define ELEMENT_USED 0xff

#define ELEMENT_GROUP 512       /* elements; of a million, as many groups' bytes are looked at as owners in a group */
#define GROUP_FULL 0xff

_Static_assert(SEATS_MAX < ELEMENT_FREE_SPARE, "an owner is a byte");

/* All of them, with spares. */
static inline uint32_t element_count(const struct map *map)
{
    return map->elements + map->spares;
}

/* Where the groups' bytes begin, from the owners on, and how many bytes both take: multiples of 64. */
static inline uint64_t element_groups_at(uint64_t count)
{
    return (count + 63) & ~UINT64_C(63);
}

static inline uint64_t element_owners_size(uint64_t count)
{
    uint64_t groups = (count + ELEMENT_GROUP - 1) / ELEMENT_GROUP;

    return element_groups_at(count) + ((groups + 63) & ~UINT64_C(63));
}

/*
 * The element of a link, which is 1 + its number, read once by the caller: NULL for 0 and for numbers that there are
 * not. What it returns is inside the map's memory, map->stride bytes.
 */
static inline void *element_of(const struct map *map, uint32_t link)
{
    uint32_t number = link - 1;

    if (number >= element_count(map))
        return NULL;
    return (uint8_t *)map_memory(map) + map->elements_at + (uint64_t)number * map->stride;
}

/*
 * In a change: take a free one; the journal's element[i] names it first.  Returns its link (1 + number), or 0: none is
 * free.  Bounded by the number of elements; of a map that was found full before, by that of groups.  Its contents are
 * what its last use left.
 */
uint32_t element_take(const struct map_change *change, unsigned i);

/* After the commit that made it reached. */
void element_use(const struct map_change *change, uint32_t link);

/* Before the commit after which it is not reached any more; the journal's element[i] names it. */
void element_claim(const struct map_change *change, unsigned i, uint32_t link);

/* After that commit, or instead of one: whoever looks for a free one may get it from now on. */
void element_free(const struct map_change *change, uint32_t link);

/*
 * For recovery: what the journal's element[i] names, read once: its link, if the dead seat has it, else 0.  And make it
 * USED or FREE (element_use, element_free).  Its group may have a free one from then on.
 */
uint32_t element_pending(const struct map_change *change, unsigned i);

/* For recovery of all: no group is known to be full. */
void element_forget_full(const struct map *map);

/* How many are not free now, spares not counted; what comes or goes at this moment counts.  Looks at all of them. */
uint32_t element_count_used(const struct map *map);

/* The owner's byte; `link` must be that of an element. */
uint8_t *element_owner(const struct map *map, uint32_t link);

#endif
