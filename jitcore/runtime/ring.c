/* SPDX-License-Identifier: MIT */
/* Ring buffers: positions only grow; a record is there when the producer's position is behind it. */

#include "ring.h"

#include <errno.h>
#include <linux/bpf.h>
#include <string.h>

#include "value.h"

#define HEADER sizeof(struct ring_header)
#define LENGTH(word) ((word) & ~(RING_BUSY | RING_DISCARDED))

static struct ring_memory *memory(const struct map *map)
{
    return map_memory(map);
}

/* Bytes of data and header, at multiples of 8 as all records. */
static uint64_t room_of(uint64_t length)
{
    return HEADER + ((length + 7) & ~(uint64_t)7);
}

/* From a position to the end of the ring; a multiple of 8, at least 8. */
static uint64_t until_end(const struct map *map, uint64_t position)
{
    return map->max_entries - (position & (map->max_entries - 1) & ~(uint64_t)7);
}

static uint8_t *records(const struct map *map)
{
    return (uint8_t *)memory(map) + map->elements_at;
}

/* Wherever the position says: a place in the ring, with room for a header. */
static struct ring_header *header_at(const struct map *map, uint64_t position)
{
    return (struct ring_header *)(void *)(records(map) + map->max_entries - until_end(map, position));
}

/* ---- producers ---- */

/* A record of `room` bytes at the producer's position; the caller knows that they are free, and do not wrap. */
static void append(const struct map *map, uint64_t producer, uint64_t room, uint32_t word, uint32_t seat)
{
    struct ring_header *header = header_at(map, producer);

    WRITE_ONCE(header->length, word);
    WRITE_ONCE(header->seat, seat);
    /* The commit.  Release: who sees the position sees the header; else the consumer took what was there before. */
    WRITE_AFTER(memory(map)->producer, producer + room);
}

/*
 * Under the lock.  What does not fit before the end of the ring begins at its beginning; the rest is a discarded record
 * of its own, which stays also if the second does not fit: so a long record finds an empty ring at some time.  A
 * consumer's position that is nonsense is a full ring, until the consumer looks.
 */
static struct ring_header *reserve(const struct map *map, uint64_t length, uint32_t seat)
{
    uint64_t producer = READ_ONCE(memory(map)->producer) & ~(uint64_t)7;
    /* Acquire: the consumer has read what lies there before it gives the room back (ring_take). */
    uint64_t consumer = READ_BEFORE(memory(map)->consumer);
    uint64_t room = room_of(length), rest = until_end(map, producer);

    if (room > rest && producer + rest - consumer <= map->max_entries) {
        append(map, producer, rest, (uint32_t)(rest - HEADER) | RING_DISCARDED, seat);
        producer += rest;
    }
    if (room > until_end(map, producer) || producer + room - consumer > map->max_entries)
        return NULL;
    append(map, producer, room, (uint32_t)length | RING_BUSY, seat);
    return header_at(map, producer);
}

static void count_lost(const struct map *map)
{
    __atomic_fetch_add(&memory(map)->lost, 1, __ATOMIC_RELAXED);
}

/* 0: *ret is the data of a new record. */
static long add(const struct map *map, uint64_t length, struct thread *thread, void **ret)
{
    struct ring_header *header = NULL;
    struct map_change change;
    long r = -EAGAIN;

    if (length <= map->max_entries - HEADER && length <= RING_RECORD_MAX) {
        r = change_begin(map, thread, offsetof(struct ring_memory, lock), &change);
        if (r >= 0) {
            header = reserve(map, length, change.holder);
            change_end(&change);
            r = header ? 0 : -EAGAIN;
        }
    }
    if (r < 0) {
        count_lost(map);
        return r;
    }
    *ret = header + 1;
    return 0;
}

void *ring_reserve(const struct map *map, uint64_t size, uint64_t flags, uint64_t unused_4, uint64_t unused_5,
                   struct thread *thread)
{
    void *record;

    if (flags || add(map, size, thread, &record) < 0)
        return NULL;
    return record;
}

/*
 * The record is its thread's alone, and nobody else writes its header; so no read-modify-write is needed.  Whatever
 * `record` is, what is written is inside the ring.
 */
static void finish(const struct map *map, const void *record, uint32_t discarded)
{
    struct ring_header *header = header_at(map, (uint64_t)((const uint8_t *)record - records(map)) - HEADER);

    /* Release: who sees that it is not busy sees its data. */
    WRITE_AFTER(header->length, LENGTH(READ_ONCE(header->length)) | discarded);
}

long ring_submit(void *record, uint64_t flags, const struct map *map)
{
    finish(map, record, 0);
    return 0;
}

long ring_discard(void *record, uint64_t flags, const struct map *map)
{
    finish(map, record, RING_DISCARDED);
    return 0;
}

long ring_output(const struct map *map, const void *data, uint64_t size, uint64_t flags, uint64_t unused_5,
                 struct thread *thread)
{
    void *record;
    long r;

    if (flags & ~(uint64_t)(BPF_RB_NO_WAKEUP | BPF_RB_FORCE_WAKEUP))
        return -EINVAL;
    r = add(map, size, thread, &record);
    if (r < 0)
        return r;
    value_take(record, data, size);
    return ring_submit(record, 0, map);
}

uint64_t ring_query(const struct map *map, uint64_t flags)
{
    uint64_t consumer = READ_ONCE(memory(map)->consumer), producer = READ_ONCE(memory(map)->producer);

    switch (flags) {
    case BPF_RB_AVAIL_DATA:
        return producer - consumer;
    case BPF_RB_RING_SIZE:
        return map->max_entries;
    case BPF_RB_CONS_POS:
        return consumer;
    case BPF_RB_PROD_POS:
        return producer;
    default:
        return 0;
    }
}

/* ---- the consumer ---- */

/* What lies between the two positions, as far as it can be true. */
struct span {
    uint64_t consumer, producer;
};

/* -EAGAIN: nothing; -EBADMSG: the positions are nonsense. */
static int read_span(const struct map *map, struct span *ret)
{
    uint64_t consumer = READ_ONCE(memory(map)->consumer);
    /* Acquire: with append. */
    uint64_t producer = READ_BEFORE(memory(map)->producer);

    if ((consumer | producer) & 7 || producer - consumer > map->max_entries)
        return -EBADMSG;
    if (producer == consumer)
        return -EAGAIN;
    *ret = (struct span){ consumer, producer };
    return 0;
}

/* The header's word at the consumer's position; -EBADMSG: it cannot be one.  A busy one's length counts too. */
static int read_record(const struct map *map, const struct span *span, uint32_t *ret_word)
{
    /* Acquire: with finish. */
    uint32_t word = READ_BEFORE(header_at(map, span->consumer)->length);
    uint64_t room = room_of(LENGTH(word));

    if (room > until_end(map, span->consumer) || room > span->producer - span->consumer)
        return -EBADMSG;
    *ret_word = word;
    return 0;
}

/* Release: the room is given back when what lies there has been read (reserve). */
static void move_consumer(const struct map *map, uint64_t position)
{
    WRITE_AFTER(memory(map)->consumer, position);
}

/*
 * Give up what is there: the ring is as new, but for its positions.  A producer that is between its load and its store
 * of the position may bring back one that is nonsense; that is found at the next look.
 */
static void give_up(const struct map *map)
{
    uint64_t producer = READ_ONCE(memory(map)->producer) & ~(uint64_t)7;

    WRITE_ONCE(memory(map)->producer, producer);
    move_consumer(map, producer);
    count_lost(map);
}

/* The next that is not discarded, at span->consumer. */
static int find_record(const struct map *map, struct span *span, uint32_t *ret_word)
{
    for (int skipped = 0; skipped <= RING_SKIP_MAX; skipped++) {
        uint32_t word;
        int r = read_record(map, span, &word);

        if (r < 0)
            return r;
        if (word & RING_BUSY || !(word & RING_DISCARDED)) {
            *ret_word = word;
            return word & RING_BUSY ? -EBUSY : 0;
        }
        span->consumer += room_of(LENGTH(word));
        move_consumer(map, span->consumer);
        if (span->consumer == span->producer)
            return -EAGAIN;
    }
    return -EINTR;
}

/* Where the next record is, and how long. */
static int find_next(const struct map *map, uint64_t *ret_position, uint32_t *ret_length)
{
    struct span span;
    uint32_t word;
    int r = read_span(map, &span);

    if (r >= 0)
        r = find_record(map, &span, &word);
    if (r == -EBADMSG)
        give_up(map);
    if (r < 0)
        return r;
    *ret_position = span.consumer;
    *ret_length = LENGTH(word);
    return 0;
}

int ring_take(const struct map *map, void *buffer, uint32_t size, uint32_t *ret_length)
{
    uint64_t position;
    uint32_t length;
    int r = find_next(map, &position, &length);

    if (r < 0)
        return r;
    *ret_length = length;
    if (length > size)
        return -EMSGSIZE;
    memcpy(buffer, header_at(map, position) + 1, length);
    move_consumer(map, position + room_of(length));
    return 0;
}

int ring_drop(const struct map *map)
{
    uint64_t position;
    uint32_t length;
    int r = find_next(map, &position, &length);

    if (r < 0)
        return r;
    move_consumer(map, position + room_of(length));
    count_lost(map);
    return 0;
}

int ring_holder(const struct map *map, uint64_t *ret_position, uint32_t *ret_seat)
{
    struct span span;
    uint32_t word;

    if (read_span(map, &span) < 0 || read_record(map, &span, &word) < 0 || !(word & RING_BUSY))
        return -EAGAIN;
    *ret_position = span.consumer;
    *ret_seat = READ_ONCE(header_at(map, span.consumer)->seat) - 1;
    return 0;
}

void ring_discard_next(const struct map *map, uint64_t position, uint32_t seat)
{
    struct ring_header *header = header_at(map, position);
    uint64_t next;
    uint32_t holder;

    if (ring_holder(map, &next, &holder) >= 0 && next == position && holder == seat)
        WRITE_ONCE(header->length, LENGTH(READ_ONCE(header->length)) | RING_DISCARDED);
}

uint64_t ring_lost(const struct map *map)
{
    return READ_ONCE(memory(map)->lost);
}

/*
 * From where the walk is to the producer's position as it was at the beginning; from the consumer's, where that has got
 * past the walk.  Each step is at least 8 bytes, so this ends.  -EAGAIN: it is at its end.
 */
static int go_on(const struct map *map, struct ring_walk *walk, struct span *ret)
{
    struct span span;

    if (read_span(map, &span) < 0)
        return -EAGAIN;
    if (!walk->begun)
        *walk = (struct ring_walk){ true, span.consumer, span.producer };
    if (walk->position - span.consumer > span.producer - span.consumer)
        walk->position = span.consumer;
    *ret = (struct span){ walk->position, walk->end };
    return (int64_t)(walk->end - walk->position) > 0 && walk->end - walk->position <= map->max_entries ? 0 : -EAGAIN;
}

bool ring_abandon(const struct map *map, uint32_t seat, struct ring_walk *walk, uint32_t records)
{
    struct span span;
    uint32_t word;

    if (go_on(map, walk, &span) < 0)
        return true;
    for (; span.consumer != span.producer && read_record(map, &span, &word) >= 0; records--) {
        struct ring_header *header = header_at(map, span.consumer);

        if (records == 0) {
            walk->position = span.consumer;
            return false;
        }
        if (word & RING_BUSY && READ_ONCE(header->seat) == 1 + seat)
            WRITE_ONCE(header->length, LENGTH(word) | RING_DISCARDED);
        span.consumer += room_of(LENGTH(word));
    }
    return true;
}

/* The position's store is all of a reservation; what it made is left to ring_abandon, as are earlier ones. */
void ring_recover(const struct map *map, struct seat *seat)
{
    struct map_change change;

    if (change_resume(map, seat, offsetof(struct ring_memory, lock), &change))
        change_end(&change);
}
