/* SPDX-License-Identifier: MIT */
#include "array.h"
#include "value.h"

#include <errno.h>
#include <linux/bpf.h>

/* At any address; read once: it may lie in the arena, where it becomes another one after it was compared. */
static uint32_t index_of(const void *key)
{
    const volatile struct { uint32_t number; } __attribute__((packed, may_alias)) *index = key;

    return index->number;
}

static uint64_t place_of(const struct map *map, uint32_t index, uint32_t copy)
{
    return (uint64_t)index * map->stride + (uint64_t)copy * map->copy_stride;
}

static uint32_t lock_of(const struct map *map, uint32_t index, uint32_t copy)
{
    return ARRAY_LOCKS_AT(map) + (map->copy_stride ? copy * map->copy_stride : index % ARRAY_LOCKS * 4);
}

static void *value_at(const struct map *map, uint32_t index, uint32_t copy)
{
    return (uint8_t *)map_memory(map) + place_of(map, index, copy);
}

static int check_update(const struct map *map, uint32_t index, uint64_t flags)
{
    if (flags > BPF_EXIST)
        return -EINVAL;
    if (index >= map->max_entries)
        return -E2BIG;
    return flags == BPF_NOEXIST ? -EEXIST : 0;
}

static long update(const struct map *map, uint32_t index, uint32_t copy, const void *value, struct thread *thread)
{
    struct map_change change;
    int r;

    if (value_is_word(map)) {
        value_copy(value_at(map, index, copy), value, map->value_size);
        return 0;
    }
    r = change_begin(map, thread, lock_of(map, index, copy), &change);
    if (r < 0)
        return r;
    value_write(&change, place_of(map, index, copy), value);
    change_end(&change);
    return 0;
}

/* The cursor's position is the index of the next; its key is in `within`, as arrays have none in memory. */
static const void *next(const struct map *map, struct map_cursor *cursor, uint32_t copy, void **ret_value)
{
    if (cursor->position >= map->max_entries)
        return NULL;
    cursor->within = cursor->position++;
    *ret_value = value_at(map, (uint32_t)cursor->within, copy);
    return &cursor->within;
}

/* ---- one for all ---- */

void *array_lookup(const struct map *map, const void *key)
{
    uint32_t index = index_of(key);

    return index < map->max_entries ? value_at(map, index, 0) : NULL;
}

long array_update(const struct map *map, const void *key, const void *value, uint64_t flags, uint64_t unused,
                  struct thread *thread)
{
    uint32_t index = index_of(key);
    int r = check_update(map, index, flags);

    (void)unused;
    return r < 0 ? r : update(map, index, 0, value, thread);
}

long array_delete(const struct map *map, const void *key)
{
    (void)map, (void)key;
    return -EINVAL;
}

const void *array_next(const struct map *map, struct map_cursor *cursor, void **ret_value)
{
    return next(map, cursor, 0, ret_value);
}

/* ---- a copy for each seat ---- */

void *seat_array_lookup(const struct map *map, const void *key, uint64_t unused1, uint64_t unused2, uint64_t unused3,
                        struct thread *thread)
{
    uint32_t index = index_of(key), seat;

    (void)unused1, (void)unused2, (void)unused3;
    if (index >= map->max_entries || seat_find(map, thread, &seat) < 0)
        return NULL;
    return value_at(map, index, seat);
}

long seat_array_update(const struct map *map, const void *key, const void *value, uint64_t flags, uint64_t unused,
                       struct thread *thread)
{
    uint32_t index = index_of(key), seat;
    int r = check_update(map, index, flags);

    (void)unused;
    if (r >= 0)
        r = seat_find(map, thread, &seat);
    return r < 0 ? r : update(map, index, seat, value, thread);
}

const void *seat_array_next(const struct map *map, struct map_cursor *cursor, void **ret_value, uint64_t unused1,
                            uint64_t unused2, struct thread *thread)
{
    uint32_t seat;

    (void)unused1, (void)unused2;
    return seat_find(map, thread, &seat) < 0 ? NULL : next(map, cursor, seat, ret_value);
}

void *seat_array_copies(const struct map *map, const void *key)
{
    return array_lookup(map, key);
}

/* ---- recovery ---- */

static bool is_lock(const struct map *map, uint32_t lock)
{
    uint32_t distance = lock - ARRAY_LOCKS_AT(map);

    if (lock < ARRAY_LOCKS_AT(map))
        return false;
    if (map->copy_stride)
        return distance % map->copy_stride == 0 && distance / map->copy_stride < SEATS_MAX;
    return distance % 4 == 0 && distance / 4 < ARRAY_LOCKS;
}

static bool is_place(const struct map *map, uint64_t place)
{
    uint64_t copy = 0;

    if (map->copy_stride) {
        copy = place / map->copy_stride;
        place %= map->copy_stride;
    }
    return place % map->stride == 0 && place / map->stride < map->max_entries &&
           copy < (map->copy_stride ? SEATS_MAX : 1);
}

void array_recover(const struct map *map, struct seat *seat)
{
    uint32_t lock = READ_ONCE(seat->journal.lock);
    uint64_t place = READ_ONCE(seat->journal.place);
    struct map_change change;

    if (!is_lock(map, lock) || !change_resume(map, seat, lock, &change))
        return;
    if (is_place(map, place))
        value_recover(&change, place);
    change_end(&change);
}
