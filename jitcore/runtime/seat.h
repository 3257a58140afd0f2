/* SPDX-License-Identifier: MIT */
/*
 * Seats: who changes maps, and what is half done when one is killed.
 *
 * A thread that changes a map, or uses one of a kind with a copy for each reader line, has a seat in the arena: a
 * number, a journal, and its copies of values.  It takes one at its first use and keeps it as long as its reader line
 * exists, so the next thread of that line has it again; the daemon frees the seats of processes that have ended.
 *
 * A change of a map:
 *
 *      1 change_begin   writes into the journal which map and which lock; then takes the lock (bounded, else -EBUSY)
 *      2 prepare        takes free elements (element_take: the journal names them first), fills them
 *      3 commit         ONE store of at most 8 bytes that makes the change visible
 *      4 release        gives replaced elements back (element_free: the journal names them since before the commit)
 *      5 change_end     drops the lock, then empties the journal
 *
 * Killed at any instruction: the daemon, which learns of the line's death, looks at the journal (map_recover).  If the
 * dead seat still holds the lock, each element that the journal names and that is the seat's (element.h) is either
 * reached from the map's structure or not, and that alone decides: reached is in use, not reached is free.  Then the
 * lock is dropped.  So what was committed stays, what was not never was, in bounded time.
 * Stopped: others get -EBUSY for what its lock covers, after a bounded number of attempts; lookups take no lock.
 *
 * A signal handler whose program changes a map while its thread is inside a change gets -EBUSY: it has one journal.
 *
 * Barriers: x86-64 makes stores visible in program order, and a kill happens between two instructions; so all that the
 * order above needs is that the compiler keeps it.
 */
#ifndef JITCORE_RUNTIME_SEAT_H
#define JITCORE_RUNTIME_SEAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "map.h"

#define SEATS_MAX 128
#define SEAT_ELEMENTS 4         /* elements that one change names */
#define SEAT_BUFFER 4096        /* bytes: the longest value that an array's update writes whole or not at all */

/*
 * What a thread brings: words in its own counters (counters.h), which the client library fills when it takes a line.
 * Private to the process: harms nobody else.  The image's code reaches it through the counters stub, and gets it as
 * its last argument.
 */
struct thread {
    uint64_t line;              /* names the reader line among all that ever were: SEAT_LINE(); 0: it has none */
    uint32_t seat;              /* 1 + its index, as last found; 0: none yet.  A hint: checked with the seat's owner */
    uint32_t process, id;       /* as the kernel numbers process and thread, in the worker's view */
    uint32_t padding;
    uint64_t random;            /* state of the generator; 0: not seeded yet */
    uint32_t element_map, element;      /* where to look for a free element first: number of the map, and the element */
    uint64_t taken;             /* which thread of its line this is: layout.h; 0: not told */
};

_Static_assert(sizeof(struct thread) == 48, "shared layout");

#define THREAD_AT 4160          /* byte offset in a thread's counters */

/* The inode of the process's lines memfd, unique on a host, and the line's index in it. */
#define SEAT_LINE(inode, index) ((uint64_t)(inode) << 14 | (index))

struct journal {
    uint32_t map;               /* number of the map that is changed; 0: none is.  Written first, emptied last */
    uint32_t lock;              /* byte offset of the lock in the map's memory; taken if it has the seat's number */
    uint32_t operation;         /* the kind's own */
    uint32_t size;              /* bytes of the buffer that count */
    uint32_t element[SEAT_ELEMENTS];    /* 1 + index; 0: none */
    uint64_t place;             /* the kind's own: for an array, where the buffer belongs */
};

struct seat {
    uint64_t owner;             /* SEAT_LINE of its thread; 0: free */
    uint64_t sequence;          /* changes begun: one that was left in the middle is told from a new one by it */
    struct journal journal;
    uint64_t taken;             /* of the thread that began the last change: which of its line's; 0: not told */
    uint64_t spare[8];
    uint8_t buffer[SEAT_BUFFER];
};

_Static_assert(sizeof(struct seat) == 4224, "shared layout");

/* The beginning of the arena.  Hostile memory like the rest: the daemon recognises an arena by its own book. */
#define ARENA_MAGIC 0x64646131u /* "dda1" */
#define ARENA_VERSION 1u
struct arena_head {
    uint32_t magic, version;
    uint8_t padding[56];
    struct seat seat[SEATS_MAX];
};
#define ARENA_HEAD_SIZE 0x00085000u     /* bytes, whole pages: what the daemon gives out begins here */
_Static_assert(sizeof(struct arena_head) <= ARENA_HEAD_SIZE, "shared layout");

/* The thread's seat; -ENOSPC: all are taken, or the thread has no line.  *ret is its index, below SEATS_MAX. */
int seat_find(const struct map *map, struct thread *thread, uint32_t *ret);

/* A change, as the thread that makes it knows it: nothing here is read from the arena. */
struct map_change {
    const struct map *map;
    struct thread *thread;      /* NULL: the daemon's recovery of a dead seat's change */
    struct seat *seat;
    uint32_t holder;            /* what the lock word holds: 1 + the seat's index */
    uint32_t lock;              /* byte offset of the lock word in the map's memory */
};

/*
 * Begin a change under the lock word (32 bits, 0: free) at byte offset `lock` of the map's memory.  -EBUSY: the lock is
 * held by a thread that does not go on, or this thread is inside a change; -ENOSPC: no seat.  Then nothing was changed.
 * A held lock is waited for: some microseconds, then four times a sched_yield and some microseconds more.
 * change_begin_briefly does not yield: for who can as well change something else.
 */
int change_begin(const struct map *map, struct thread *thread, uint32_t lock, struct map_change *ret);
int change_begin_briefly(const struct map *map, struct thread *thread, uint32_t lock, struct map_change *ret);
void change_end(const struct map_change *change);

/*
 * For recovery of a dead seat's change, whose journal names this map.  `lock` is what the journal says, after the kind
 * has checked that it is the place of a lock.  False: the seat does not hold it, so there is nothing to settle.
 */
bool change_resume(const struct map *map, struct seat *seat, uint32_t lock, struct map_change *ret);

/* When all that it says is settled. */
void journal_empty(struct journal *journal);

#endif
