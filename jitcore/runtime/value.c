/* SPDX-License-Identifier: MIT */
#include "value.h"

/* One access to what is shared, at a multiple of `size`. */
#define COPY_WORD(type, to, from)                               \
    do {                                                        \
        type word;                                              \
                                                                \
        __builtin_memcpy(&word, (from), sizeof(word));          \
        WRITE_ONCE(*(type *)(to), word);                        \
    } while (0)

static void copy_word(void *to, const void *from, uint32_t size)
{
    if (size == 8)
        COPY_WORD(uint64_t, to, from);
    else if (size == 4)
        COPY_WORD(uint32_t, to, from);
    else if (size == 2)
        COPY_WORD(uint16_t, to, from);
    else
        COPY_WORD(uint8_t, to, from);
}

/* What is left of a value behind its words of 8 bytes is in pieces of 4, 2 and 1. */
void value_copy(void *to, const void *from, uint32_t size)
{
    uint8_t *place = to;
    const uint8_t *source = from;
    uint32_t word = 8;

    while (size > 0) {
        while (word > size)
            word /= 2;
        copy_word(place, source, word);
        place += word;
        source += word;
        size -= word;
    }
}

/* 8 bytes at any address, in one access. */
typedef volatile struct { uint64_t word; } __attribute__((packed, may_alias)) any_word;

/* By these accesses no compiler makes a memcpy() of it, which must not be called with what overlaps. */
void value_take(void *to, const void *from, uint32_t size)
{
    const uint8_t *source = from;
    uint8_t *place = to;

    for (; size >= sizeof(any_word); size -= sizeof(any_word)) {
        ((any_word *)place)->word = ((const any_word *)source)->word;
        place += sizeof(any_word);
        source += sizeof(any_word);
    }
    for (uint32_t i = 0; i < size; i++)
        WRITE_ONCE(place[i], READ_ONCE(source[i]));
}

void value_clear(void *to, uint32_t size)
{
    uint64_t *word = to;

    for (uint32_t i = 0; i < (size + 7) / 8; i++)
        WRITE_ONCE(word[i], 0);
}

static void *place_of(const struct map_change *change, uint64_t place)
{
    return (uint8_t *)map_memory(change->map) + place;
}

void value_write(const struct map_change *change, uint64_t place, const void *value)
{
    struct seat *seat = change->seat;
    uint32_t size = change->map->value_size;

    if (size <= SEAT_BUFFER) {
        value_copy(seat->buffer, value, size);
        WRITE_AFTER(seat->journal.place, place);
        WRITE_AFTER(seat->journal.size, size);
    }
    __atomic_thread_fence(__ATOMIC_RELEASE);    /* the value is written after the mark, and before that is gone */
    value_copy(place_of(change, place), value, size);
    WRITE_AFTER(seat->journal.size, 0);
}

void value_recover(const struct map_change *change, uint64_t place)
{
    if (READ_BEFORE(change->seat->journal.size) == change->map->value_size && change->map->value_size <= SEAT_BUFFER)
        value_copy(place_of(change, place), change->seat->buffer, change->map->value_size);
}
