/* SPDX-License-Identifier: MIT */
#include "arena.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"

/* Bytes [begin, end). */
struct range {
    uint64_t begin, end;
};

struct arena {
    struct memory *memory;
    struct range *range;                /* reserved; sorted, apart */
    size_t ranges, capacity;
    size_t used;
};

int arena_new(struct memory *memory, struct arena **ret)
{
    struct arena *arena = calloc(1, sizeof(*arena));

    if (!arena)
        return -ENOMEM;
    arena->memory = memory;
    *ret = arena;
    return 0;
}

struct arena *arena_free(struct arena *arena)
{
    if (arena)
        free(arena->range);
    free(arena);
    return NULL;
}

/* The gap before range `i`; that behind the last one for i == ranges. */
static struct range gap_before(const struct arena *arena, size_t i)
{
    return (struct range){
        .begin = i > 0 ? arena->range[i - 1].end : 0,
        .end = i < arena->ranges ? arena->range[i].begin : DD_ARENA_SIZE,
    };
}

static int make_room(struct arena *arena)
{
    size_t wanted = arena->capacity ? 2 * arena->capacity : 8;
    struct range *larger;

    if (arena->ranges < arena->capacity)
        return 0;
    larger = reallocarray(arena->range, wanted, sizeof(*larger));
    if (!larger)
        return -ENOMEM;
    arena->range = larger;
    arena->capacity = wanted;
    return 0;
}

static int reserve_in_gap(struct arena *arena, size_t i, size_t size, uint64_t *ret_offset)
{
    uint64_t offset = gap_before(arena, i).begin;
    int r;

    r = make_room(arena);
    if (r >= 0)
        r = memory_populate_arena(arena->memory, offset, size);
    if (r < 0)
        return r;
    memmove(arena->range + i + 1, arena->range + i, (arena->ranges - i) * sizeof(*arena->range));
    arena->range[i] = (struct range){ offset, offset + size };
    arena->ranges++;
    arena->used += size;
    memset(arena_write(arena, offset), 0, size);
    *ret_offset = offset;
    return 0;
}

/* First fit. */
int arena_reserve(struct arena *arena, size_t size, uint64_t *ret_offset)
{
    size_t rounded;

    assert(size > 0);
    if (size > DD_ARENA_SIZE)
        return -ENOSPC;
    rounded = (size + ARENA_GRANULE - 1) / ARENA_GRANULE * ARENA_GRANULE;
    for (size_t i = 0; i <= arena->ranges; i++) {
        struct range gap = gap_before(arena, i);

        if (gap.end - gap.begin >= rounded)
            return reserve_in_gap(arena, i, rounded, ret_offset);
    }
    return -ENOSPC;
}

void *arena_write(struct arena *arena, uint64_t offset)
{
    assert(offset < DD_ARENA_SIZE);
    return (uint8_t *)arena->memory->arena + offset;
}

void arena_release(struct arena *arena, uint64_t offset)
{
    size_t i = 0;

    while (i < arena->ranges && arena->range[i].begin != offset)
        i++;
    assert(i < arena->ranges);
    arena->used -= arena->range[i].end - arena->range[i].begin;
    memmove(arena->range + i, arena->range + i + 1, (arena->ranges - i - 1) * sizeof(*arena->range));
    arena->ranges--;
}

size_t arena_used(const struct arena *arena)
{
    return arena->used;
}

size_t arena_largest(const struct arena *arena)
{
    size_t largest = 0;

    for (size_t i = 0; i <= arena->ranges; i++) {
        struct range gap = gap_before(arena, i);

        if (gap.end - gap.begin > largest)
            largest = gap.end - gap.begin;
    }
    return largest;
}
