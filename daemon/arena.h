/* SPDX-License-Identifier: MIT */
/*
 * The arena: memory that programs write, in all workers at once.  This module keeps the book of which bytes are whose;
 * the book is the daemon's own, for any worker may write anything into the arena at any time.  So nothing here decides
 * anything by what the arena holds.
 *
 * The first ARENA_HEAD_SIZE bytes are those of the seats (runtime/seat.h); reservations lie behind it.
 *
 * Memory is taken from the host when a range is reserved, and goes back when it is released.  Ranges never move: code
 * refers to them.  Against fragmentation sizes are rounded up in steps of an eighth of their power of two, so that what
 * was released fits again; small ranges lie at the bottom and large ones at the top, each in the smallest gap that has
 * room.
 *
 * An arena that outlived a daemon (inheritance.h) may be written by workers that still run the programs of that daemon,
 * in ranges that this one knows nothing of.  Such ranges are held, given to nobody, until no such worker is left:
 *
 *      arena_new
 *      arena_reserve_at    for all that the database says is in it
 *      arena_hold          the rest of what is in use is held; from now on what is released is held too
 *      arena_reserve, arena_release, ...
 *      arena_settle        no worker of an earlier generation is left: what is held is free
 */
#ifndef DAEMON_ARENA_H
#define DAEMON_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct arena;
struct memory;
struct refusal;

#define ARENA_NONE UINT64_MAX           /* no offset */
#define ARENA_GRANULE 64                /* bytes; a cache line, so that two programs never share one */
#define ARENA_QUOTA_DEFAULT ((size_t)256 << 20)     /* bytes that one user may reserve */

/* All of memory->arena behind the head.  memory is borrowed.  -ENOMEM. */
int arena_new(struct memory *memory, size_t quota, struct arena **ret);
struct arena *arena_free(struct arena *arena);                  /* NULL is fine; returns NULL */

struct arena_request {
    size_t size;                        /* bytes, more than 0 */
    uid_t uid;                          /* who pays */
    bool sparse;                        /* memory is taken as it is used: for kinds with a copy for each seat */
};

/*
 * Reserve: allocated (unless sparse), so that no worker meets SIGBUS, and zero.  *ret_offset is a multiple of
 * ARENA_GRANULE.  -ENOSPC: no such gap, or the host has no memory; -EDQUOT: the user's quota; -ENOMEM; others of
 * fallocate(2).  On error nothing changed.
 */
int arena_reserve(struct arena *arena, const struct arena_request *request, uint64_t *ret_offset);

/*
 * At start: reserve at the offset where it was reserved before.  What is there stays (a new arena is zero).  No quota
 * is looked at.  -EINVAL: no range of this arena; -EEXIST: overlaps another; -ENOMEM; of fallocate(2).
 */
int arena_reserve_at(struct arena *arena, const struct arena_request *request, uint64_t offset);

/* Name a failure of arena_reserve: ArenaFull, QuotaExceeded or LimitExceeded, with the numbers.  Returns result. */
int arena_refuse(const struct arena *arena, int result, const struct arena_request *request, struct refusal *refusal);

/* The daemon's address of reserved bytes, for their initial contents, and for the runtime's functions. */
void *arena_write(struct arena *arena, uint64_t offset);

/* Give a range back.  Only when no program of this generation that refers to it can run.  Allocates nothing. */
void arena_release(struct arena *arena, uint64_t offset);

/* The daemon stops and workers run on: from now on releasing leaves the memory as it is. */
void arena_freeze(struct arena *arena);

/* Hold what is in use and not reserved, to 256 KiB; nothing where the arena is new.  -ENOMEM. */
int arena_hold(struct arena *arena);
/* No worker of an earlier generation is left.  Cheap where nothing is held.  Allocates nothing. */
void arena_settle(struct arena *arena);

/* Each reserved range, in order of offset, the seats' first. */
void arena_each(const struct arena *arena, void (*range)(void *userdata, uint64_t offset, size_t size), void *userdata);

/* Bytes.  What is neither used, nor held, nor the seats' is free, in so many gaps. */
struct arena_usage {
    size_t size, used, held, largest;
    size_t ranges, gaps;
};
void arena_usage(const struct arena *arena, struct arena_usage *ret);

/* Bytes that a user has reserved. */
size_t arena_used_by(const struct arena *arena, uid_t uid);

#endif
