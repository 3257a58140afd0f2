/* SPDX-License-Identifier: MIT */
#include "seats.h"

#include <errno.h>
#include <event2/event.h>
#include <linux/bpf.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <dispatchd/layout.h>

#include "daemon.h"
#include "lines.h"
#include "log.h"
#include "memory.h"
#include "pace.h"
#include "runtime/hash.h"
#include "runtime/ring.h"
#include "runtime/seat.h"
#include "shared_map.h"
#include "workers.h"

/*
 * Of those who died inside a process that goes on; the ends of processes are told by seats_end().  AGAIN_MS: where
 * there was something to settle, for there may be more of it; a worker that makes the daemon find something every time
 * costs it a part of its time, and not all: it rests REST times as long as that took.
 */
#define LOOK_MS 100
#define AGAIN_MS 1
#define REST 3

/* Of rings, a turn: records are looked at for so long, so many between two looks at the clock. */
#define TURN_US 2000
#define TURN_RECORDS 16384

/* Of how many seats a turn asks whether anybody knows their owner: that is a walk over all workers. */
#define STRANGERS 8

#define DAEMON_LINE DD_LINE_NAME(0, 1)

_Static_assert(sizeof(struct dd_line_thread) == sizeof(struct thread) && DD_LINE_THREAD == THREAD_AT &&
               offsetof(struct dd_line_thread, line) == offsetof(struct thread, line) &&
               offsetof(struct dd_line_thread, seat) == offsetof(struct thread, seat) &&
               offsetof(struct dd_line_thread, process) == offsetof(struct thread, process) &&
               offsetof(struct dd_line_thread, id) == offsetof(struct thread, id) &&
               offsetof(struct dd_line_thread, taken) == offsetof(struct thread, taken),
               "one layout, for client and runtime");
_Static_assert(DD_LINE_NAME(5, 3) == SEAT_LINE(5, 3), "likewise");

/* A seat whose owner has ended: rings are searched for what that has reserved, in the order of the maps' numbers. */
struct settling {
    uint64_t owner;                     /* 0: there is no such seat now */
    uint32_t index;
    uint32_t searched;                  /* number of the last ring that is done; 0: none is */
    struct ring_walk walk;              /* in the next one */
};

struct seats {
    struct daemon *daemon;
    struct event *look;
    struct thread thread;
    uint64_t ended[SEATS_MAX];          /* the owner that this seat had when its process ended; 0: none did */
    struct settling settling;
    bool told;                          /* that all are taken, and none was free since */
    uint32_t next;                      /* the seat that is looked at first, so that each has its turn */
    uint32_t asked;                     /* likewise, the first of which is asked whether its owner is known */
};

static struct seat *seat_at(const struct seats *seats, uint32_t index)
{
    struct arena_head *head = arena_write(seats->daemon->arena, 0);

    return &head->seat[index];
}

static uint64_t owner_of(const struct seat *seat)
{
    return __atomic_load_n(&seat->owner, __ATOMIC_ACQUIRE);
}

static const struct lines *lines_of(const struct seats *seats, uint64_t owner)
{
    return workers_lines(seats->daemon->workers, owner >> 14);
}

/* ---- settling ------------------------------------------------------------------------------------------ */

static const struct shared_map *find_map(const struct seats *seats, uint32_t number)
{
    return number == MAP_NUMBER_TRACE ? seats->daemon->trace : registry_map_numbered(&seats->daemon->registry, number);
}

/* A map that is gone has no lock that anybody waits for. */
static void settle_journal(const struct seats *seats, struct seat *seat)
{
    const struct shared_map *map = find_map(seats, READ_ONCE(seat->journal.map));

    if (map && map->view)
        map_recover(map->view, seat);
    else
        journal_empty(&seat->journal);
}

static const struct shared_map *next_ring(const struct seats *seats, uint32_t searched)
{
    const struct registry *registry = &seats->daemon->registry;
    const struct shared_map *next = NULL;

    if (searched < MAP_NUMBER_TRACE)
        return seats->daemon->trace;
    for (size_t i = 0; i < registry->maps; i++) {
        const struct shared_map *map = registry->map[i];

        if (map->definition.kind == BPF_MAP_TYPE_RINGBUF && map->view && map->number > searched &&
            (!next || map->number < next->number))
            next = map;
    }
    return next;
}

/* For a turn; false: there is more. */
static bool abandon_records(struct seats *seats)
{
    struct settling *settling = &seats->settling;
    int64_t begin_us = pace_now_us();
    const struct shared_map *ring;

    while ((ring = next_ring(seats, settling->searched)) && pace_now_us() - begin_us < TURN_US)
        if (ring_abandon(ring->view, settling->index, &settling->walk, TURN_RECORDS)) {
            settling->searched = ring->number;
            settling->walk = (struct ring_walk){ 0 };
        }
    return !ring;
}

/* The owner's word last: whoever takes the seat finds it settled. */
static void go_on_settling(struct seats *seats)
{
    uint32_t index = seats->settling.index;

    if (!abandon_records(seats))
        return;
    seats->settling = (struct settling){ 0 };
    seats->ended[index] = 0;
    __atomic_store_n(&seat_at(seats, index)->owner, 0, __ATOMIC_RELEASE);
}

/*
 * Its owner will never use it again.  Journals before records: others wait for what is locked.  Was there something to
 * do now?  Of records, one seat's at a time.
 */
static bool settle_seat(struct seats *seats, uint32_t index)
{
    struct seat *seat = seat_at(seats, index);

    if (READ_ONCE(seat->journal.map) != 0)
        settle_journal(seats, seat);
    else if (seats->settling.owner == 0)
        seats->settling = (struct settling){ .owner = owner_of(seat), .index = index };
    else
        return false;
    return true;
}

/* ---- looking ------------------------------------------------------------------------------------------- */

/* Is the thread that was number `taken` of this line dead, and another has the line?  Not known if it is not told. */
static bool is_taken_over(const struct lines *lines, uint32_t line, uint64_t taken)
{
    uint64_t now = taken != 0 ? lines_taken(lines, line) : 0;

    return now != 0 && now != taken;
}

/*
 * Has the thread left the image in the middle of the change that the journal tells of, or died there?  It writes, in
 * this order
 *
 *      its line's word; sequence, taken, journal.map (the change begins); ...; journal.map, 0 (it ends); the word
 *
 * and who takes the line after its death writes the line's `taken`, and only then its word and what it begins.  x86-64
 * shows stores in their order and makes loads in theirs.  At 4 the line was outside, or another thread's, after the
 * change of 2 had begun.  If that had ended, its end was to be seen by then: so what 5 shows would be a later change,
 * which 6 would tell.  With 6 before 5 the later change could begin in between.  3 is of the change of 2, or of a later
 * one, which 6 tells too.
 */
static bool is_abandoned(const struct seat *seat, const struct lines *lines, uint32_t line)
{
    uint64_t sequence = __atomic_load_n(&seat->sequence, __ATOMIC_ACQUIRE);             /* 1 */
    uint32_t map = __atomic_load_n(&seat->journal.map, __ATOMIC_ACQUIRE);               /* 2 */
    uint64_t taken = __atomic_load_n(&seat->taken, __ATOMIC_ACQUIRE);                   /* 3 */

    return map != 0 && (lines_outside(lines, line) || is_taken_over(lines, line, taken)) &&     /* 4 */
           __atomic_load_n(&seat->journal.map, __ATOMIC_ACQUIRE) == map &&              /* 5 */
           __atomic_load_n(&seat->sequence, __ATOMIC_ACQUIRE) == sequence;              /* 6 */
}

/*
 * No process that is known, or that one has announced (Fork: so what is in the sockets is read), has this line.  A
 * process of an earlier generation may have lines that this daemon has not seen (a worker that has not joined, a child
 * that it forked while there was no daemon): so not before the last of them has moved or ended.  Whoever runs in this
 * generation has joined, or was announced.
 */
static bool is_stranger(const struct seats *seats, uint64_t owner)
{
    if (lines_of(seats, owner) || !workers_have_moved(seats->daemon->workers))
        return false;
    workers_drain(seats->daemon->workers);
    return !lines_of(seats, owner) && workers_have_moved(seats->daemon->workers);
}

/* Settle what is to be settled at this seat: was there something? */
static bool look_at(struct seats *seats, uint32_t index)
{
    struct seat *seat = seat_at(seats, index);
    uint64_t owner = owner_of(seat);
    const struct lines *lines;

    if (owner == 0)
        return false;
    if (owner == seats->ended[index])
        return settle_seat(seats, index);
    if (READ_ONCE(seat->journal.map) == 0)
        return false;
    lines = owner == DAEMON_LINE ? NULL : lines_of(seats, owner);
    if (owner != DAEMON_LINE && (!lines || !is_abandoned(seat, lines, DD_LINE_NAME_INDEX(owner))))
        return false;
    settle_journal(seats, seat);        /* the daemon itself is in no change when it comes here */
    return true;
}

/*
 * Likewise for seats whose owner nobody knows.  A turn goes on behind those that the one before asked of, living ones
 * among them, else the same would be asked of for ever.  Asked again at each step, and not noted in `ended`: a process
 * that has left may come back with the same lines.
 */
static bool look_for_strangers(struct seats *seats)
{
    unsigned asked = 0;

    for (uint32_t i = 0; i < SEATS_MAX && asked < STRANGERS; i++) {
        uint32_t index = seats->asked;
        uint64_t owner = owner_of(seat_at(seats, index));

        seats->asked = (index + 1) % SEATS_MAX;
        if (owner == 0 || owner == DAEMON_LINE || owner == seats->ended[index])
            continue;
        asked++;
        if (is_stranger(seats, owner) && settle_seat(seats, index))
            return true;
    }
    return false;
}

/* One turn's part of what settle_seat() has begun, if that still holds: was there something? */
static bool look_at_settling(struct seats *seats)
{
    uint32_t index = seats->settling.index;
    uint64_t owner = seats->settling.owner;

    if (owner == 0)
        return false;
    if (owner_of(seat_at(seats, index)) == owner && (owner == seats->ended[index] || !lines_of(seats, owner)))
        go_on_settling(seats);
    else
        seats->settling = (struct settling){ 0 };
    return true;
}

/* In milliseconds from now.  -ENOMEM: only the first time. */
static int look_in(struct seats *seats, int64_t milliseconds)
{
    const struct timeval interval = { milliseconds / 1000, milliseconds % 1000 * 1000 };

    return event_add(seats->look, &interval) < 0 ? -ENOMEM : 0;
}

uint32_t seats_used(const struct seats *seats)
{
    uint32_t used = 0;

    for (uint32_t i = 0; i < SEATS_MAX; i++)
        used += owner_of(seat_at(seats, i)) != 0;
    return used;
}

/* Once, until one is free again. */
static void tell_if_all_taken(struct seats *seats)
{
    bool all = seats_used(seats) == SEATS_MAX;

    if (all && !seats->told)
        log_line(LOG_WARNING, "all %d seats for threads that change maps are taken: the changes of others fail", SEATS_MAX);
    seats->told = all;
}

static void on_look(evutil_socket_t descriptor, short events, void *userdata)
{
    struct seats *seats = userdata;
    int64_t begin_us = pace_now_us();
    bool settled = false;

    (void)descriptor, (void)events;
    for (uint32_t i = 0; i < SEATS_MAX && !settled; i++) {
        uint32_t index = seats->next;

        seats->next = (index + 1) % SEATS_MAX;
        settled = look_at(seats, index);
    }
    settled = settled || look_for_strangers(seats) || look_at_settling(seats);
    workers_settle_arena(seats->daemon->workers);
    tell_if_all_taken(seats);
    look_in(seats, settled ? AGAIN_MS + REST * (pace_now_us() - begin_us) / 1000 : LOOK_MS);
}

void seats_end(struct seats *seats, const struct lines *lines)
{
    for (uint32_t i = 0; seats && i < SEATS_MAX; i++) {
        uint64_t owner = owner_of(seat_at(seats, i));

        if (owner != 0 && owner == DD_LINE_NAME(lines_inode(lines), DD_LINE_NAME_INDEX(owner))) {
            seats->ended[i] = owner;
            look_in(seats, 0);
        }
    }
}

bool seats_outside(const struct seats *seats, uint32_t index)
{
    const struct lines *lines;
    uint64_t owner;

    if (index >= SEATS_MAX)
        return true;
    owner = owner_of(seat_at(seats, index));
    if (owner == 0 || owner == DAEMON_LINE || owner == seats->ended[index])
        return true;
    lines = lines_of(seats, owner);
    return lines ? lines_outside(lines, DD_LINE_NAME_INDEX(owner)) : workers_have_moved(seats->daemon->workers);
}

struct thread *seats_thread(struct seats *seats)
{
    return &seats->thread;
}

/* ---- life ---------------------------------------------------------------------------------------------- */

/* The daemon before has ended, and nobody runs in an arena that came out of a file. */
static void settle_inherited(struct seats *seats)
{
    for (uint32_t i = 0; i < SEATS_MAX; i++) {
        uint64_t owner = owner_of(seat_at(seats, i));

        if (owner != DAEMON_LINE && (owner == 0 || seats->daemon->arena_origin != ARENA_OF_SNAPSHOT))
            continue;
        settle_seat(seats, i);
        settle_seat(seats, i);
        while (seats->settling.owner != 0)
            go_on_settling(seats);
    }
}

/* The daemon's own, at once: later all may be taken, and then nobody could change a map from outside. */
static void take_own(struct seats *seats)
{
    uint32_t index;

    seat_find(seats->daemon->trace->view, &seats->thread, &index);
}

/* What is in a copy that its map says was never used is younger than that: elements that come rely on zeros there. */
static int discard_unused_copies(const struct seats *seats, const struct shared_map *map)
{
    uint64_t first = map->memory + HASH_COPIES_AT(map->view), stride = map->view->copy_stride;
    int r = 0;

    for (uint32_t seat = 0; r >= 0 && seat < SEATS_MAX; seat++)
        if (!map_copy_is_used(map->view, seat))
            r = memory_discard_arena(seats->daemon->memory, first + seat * stride, stride);
    return r;
}

static int renew(struct seats *seats, const struct shared_map *map)
{
    uint64_t size = map_renewed_size(map->view);
    void *copy = malloc(size);

    if (!copy)
        return -ENOMEM;
    memcpy(copy, map_memory(map->view), size);
    map_renew(map->view, copy, &seats->thread);
    free(copy);
    return map->view->copy_stride ? discard_unused_copies(seats, map) : 0;
}

/*
 * Workers ran on while the snapshot was written, so its parts are of different moments: locks that no journal names, elements
 * that are reached and count as free.  Until all is restored the snapshot stays, so a start that ends here loses nothing.
 */
static int settle_snapshot(struct seats *seats)
{
    const struct registry *registry = &seats->daemon->registry;
    int r = 0;

    for (size_t i = 0; i < registry->maps && r >= 0; i++) {
        const struct shared_map *map = registry->map[i];

        if (!map->view || shared_map_is_outer(map))
            continue;
        map_drop_locks(map->view);
        if (map_renewed_size(map->view) > 0)
            r = renew(seats, map);
    }
    map_drop_locks(seats->daemon->trace->view);
    return r;
}

int seats_new(struct daemon *daemon, struct seats **ret)
{
    struct seats *seats = calloc(1, sizeof(*seats));

    if (!seats)
        return -ENOMEM;
    seats->daemon = daemon;
    seats->thread = (struct thread){ .line = DAEMON_LINE, .process = (uint32_t)getpid(), .id = (uint32_t)gettid() };
    seats->look = event_new(daemon->base, -1, 0, on_look, seats);
    if (!seats->look || look_in(seats, LOOK_MS) < 0) {
        seats_free(seats);
        return -ENOMEM;
    }
    settle_inherited(seats);
    take_own(seats);
    if (daemon->arena_origin == ARENA_OF_SNAPSHOT && settle_snapshot(seats) < 0) {
        seats_free(seats);
        return -ENOMEM;
    }
    *ret = seats;
    return 0;
}

struct seats *seats_free(struct seats *seats)
{
    if (!seats)
        return NULL;
    if (seats->look)
        event_free(seats->look);
    free(seats);
    return NULL;
}
