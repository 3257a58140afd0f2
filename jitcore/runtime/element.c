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

static uint8_t *groups(const struct map *map)
{
    return owners(map) + element_groups_at(element_count(map));
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
    uint64_t candidates = first + 8 > change->map->elements ? HIGH : (eight - LOW) & ~eight & HIGH;

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

/*
 * Of a group, beginning at `place`, one of its elements.  Is none free, then all are looked at once more while the
 * group's byte tells who frees one that somebody looks (element.h).
 */
static uint32_t take_of_group(const struct map_change *change, unsigned i, uint32_t place)
{
    uint32_t group = place / ELEMENT_GROUP, begin = group * ELEMENT_GROUP, all = element_count(change->map), link;
    uint32_t end = all - begin < ELEMENT_GROUP ? all : begin + ELEMENT_GROUP;
    uint8_t *mark = &groups(change->map)[group], looking = (uint8_t)change->holder;

    link = take_between(change, i, place, end);
    if (link == 0)
        link = take_between(change, i, begin, place);
    if (link != 0)
        return link;
    __atomic_store_n(mark, looking, __ATOMIC_SEQ_CST);
    link = take_between(change, i, begin, end);
    if (link == 0)
        __atomic_compare_exchange_n(mark, &looking, GROUP_FULL, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
    return link;
}

/* The first group from this one on that is not known to be full, eight bytes at a time; `end`: there is none. */
static uint32_t next_group(const struct map *map, uint32_t group, uint32_t end)
{
    const uint8_t *mark = groups(map);

    while (group < end) {
        if (group % 8 == 0 && READ_ONCE(*(const uint64_t *)(const void *)(mark + group)) == UINT64_MAX) {
            group += 8;
            continue;
        }
        if (READ_ONCE(mark[group]) != GROUP_FULL)
            return group;
        group++;
    }
    return end;
}

static uint32_t take_of_groups(const struct map_change *change, unsigned i, uint32_t begin, uint32_t end)
{
    uint32_t group = begin, link = 0;

    while (link == 0 && (group = next_group(change->map, group, end)) < end)
        link = take_of_group(change, i, group++ * ELEMENT_GROUP);
    return link;
}

/* Where this thread found or left one before; at first, each seat somewhere else, so that they do not meet. */
static uint32_t first_place(const struct map_change *change)
{
    uint32_t place = (change->holder - 1) * (change->map->elements / SEATS_MAX);

    if (change->thread->element_map == change->map->number)
        place = change->thread->element;
    return place < element_count(change->map) ? place : 0;
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
    uint32_t count = (element_count(change->map) + ELEMENT_GROUP - 1) / ELEMENT_GROUP;
    uint32_t place = first_place(change), group = place / ELEMENT_GROUP, link = 0;

    if (READ_ONCE(groups(change->map)[group]) != GROUP_FULL)
        link = take_of_group(change, i, place);
    if (link == 0)
        link = take_of_groups(change, i, group + 1, count);
    if (link == 0)
        link = take_of_groups(change, i, 0, group);
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

/* Written only where it is not 0, so that a map which is not full has its groups in all caches. */
static void look_again(const struct map *map, uint32_t link)
{
    uint8_t *mark = &groups(map)[(link - 1) / ELEMENT_GROUP];

    if (READ_ONCE(*mark) != 0)
        WRITE_AFTER(*mark, 0);
}

/* Sequentially consistent: the store is visible before the group's byte is read.  Partner: take_of_group. */
void element_free(const struct map_change *change, uint32_t link)
{
    __atomic_store_n(element_owner(change->map, link), free_mark(change->map, link), __ATOMIC_SEQ_CST);
    look_again(change->map, link);
    remember_place(change, link);
}

uint32_t element_pending(const struct map_change *change, unsigned i)
{
    uint32_t link = READ_ONCE(change->seat->journal.element[i]);

    if (link - 1 >= element_count(change->map))
        return 0;
    look_again(change->map, link);
    return READ_ONCE(*element_owner(change->map, link)) == change->holder ? link : 0;
}

void element_forget_full(const struct map *map)
{
    for (uint32_t first = 0; first < element_count(map); first += ELEMENT_GROUP)
        WRITE_ONCE(groups(map)[first / ELEMENT_GROUP], 0);
}

uint32_t element_count_used(const struct map *map)
{
    uint32_t used = map->elements;

    for (uint32_t link = 1; link <= element_count(map); link++)
        used -= READ_ONCE(*element_owner(map, link)) == free_mark(map, link);
    return used <= map->elements ? used : 0;
}
