/* SPDX-License-Identifier: MIT */
#include "element.h"

/* Eight owners at a time: of (x - LOW) & ~x & HIGH the lowest bit is in the first byte that is 0 (Mycroft 1987). */
#define LOW UINT64_C(0x0101010101010101)
#define HIGH UINT64_C(0x8080808080808080)

static uint8_t *owners(const struct map *map)
{
    return (uint8_t *)map_memory(map) + map->owners_at;
}

uint8_t *element_owner(const struct map *map, uint32_t link)
{
    return &owners(map)[link - 1];
}

static uint8_t free_mark(const struct map *map, uint32_t link)
{
    return link - 1 < map->elements ? ELEMENT_FREE : ELEMENT_FREE_SPARE;
}

/* The journal names it before it is taken: else it were nobody's if the thread ended between. */
static bool try_take(const struct map_change *change, unsigned i, uint32_t link)
{
    uint8_t mark = free_mark(change->map, link);
    uint8_t *owner = element_owner(change->map, link);

    if (READ_ONCE(*owner) != mark)
        return false;
    WRITE_AFTER(change->seat->journal.element[i], link);
    return __atomic_compare_exchange_n(owner, &mark, (uint8_t)change->holder, false, __ATOMIC_SEQ_CST,
                                       __ATOMIC_RELAXED);
}

/* Of the eight from number `first` on, a multiple of 8, below `end`: the link of one that is taken now, or 0. */
static uint32_t take_of_eight(const struct map_change *change, unsigned i, uint32_t first, uint32_t end)
{
    uint64_t eight = READ_ONCE(*(uint64_t *)(void *)(owners(change->map) + first));
    uint64_t candidates = end > change->map->elements ? HIGH : (eight - LOW) & ~eight & HIGH;

    for (; candidates != 0; candidates &= candidates - 1) {
        uint32_t link = 1 + first + (uint32_t)__builtin_ctzll(candidates) / 8;

        if (link <= end && try_take(change, i, link))
            return link;
    }
    return 0;
}

static uint32_t take_between(const struct map_change *change, unsigned i, uint32_t begin, uint32_t end)
{
    for (uint32_t first = begin & ~UINT32_C(7); first < end; first += 8) {
        uint32_t link = take_of_eight(change, i, first, end);

        if (link != 0)
            return link;
    }
    return 0;
}

/* Where this thread found or left one before; at first, each seat somewhere else, so that they do not meet. */
static uint32_t first_place(const struct map_change *change)
{
    uint32_t place = (change->holder - 1) * (change->map->elements / SEATS_MAX);

    if (change->thread->element_map == change->map->number)
        place = change->thread->element;
    return place < change->map->elements ? place : 0;
}

static void remember_place(const struct map_change *change, uint32_t link)
{
    if (!change->thread)
        return;
    change->thread->element_map = change->map->number;
    change->thread->element = link - 1;
}

uint32_t element_take(const struct map_change *change, unsigned i)
{
    const struct map *map = change->map;
    uint32_t place = first_place(change), link;

    link = take_between(change, i, place, map->elements);
    if (link == 0)
        link = take_between(change, i, 0, place);
    if (link == 0)
        link = take_between(change, i, map->elements, element_count(map));
    if (link != 0)
        remember_place(change, link);
    return link;
}

void element_use(const struct map_change *change, uint32_t link)
{
    WRITE_AFTER(*element_owner(change->map, link), ELEMENT_USED);
}

void element_claim(const struct map_change *change, unsigned i, uint32_t link)
{
    WRITE_AFTER(change->seat->journal.element[i], link);
    WRITE_AFTER(*element_owner(change->map, link), (uint8_t)change->holder);
}

void element_free(const struct map_change *change, uint32_t link)
{
    WRITE_AFTER(*element_owner(change->map, link), free_mark(change->map, link));
    remember_place(change, link);
}

uint32_t element_pending(const struct map_change *change, unsigned i)
{
    uint32_t link = READ_ONCE(change->seat->journal.element[i]);

    if (link - 1 >= element_count(change->map) || READ_ONCE(*element_owner(change->map, link)) != change->holder)
        return 0;
    return link;
}

uint32_t element_count_used(const struct map *map)
{
    uint32_t used = map->elements;

    for (uint32_t link = 1; link <= element_count(map); link++)
        used -= READ_ONCE(*element_owner(map, link)) == free_mark(map, link);
    return used <= map->elements ? used : 0;
}
