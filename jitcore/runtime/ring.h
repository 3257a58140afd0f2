/* SPDX-License-Identifier: MIT */
/*
 * Ring buffers: programs put records in, of any length up to RING_RECORD_MAX, and the daemon takes them out, in the
 * order in which room was reserved for them.
 *
 *      [ ... free | record | record (busy) | record | free ... ]
 *                 ^ consumer                        ^ producer
 *
 * Positions count bytes since the map was made; modulo the size they are places.  A record is a header of 8 bytes and
 * its data, at multiples of 8, and does not wrap: what is left at the end becomes a discarded record.  A reservation
 * writes its header, then commits by one store of the producer's position.  The record is busy until its thread submits
 * or discards it, and nobody gets past it before; those of a dead thread are discarded by recovery.
 *
 * The consumer's position lies in the arena too, so that it outlives the daemon.
 */
#ifndef JITCORE_RUNTIME_RING_H
#define JITCORE_RUNTIME_RING_H

#include "map.h"
#include "seat.h"

/* The memory of a ring buffer; its data, max_entries bytes (a power of two), lies at map->elements_at. */
struct ring_memory {
    uint32_t lock;              /* of producers */
    uint32_t padding;
    uint64_t producer;          /* written by producers, under the lock */
    uint64_t lost;              /* records that found no room, or whose reservation failed otherwise; and those that the
                                   consumer had to give up */
    uint64_t spare[5];
    uint64_t consumer;          /* written by the consumer only.  In a line of its own */
    uint64_t spare_consumer[7];
};

_Static_assert(sizeof(struct ring_memory) == 128, "shared layout");

#define RING_BUSY 0x80000000u
#define RING_DISCARDED 0x40000000u
#define RING_LENGTH_MAX (RING_DISCARDED - 1)
#define RING_RECORD_MAX (1u << 20)      /* bytes of data: what the daemon takes out in one piece */

struct ring_header {
    uint32_t length;            /* bytes of data, and RING_BUSY or RING_DISCARDED */
    uint32_t seat;              /* 1 + the producer's */
};

/*
 * For programs, as the kernel's helpers.
 *
 *      reserve             size bytes that are inside the ring whatever its memory says, or NULL: no room, too long,
 *                          flags (must be 0), no lock or seat to be had (-EBUSY, -ENOSPC of change_begin)
 *      submit, discard     take what reserve returned for this map, once
 *      output              reserve, copy and submit: 0; -EAGAIN: no room; -EINVAL: flags; -EBUSY, -ENOSPC
 *
 * Flags: BPF_RB_NO_WAKEUP, BPF_RB_FORCE_WAKEUP, which change nothing, as the consumer looks by itself.
 */
void *ring_reserve(const struct map *map, uint64_t size, uint64_t flags, uint64_t, uint64_t, struct thread *thread);
long ring_submit(void *record, uint64_t flags, const struct map *map);
long ring_discard(void *record, uint64_t flags, const struct map *map);
long ring_output(const struct map *map, const void *data, uint64_t size, uint64_t flags, uint64_t,
                 struct thread *thread);
/* BPF_RB_AVAIL_DATA, _RING_SIZE, _CONS_POS, _PROD_POS; other flags: 0. */
uint64_t ring_query(const struct map *map, uint64_t flags);

/* ---- for the consumer, which is the daemon.  All that it reads is hostile ---- */

/*
 * Take the next record out: its data into buffer, its length into *ret_length.  0; -EAGAIN: there is none; -EBUSY: the
 * next is not submitted yet; -EMSGSIZE: it is longer than size bytes, *ret_length says how long, and it stays;
 * -EBADMSG: what lies there is no record, so all that was there is given up, and counted as one lost.  It passes over
 * at most RING_SKIP_MAX discarded ones, then -EINTR: call again.
 */
#define RING_SKIP_MAX 1024
int ring_take(const struct map *map, void *buffer, uint32_t size, uint32_t *ret_length);

/* Give up the next record, as one lost, without reading it.  0, or as ring_take. */
int ring_drop(const struct map *map);

/*
 * When ring_take says -EBUSY: where that record begins and the index of the seat that has reserved it (hostile: perhaps
 * of none).  -EAGAIN: the next record is not busy.  For a thread that will never submit it: ring_discard_next.
 */
int ring_holder(const struct map *map, uint64_t *ret_position, uint32_t *ret_seat);

/* How many records were lost since the map was made. */
uint64_t ring_lost(const struct map *map);

/* Discard the record at that position, if it is the next one, and that seat's, and not submitted yet. */
void ring_discard_next(const struct map *map, uint64_t position, uint32_t seat);

/*
 * Discard what the dead thread of that seat (its index) has reserved and not submitted, of at most so many records that
 * are looked at.  False: there are more; call it again with the same walk, which is zeroed before the first.
 */
struct ring_walk {
    bool begun;
    uint64_t position, end;
};
bool ring_abandon(const struct map *map, uint32_t seat, struct ring_walk *walk, uint32_t records);

/* Of map_kind.recover.  Beside it ring_abandon is called, whether the seat's journal is empty or not. */
void ring_recover(const struct map *map, struct seat *seat);

#endif
