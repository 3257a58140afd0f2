/* SPDX-License-Identifier: MIT */
#include "seat.h"

#include <errno.h>
#include <sys/syscall.h>

/*
 * LOCK_ATTEMPTS: some microseconds.  Locks are held for some 50 ns by threads that run.  One that was preempted goes on
 * when others have let it: so the processor is yielded, LOCK_YIELDS times.  For one that was stopped all of it is in vain.
 */
#define LOCK_ATTEMPTS 256
#define LOCK_YIELDS 4

/* All of a journal but `place`, which means nothing without `size`. */
#define JOURNAL_WORDS (offsetof(struct journal, place) / sizeof(uint64_t))

_Static_assert(JOURNAL_WORDS == 4 && offsetof(struct seat, journal) % 8 == 0,
               "map and lock are emptied last, by one store");

static struct seat *seats(const struct map *map)
{
    return ((struct arena_head *)(void *)((uint8_t *)(uintptr_t)map + map->arena))->seat;
}

static int find_owned(struct seat *seat, uint64_t line)
{
    for (int i = 0; i < SEATS_MAX; i++)
        if (READ_ONCE(seat[i].owner) == line)
            return i;
    return -ENOSPC;
}

static int take_free(struct seat *seat, uint64_t line)
{
    for (int i = 0; i < SEATS_MAX; i++) {
        uint64_t owner = 0;

        if (READ_ONCE(seat[i].owner) == 0 &&
            __atomic_compare_exchange_n(&seat[i].owner, &owner, line, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
            return i;
    }
    return -ENOSPC;
}

static int find_last(const struct seat *seat, const struct thread *thread)
{
    uint32_t last = READ_ONCE(thread->seat) - 1;

    return last < SEATS_MAX && READ_ONCE(seat[last].owner) == thread->line ? (int)last : -ENOSPC;
}

/* A signal handler that came since find_owned() may have taken one for the line, and used it: then it is that one. */
static int take_first(struct seat *seat, const struct thread *thread)
{
    int taken = take_free(seat, thread->line), earlier = find_last(seat, thread);

    if (earlier < 0 || earlier == taken)
        return taken;
    if (taken >= 0)
        WRITE_AFTER(seat[taken].owner, 0);
    return earlier;
}

int seat_find(const struct map *map, struct thread *thread, uint32_t *ret)
{
    struct seat *seat = seats(map);
    int r;

    if (thread->line == 0)
        return -ENOSPC;
    r = find_last(seat, thread);
    if (r >= 0) {
        *ret = (uint32_t)r;
        return 0;
    }
    r = find_owned(seat, thread->line);
    if (r < 0)
        r = take_first(seat, thread);
    if (r < 0)
        return r;
    WRITE_ONCE(thread->seat, 1 + (uint32_t)r);
    *ret = (uint32_t)r;
    return 0;
}

static uint32_t *lock_of(const struct map_change *change)
{
    return (uint32_t *)(void *)((uint8_t *)map_memory(change->map) + change->lock);
}

static int spin(uint32_t *lock, uint32_t holder)
{
    for (unsigned i = 0; i < LOCK_ATTEMPTS; i++) {
        uint32_t nobody = 0;

        if (__atomic_compare_exchange_n(lock, &nobody, holder, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
            return 0;
        while (i < LOCK_ATTEMPTS && READ_ONCE(*lock) != 0) {
            __asm__ volatile ("pause");
            i++;
        }
    }
    return -EBUSY;
}

/* The system call itself, as there is no C library in the image.  What it answers does not matter. */
static void yield_processor(void)
{
    __asm__ volatile ("mov %0, %%eax\n\tsyscall" : : "i"(SYS_sched_yield) : "rax", "rcx", "r11", "memory");
}

static int take_lock(uint32_t *lock, uint32_t holder, unsigned yields)
{
    int r = spin(lock, holder);

    for (; r < 0 && yields > 0; yields--) {
        yield_processor();
        r = spin(lock, holder);
    }
    return r;
}

/*
 * Of the journal, `map` is written first and emptied last: between, all its words are this change's.  A signal handler
 * that comes before the first store leaves an empty journal again; one that comes after it finds that it is not empty.
 */
static void open_journal(const struct map_change *change)
{
    struct seat *seat = change->seat;

    WRITE_ONCE(seat->sequence, READ_ONCE(seat->sequence) + 1);
    WRITE_AFTER(seat->taken, change->thread->taken);
    WRITE_AFTER(seat->journal.map, change->map->number);
    WRITE_AFTER(seat->journal.lock, change->lock);
}

void journal_empty(struct journal *journal)
{
    uint64_t *word = (uint64_t *)journal;

    for (int i = (int)JOURNAL_WORDS - 1; i >= 0; i--)
        WRITE_AFTER(word[i], 0);
}

static int begin(const struct map *map, struct thread *thread, uint32_t lock, unsigned yields, struct map_change *ret)
{
    struct map_change change = { .map = map, .thread = thread, .lock = lock };
    uint32_t seat;
    int r = seat_find(map, thread, &seat);

    if (r < 0)
        return r;
    change.seat = &seats(map)[seat];
    change.holder = 1 + seat;
    if (READ_BEFORE(change.seat->journal.map) != 0)
        return -EBUSY;
    open_journal(&change);
    r = take_lock(lock_of(&change), change.holder, yields);
    if (r < 0) {
        journal_empty(&change.seat->journal);
        return r;
    }
    *ret = change;
    return 0;
}

int change_begin(const struct map *map, struct thread *thread, uint32_t lock, struct map_change *ret)
{
    return begin(map, thread, lock, LOCK_YIELDS, ret);
}

int change_begin_briefly(const struct map *map, struct thread *thread, uint32_t lock, struct map_change *ret)
{
    return begin(map, thread, lock, 0, ret);
}

/*
 * The lock is dropped before the journal is emptied: recovery needs the journal as long as the lock is held.  In recovery
 * map_recover() empties it, and nobody does twice: from the first time on the line's thread may be in its next change.
 */
void change_end(const struct map_change *change)
{
    WRITE_AFTER(*lock_of(change), 0);
    if (change->thread)
        journal_empty(&change->seat->journal);
}

bool change_resume(const struct map *map, struct seat *seat, uint32_t lock, struct map_change *ret)
{
    struct map_change change = { .map = map, .seat = seat, .lock = lock };

    change.holder = 1 + (uint32_t)(seat - seats(map));
    if (READ_BEFORE(*lock_of(&change)) != change.holder)
        return false;
    *ret = change;
    return true;
}
