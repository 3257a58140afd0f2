/* SPDX-License-Identifier: MIT */
/*
 * Queues and stacks of values: max_entries of them, without keys.
 *
 * Where the values are and how many is one word of 8 bytes, so each push and pop is committed by one store.  There is
 * room for one value more than max_entries: a push writes its value where none is, also when it drops the oldest.
 *
 *      push    0; -E2BIG: full, and the flags are BPF_ANY; with BPF_EXIST a full one drops its oldest; -EINVAL: other
 *              flags; -EBUSY, -ENOSPC as change_begin
 *      pop     0: *value is the oldest of a queue, the newest of a stack, and is no longer there; -ENOENT: empty;
 *              -EBUSY, -ENOSPC
 *      peek    the same value, which stays; takes no lock; -ENOENT; -EBUSY: it was overtaken time and again
 *
 * value is map->value_size bytes, all of which pop and peek write whatever they return: zeros where there is no value.
 */
#ifndef JITCORE_RUNTIME_QUEUE_H
#define JITCORE_RUNTIME_QUEUE_H

#include "map.h"
#include "seat.h"

/* The memory of a queue or stack; the values lie at map->elements_at, one each map->stride bytes. */
struct queue_memory {
    uint32_t lock;
    uint32_t padding;
    uint64_t range;             /* index of the oldest << 32 | number of values */
    uint64_t version;           /* pushes that have begun to write: a peek that sees it move has perhaps read half */
    uint64_t spare[5];
};

_Static_assert(sizeof(struct queue_memory) == 64, "shared layout");

long queue_push(const struct map *map, const void *value, uint64_t flags, uint64_t, uint64_t, struct thread *thread);
long queue_pop(const struct map *map, void *value, uint64_t, uint64_t, uint64_t, struct thread *thread);
long queue_peek(const struct map *map, void *value);
long stack_push(const struct map *map, const void *value, uint64_t flags, uint64_t, uint64_t, struct thread *thread);
long stack_pop(const struct map *map, void *value, uint64_t, uint64_t, uint64_t, struct thread *thread);
long stack_peek(const struct map *map, void *value);

/* How many values are there now. */
uint32_t queue_count(const struct map *map);

/* Of map_kind.recover, for both. */
void queue_recover(const struct map *map, struct seat *seat);

#endif
