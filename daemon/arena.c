/* SPDX-License-Identifier: MIT */
#include "arena.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "refusal.h"
#include "runtime/seat.h"

#define PAGE ((uint64_t)4096)
#define LARGE ((size_t)64 << 10)        /* bytes: from here on at the top */
#define HELD_STEP ((uint64_t)256 << 10) /* bytes: bounds how many ranges workers can make us hold */

enum range_state { RANGE_HEAD, RANGE_RESERVED, RANGE_HELD };

/* Bytes [begin, end). */
struct range {
    uint64_t begin, end;
    uid_t uid;
    enum range_state state;
};

struct arena {
    struct memory *memory;
    size_t quota;
    struct range *range;                /* sorted, apart; the first is the head */
    size_t ranges, capacity;
    bool holding;                       /* what is released is held */
    bool frozen;                        /* what is released keeps its memory */
};

static uint64_t range_size(const struct range *range)
{
    return range->end - range->begin;
}

/* ---- the array of ranges ------------------------------------------------------------------------------- */

/* The gap before range `i`; that behind the last one for i == ranges. */
static struct range gap_before(const struct arena *arena, size_t i)
{
    return (struct range){
        .begin = i > 0 ? arena->range[i - 1].end : 0,
        .end = i < arena->ranges ? arena->range[i].begin : DD_ARENA_SIZE,
    };
}

/* Index of the first range that ends behind `offset`. */
static size_t find_range(const struct arena *arena, uint64_t offset)
{
    size_t low = 0, high = arena->ranges;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (arena->range[middle].end <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
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

/* Before range `i`; there is room. */
static void insert(struct arena *arena, size_t i, struct range range)
{
    memmove(arena->range + i + 1, arena->range + i, (arena->ranges - i) * sizeof(*arena->range));
    arena->range[i] = range;
    arena->ranges++;
}

static void take_out(struct arena *arena, size_t i)
{
    memmove(arena->range + i, arena->range + i + 1, (arena->ranges - i - 1) * sizeof(*arena->range));
    arena->ranges--;
}

int arena_new(struct memory *memory, size_t quota, struct arena **ret)
{
    struct arena *arena = calloc(1, sizeof(*arena));

    if (!arena)
        return -ENOMEM;
    arena->memory = memory;
    arena->quota = quota;
    if (make_room(arena) < 0 || memory_populate_arena(memory, 0, ARENA_HEAD_SIZE) < 0) {
        arena_free(arena);
        return -ENOMEM;
    }
    insert(arena, 0, (struct range){ .end = ARENA_HEAD_SIZE, .state = RANGE_HEAD });
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

/* ---- reserving ----------------------------------------------------------------------------------------- */

/* In steps of an eighth of its power of two, so that a gap is of use again.  0: more than there is. */
static uint64_t round_up(size_t size)
{
    uint64_t step = ARENA_GRANULE;

    assert(size > 0);
    if (size > DD_ARENA_SIZE)
        return 0;
    while (size > 16 * step)
        step *= 2;
    return (size + step - 1) / step * step;
}

/* Where in this gap: small ranges at its begin, large ones on whole pages at its end.  ARENA_NONE: no room. */
static uint64_t place(const struct range *gap, uint64_t size)
{
    uint64_t begin;

    if (range_size(gap) < size)
        return ARENA_NONE;
    begin = size < LARGE ? gap->begin : (gap->end - size) / PAGE * PAGE;
    return begin >= gap->begin ? begin : ARENA_NONE;
}

/* The smallest gap that has room: of equal ones the first for small ranges, the last for large ones. */
static uint64_t find_place(const struct arena *arena, uint64_t size, size_t *ret_index)
{
    uint64_t best = UINT64_MAX, found = ARENA_NONE;

    for (size_t i = 0; i <= arena->ranges; i++) {
        struct range gap = gap_before(arena, i);
        uint64_t begin = place(&gap, size);

        if (begin == ARENA_NONE || range_size(&gap) > best || (size < LARGE && range_size(&gap) == best))
            continue;
        best = range_size(&gap);
        found = begin;
        *ret_index = i;
    }
    return found;
}

/* So that the next daemon sees that the range is in use, whether programs ever wrote to it or not: arena_hold(). */
static int mark(struct arena *arena, uint64_t offset, uint64_t size)
{
    int r = 0;

    for (uint64_t at = offset; r >= 0 && at < offset + size; at = (at / HELD_STEP + 1) * HELD_STEP)
        r = memory_mark_arena(arena->memory, at);
    return r;
}

static int reserve(struct arena *arena, size_t i, uint64_t offset, uint64_t size, const struct arena_request *request)
{
    int r = make_room(arena);

    if (r >= 0 && !request->sparse)
        r = memory_populate_arena(arena->memory, offset, request->size);
    if (r >= 0)
        insert(arena, i, (struct range){ offset, offset + size, request->uid, RANGE_RESERVED });
    return r;
}

/* A worker may have written there while it was nobody's: it is made zero first. */
int arena_reserve(struct arena *arena, const struct arena_request *request, uint64_t *ret_offset)
{
    uint64_t size = round_up(request->size), offset;
    size_t i;
    int r;

    if (size == 0)
        return -ENOSPC;
    offset = find_place(arena, size, &i);
    if (offset == ARENA_NONE)
        return -ENOSPC;
    if (arena_used_by(arena, request->uid) + size > arena->quota)
        return -EDQUOT;
    r = memory_discard_arena(arena->memory, offset, size);
    if (r >= 0)
        r = mark(arena, offset, request->size);
    if (r >= 0)
        r = reserve(arena, i, offset, size, request);
    if (r >= 0)
        *ret_offset = offset;
    return r;
}

int arena_reserve_at(struct arena *arena, const struct arena_request *request, uint64_t offset)
{
    uint64_t size = round_up(request->size);
    struct range gap;
    size_t i;

    if (size == 0 || offset % ARENA_GRANULE != 0 || offset >= DD_ARENA_SIZE || size > DD_ARENA_SIZE - offset)
        return -EINVAL;
    i = find_range(arena, offset);
    gap = gap_before(arena, i);
    if (offset < gap.begin || offset + size > gap.end)
        return -EEXIST;
    return reserve(arena, i, offset, size, request);
}

int arena_refuse(const struct arena *arena, int result, const struct arena_request *request, struct refusal *refusal)
{
    uint64_t size = round_up(request->size), needed = size ? size : request->size;
    struct arena_usage usage;

    arena_usage(arena, &usage);
    if (result == -EDQUOT)
        return refuse(refusal, result, "QuotaExceeded", "iiii", "uid", (int64_t)request->uid, "needed", (int64_t)needed,
                      "used", (int64_t)arena_used_by(arena, request->uid), "maximum", (int64_t)arena->quota);
    if (result == -ENOSPC && needed > usage.largest)
        return refuse(refusal, result, "ArenaFull", "ii", "needed", (int64_t)needed,
                      "available", (int64_t)usage.largest);
    if (result == -ENOMEM)
        return refuse_memory(refusal);
    return refuse(refusal, result, "LimitExceeded", "si", "limit", "memory of the host", "maximum", (int64_t)0);
}

void *arena_write(struct arena *arena, uint64_t offset)
{
    assert(offset < DD_ARENA_SIZE);
    return (uint8_t *)arena->memory->arena + offset;
}

/* ---- giving back --------------------------------------------------------------------------------------- */

/*
 * Also what is left of its first and last page, where nobody else has a part of them.  If the host refuses, the memory
 * goes back later: whoever gets the range next discards it again.
 */
static void release(struct arena *arena, size_t i)
{
    uint64_t begin = arena->range[i].begin / PAGE * PAGE, end = (arena->range[i].end + PAGE - 1) / PAGE * PAGE;
    struct range gap;

    take_out(arena, i);
    if (arena->frozen)
        return;
    gap = gap_before(arena, i);
    begin = begin < gap.begin ? gap.begin : begin;
    end = end > gap.end ? gap.end : end;
    memory_discard_arena(arena->memory, begin, end - begin);
}

void arena_release(struct arena *arena, uint64_t offset)
{
    size_t i = find_range(arena, offset);

    assert(i < arena->ranges && arena->range[i].begin == offset && arena->range[i].state == RANGE_RESERVED);
    if (arena->holding)
        arena->range[i].state = RANGE_HELD;
    else
        release(arena, i);
}

void arena_freeze(struct arena *arena)
{
    arena->frozen = true;
}

/* What is in use of the gap before range `i`, from `from` on: how many ranges were inserted, or negative. */
static int hold_gap(struct arena *arena, size_t i)
{
    struct range gap = gap_before(arena, i);
    uint64_t from = gap.begin, begin, end;
    int held = 0, r;

    for (; from < gap.end; from = end) {
        end = gap.end;
        if (!memory_arena_in_use(arena->memory, from, &begin, &end))
            break;
        begin = begin / HELD_STEP * HELD_STEP;
        end = (end + HELD_STEP - 1) / HELD_STEP * HELD_STEP;
        begin = begin < from ? from : begin;
        end = end > gap.end ? gap.end : end;
        r = make_room(arena);
        if (r < 0)
            return r;
        insert(arena, i + (size_t)held++, (struct range){ begin, end, 0, RANGE_HELD });
    }
    return held;
}

int arena_hold(struct arena *arena)
{
    arena->holding = true;
    for (size_t i = 0; i <= arena->ranges; i++) {
        int r = hold_gap(arena, i);

        if (r < 0)
            return r;
        i += (size_t)r;
    }
    return 0;
}

void arena_settle(struct arena *arena)
{
    if (!arena->holding)
        return;
    arena->holding = false;
    for (size_t i = arena->ranges; i > 0; i--)
        if (arena->range[i - 1].state == RANGE_HELD)
            release(arena, i - 1);
}

/* ---- looking ------------------------------------------------------------------------------------------- */

void arena_each(const struct arena *arena, void (*range)(void *userdata, uint64_t offset, size_t size), void *userdata)
{
    for (size_t i = 0; i < arena->ranges; i++)
        if (arena->range[i].state != RANGE_HELD)
            range(userdata, arena->range[i].begin, range_size(&arena->range[i]));
}

void arena_usage(const struct arena *arena, struct arena_usage *ret)
{
    struct arena_usage usage = { .size = DD_ARENA_SIZE };

    for (size_t i = 0; i < arena->ranges; i++) {
        const struct range *range = &arena->range[i];

        usage.used += range->state == RANGE_RESERVED ? range_size(range) : 0;
        usage.held += range->state == RANGE_HELD ? range_size(range) : 0;
        usage.ranges += range->state == RANGE_RESERVED;
    }
    for (size_t i = 0; i <= arena->ranges; i++) {
        struct range gap = gap_before(arena, i);

        usage.gaps += range_size(&gap) > 0;
        if (range_size(&gap) > usage.largest)
            usage.largest = range_size(&gap);
    }
    *ret = usage;
}

size_t arena_used_by(const struct arena *arena, uid_t uid)
{
    size_t used = 0;

    for (size_t i = 0; i < arena->ranges; i++)
        if (arena->range[i].state == RANGE_RESERVED && arena->range[i].uid == uid)
            used += range_size(&arena->range[i]);
    return used;
}
