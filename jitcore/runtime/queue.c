/* SPDX-License-Identifier: MIT */
/* Queues and stacks: the range of slots that hold values is one word, and a change of it is a push or a pop. */

#include "queue.h"

#include <errno.h>
#include <linux/bpf.h>
#include <string.h>

#include "value.h"

#define PEEK_ATTEMPTS 64

struct range {
    uint32_t oldest;            /* index, below slots() */
    uint32_t count;             /* at most max_entries */
};

/* One more than there can be values. */
static uint32_t slots(const struct map *map)
{
    return map->max_entries + 1;
}

static struct queue_memory *memory(const struct map *map)
{
    return map_memory(map);
}

/* Nonsense is an empty queue. */
static struct range unpack(const struct map *map, uint64_t word)
{
    struct range range = { (uint32_t)(word >> 32), (uint32_t)word };

    if (range.oldest >= slots(map) || range.count > map->max_entries)
        return (struct range){ 0, 0 };
    return range;
}

static struct range read_range(const struct map *map)
{
    return unpack(map, READ_ONCE(memory(map)->range));
}

/* The commit.  Release: a value's bytes are written before the range has it, and read before the range loses it. */
static void write_range(const struct map *map, struct range range)
{
    WRITE_AFTER(memory(map)->range, (uint64_t)range.oldest << 32 | range.count);
}

/* The slot `distance` behind the oldest; distance is at most max_entries. */
static uint32_t slot_after(const struct map *map, uint32_t oldest, uint32_t distance)
{
    uint64_t index = (uint64_t)oldest + distance;

    return (uint32_t)(index >= slots(map) ? index - slots(map) : index);
}

static uint8_t *value_at(const struct map *map, uint32_t slot)
{
    return (uint8_t *)memory(map) + map->elements_at + (uint64_t)slot * map->stride;
}

/*
 * Write the value where none is.  The version goes first: a peek that read any of these bytes reads the version after
 * them and sees that it has moved (release fence: the compiler keeps the two in order, the processor does anyway).
 */
static void write_value(const struct map *map, uint32_t slot, const void *value)
{
    WRITE_ONCE(memory(map)->version, READ_ONCE(memory(map)->version) + 1);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    value_copy(value_at(map, slot), value, map->value_size);      /* which may lie in this very memory */
}

static long push(const struct map *map, const void *value, uint64_t flags)
{
    struct range range = read_range(map);
    bool full = range.count == map->max_entries;

    if (full && flags != BPF_EXIST)
        return -E2BIG;
    write_value(map, slot_after(map, range.oldest, range.count), value);
    if (full)
        range.oldest = slot_after(map, range.oldest, 1);
    else
        range.count++;
    write_range(map, range);
    return 0;
}

long queue_push(const struct map *map, const void *value, uint64_t flags, uint64_t unused_4, uint64_t unused_5,
                struct thread *thread)
{
    struct map_change change;
    long r;

    if (flags != BPF_ANY && flags != BPF_EXIST)
        return -EINVAL;
    r = change_begin(map, thread, offsetof(struct queue_memory, lock), &change);
    if (r < 0)
        return r;
    r = push(map, value, flags);
    change_end(&change);
    return r;
}

long stack_push(const struct map *map, const void *value, uint64_t flags, uint64_t unused_4, uint64_t unused_5,
                struct thread *thread)
{
    return queue_push(map, value, flags, unused_4, unused_5, thread);
}

/* Which end values are taken from. */
enum end { OLDEST, NEWEST };

/* Copy the value at that end, and take it out of *range.  -ENOENT: there is none, and *value is zeros. */
static long copy_value(const struct map *map, enum end end, struct range *range, void *value)
{
    if (!range->count) {
        memset(value, 0, map->value_size);
        return -ENOENT;
    }
    range->count--;
    value_take(value, value_at(map, end == OLDEST ? range->oldest : slot_after(map, range->oldest, range->count)),
               map->value_size);
    if (end == OLDEST)
        range->oldest = slot_after(map, range->oldest, 1);
    return 0;
}

static long pop(const struct map *map, enum end end, void *value, struct thread *thread)
{
    struct map_change change;
    struct range range;
    long r;

    r = change_begin(map, thread, offsetof(struct queue_memory, lock), &change);
    if (r < 0) {
        memset(value, 0, map->value_size);
        return r;
    }
    range = read_range(map);
    r = copy_value(map, end, &range, value);
    if (r >= 0)
        write_range(map, range);
    change_end(&change);
    return r;
}

/*
 * Without the lock: what was copied counts if no push has begun to write meanwhile (write_value), and the range is the
 * same.  Acquire: the copy is made between the two looks, or it could be of bytes that neither vouches for.
 */
static long peek(const struct map *map, enum end end, void *value)
{
    for (int attempt = 0; attempt < PEEK_ATTEMPTS; attempt++) {
        uint64_t version = READ_BEFORE(memory(map)->version);
        uint64_t word = READ_BEFORE(memory(map)->range);
        struct range range = unpack(map, word);
        long r;

        r = copy_value(map, end, &range, value);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (READ_ONCE(memory(map)->version) == version && READ_ONCE(memory(map)->range) == word)
            return r;
    }
    memset(value, 0, map->value_size);
    return -EBUSY;
}

long queue_pop(const struct map *map, void *value, uint64_t unused_3, uint64_t unused_4, uint64_t unused_5,
               struct thread *thread)
{
    return pop(map, OLDEST, value, thread);
}

long stack_pop(const struct map *map, void *value, uint64_t unused_3, uint64_t unused_4, uint64_t unused_5,
               struct thread *thread)
{
    return pop(map, NEWEST, value, thread);
}

long queue_peek(const struct map *map, void *value)
{
    return peek(map, OLDEST, value);
}

long stack_peek(const struct map *map, void *value)
{
    return peek(map, NEWEST, value);
}

uint32_t queue_count(const struct map *map)
{
    return read_range(map).count;
}

/* A change is its one store: whether that was made or not, all that is left is the lock. */
void queue_recover(const struct map *map, struct seat *seat)
{
    struct map_change change;

    if (change_resume(map, seat, offsetof(struct queue_memory, lock), &change))
        change_end(&change);
}
