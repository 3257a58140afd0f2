/* SPDX-License-Identifier: MIT */
/*
 * Values in shared memory, which others read and write at the same time: copied word by word, so that what is aligned
 * and at most 8 bytes is seen whole.
 */
#ifndef JITCORE_RUNTIME_VALUE_H
#define JITCORE_RUNTIME_VALUE_H

#include "map.h"
#include "seat.h"

/* What one store writes: needs no lock and no journal. */
static inline bool value_is_word(const struct map *map)
{
    uint32_t size = map->value_size;

    return size <= 8 && (size & (size - 1)) == 0;
}

/* `to` is shared, at a multiple of 8; `from` is anywhere. */
void value_copy(void *to, const void *from, uint32_t size);
void value_clear(void *to, uint32_t size);

/* Both are anywhere, also where they overlap, which leaves garbage. */
void value_take(void *to, const void *from, uint32_t size);

/*
 * In a change: write the value at this byte offset of the map's memory, all of it or nothing if the thread is killed;
 * of values longer than SEAT_BUFFER perhaps a part.  The journal's `place`, `size` and the seat's buffer say what to
 * write again: `size` is written last before, and emptied first after.
 */
void value_write(const struct map_change *change, uint64_t place, const void *value);

/* For recovery: writes at `place`, which the kind has checked, what the journal says is to be written, if anything. */
void value_recover(const struct map_change *change, uint64_t place);

#endif
