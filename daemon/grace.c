/* SPDX-License-Identifier: MIT */
/* See grace.h.  The order of the steps is that of doc/model/, where each other order fails. */
#include "grace.h"

#include <assert.h>
#include <errno.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * A busy reader is inside a guard at nearly every moment and leaves it within nanoseconds: so a
 * wait that has just begun looks so often, and yields in between, before it leaves the rest to the
 * caller's timer.
 */
#define LOOKS 16

/* A worker that announces children without end delays the wait, not the daemon: the rest is the caller's timer's. */
#define ROUNDS 8

/*
 * Nor do workers whose many lines are all in use (a process says so, and needs no threads for it): a poll looks at no
 * more than these, some hundred microseconds, and what it has found stays found for the next one.
 */
#define LINES_PER_POLL (1u << 18)

STAILQ_HEAD(waiters, grace_waiter);

struct grace {
    struct dd_control *control;
    void (*drain)(void *userdata);
    void *userdata;
    uint64_t generation;
    uint64_t epoch;             /* as it stands in control */
    struct lines **lines;       /* of all processes; one that held a wait lately stands first */
    size_t count, capacity;
    size_t added;               /* how often lines were added */
    struct waiters asked;       /* step 1 has not been taken since they asked */
    struct waiters begun;       /* steps 1 and 2 are done; epochs ascend */
    uint64_t completed, completed_epoch;
    uint32_t budget;            /* lines that this poll may still look at */
    bool polling;
};

static int membarrier(int command)
{
    return syscall(SYS_membarrier, command, 0, 0) < 0 ? -errno : 0;
}

int grace_new(struct dd_control *control, void (*drain)(void *userdata), void *userdata,
              struct grace **ret)
{
    struct grace *grace;
    int r = membarrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED);

    if (r < 0)
        return r == -EINVAL ? -ENOSYS : r;
    grace = calloc(1, sizeof(*grace));
    if (!grace)
        return -ENOMEM;
    grace->control = control;
    grace->drain = drain;
    grace->userdata = userdata;
    grace->epoch = control->epoch;
    grace->generation = DD_EPOCH_GENERATION(grace->epoch);
    STAILQ_INIT(&grace->asked);
    STAILQ_INIT(&grace->begun);
    *ret = grace;
    return 0;
}

struct grace *grace_free(struct grace *grace)
{
    if (!grace)
        return NULL;
    free(grace->lines);
    free(grace);
    return NULL;
}

/* ---- whose lines ---- */

int grace_add(struct grace *grace, struct lines *lines)
{
    if (grace->count == grace->capacity) {
        size_t capacity = grace->capacity ? 2 * grace->capacity : 16;
        struct lines **larger = reallocarray(grace->lines, capacity, sizeof(*larger));

        if (!larger)
            return -ENOMEM;
        grace->lines = larger;
        grace->capacity = capacity;
    }
    grace->lines[grace->count++] = lines;
    grace->added++;
    return 0;
}

void grace_remove(struct grace *grace, struct lines *lines)
{
    size_t i = 0;

    while (i < grace->count && grace->lines[i] != lines)
        i++;
    assert(i < grace->count);
    grace->lines[i] = grace->lines[--grace->count];
}

/* ---- steps 1 and 2 ---- */

/*
 * 1 bump the epoch.  Release orders the pokes before it.  Its partner is the reader, which loads
 *   the epoch, serialises if it is a new one, and only then fetches the slot: who has seen this
 *   epoch executes what was poked. Bumped before the poke, a reader could remember the epoch and
 *   still hold the old slot.
 *
 * 2 membarrier: a full barrier in each running thread of all registered processes, and a full one
 *   here.  It orders, in each reader, the store of its line before its load of the epoch, for which
 *   the reader itself only has program order and a store buffer; and here the bump before the loads
 *   of step 3.  So of each guard at least one is true: step 3 sees its line, or it has seen this
 *   epoch.  Before the bump, or after step 3, or left out, a reader whose line is still in its
 *   store buffer, and that loaded the old epoch, would be missed, and its code reused under it.
 */
void grace_publish(struct grace *grace)
{
    struct grace_waiter *waiter;

    /*
     * The next count would be another generation.  The daemon ends, and the next one begins with a
     * new generation.
     */
    if ((uint32_t)grace->epoch == UINT32_MAX)
        abort();
    __atomic_store_n(&grace->control->epoch, ++grace->epoch, __ATOMIC_RELEASE);         /* 1 */
    /*
     * grace_new has seen the first one work; what may fail since is its memory, and the second,
     * slow one needs none.
     */
    while (membarrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED) < 0 &&
           membarrier(MEMBARRIER_CMD_GLOBAL) < 0)                                       /* 2 */
        sched_yield();
    STAILQ_FOREACH(waiter, &grace->asked, next)
        waiter->epoch = grace->epoch;
    STAILQ_CONCAT(&grace->begun, &grace->asked);
}

void grace_wait(struct grace *grace, struct grace_waiter *waiter)
{
    assert(waiter->over);
    waiter->epoch = 0;
    STAILQ_INSERT_TAIL(&grace->asked, waiter, next);
}

/* ---- steps 3 and 4 ---- */

/*
 * The epoch of a process's longest guard, or a later one that is no later than now; 0: not known in this poll.
 * What was found for an epoch is true for good, so a wait looks at each process until it has passed, and then not again.
 */
static uint64_t look(struct grace *grace, struct lines *lines, uint64_t needed)
{
    uint32_t used = lines_used(lines);
    uint64_t epoch;

    if (lines_passed(lines) >= needed)
        return lines_passed(lines);
    if (used >= grace->budget)
        return 0;
    grace->budget -= used + 1;
    epoch = lines_oldest(lines, grace->generation);
    if (epoch > grace->epoch)
        epoch = grace->epoch;           /* a hostile word, or nobody: it is all that has begun so far */
    if (epoch >= needed)
        lines_set_passed(lines, epoch);
    return epoch;
}

/*
 * 3 the oldest epoch that a thread is still in.  Stops early below `needed`, and looks there first
 *   next time, so that a reader which is stopped for hours costs one look at one process.
 */
static uint64_t poll_lines(struct grace *grace, uint64_t needed)
{
    uint64_t oldest = LINES_NOBODY;

    for (size_t i = 0; i < grace->count && oldest >= needed; i++) {
        struct lines *lines = grace->lines[i];
        uint64_t epoch = look(grace, lines, needed);

        if (epoch >= oldest)
            continue;
        oldest = epoch;
        if (oldest < needed) {
            grace->lines[i] = grace->lines[0];
            grace->lines[0] = lines;
        }
    }
    return oldest;
}

/*
 * The epoch up to which waits are over; 0: not even the first.  What `drain` publishes comes after
 * the look at the lines, which says nothing about it: hence the bound.
 * 4 a process that forked sent its child's lines before it forked, so whatever thread was in the
 *   old code when its line was looked at, and has gone on as a child since, has its message in a
 *   socket by now.
 */
static uint64_t find_over(struct grace *grace)
{
    uint64_t needed = STAILQ_FIRST(&grace->begun)->epoch;
    uint64_t oldest, published;
    unsigned rounds = 0;
    size_t added;

    do {
        if (rounds++ == ROUNDS)
            return 0;
        published = grace->epoch;
        oldest = poll_lines(grace, needed);             /* 3 */
        if (oldest < needed)
            return 0;
        added = grace->added;
        grace->drain(grace->userdata);                  /* 4 */
    } while (grace->added != added);
    return oldest < published ? oldest : published;
}

static void call_over(struct grace *grace, uint64_t over)
{
    struct grace_waiter *waiter;

    while ((waiter = STAILQ_FIRST(&grace->begun)) && waiter->epoch <= over) {
        STAILQ_REMOVE_HEAD(&grace->begun, next);
        grace->completed += waiter->epoch != grace->completed_epoch;
        grace->completed_epoch = waiter->epoch;
        waiter->over(waiter);
    }
}

bool grace_poll(struct grace *grace)
{
    const struct grace_waiter *waiter;
    unsigned looks = 1;
    uint64_t over, last;

    assert(!grace->polling);
    grace->polling = true;
    grace->budget = LINES_PER_POLL;
    if (!STAILQ_EMPTY(&grace->asked)) {
        grace_publish(grace);
        looks = LOOKS;
    }
    last = grace->epoch;
    /* What is over may be only the first of them: the others may need another look at those who passed for it. */
    while ((waiter = STAILQ_FIRST(&grace->begun)) && waiter->epoch <= last) {
        while ((over = find_over(grace)) == 0 && --looks > 0)
            sched_yield();
        if (over == 0)
            break;
        call_over(grace, over);
        looks = 1;
    }
    grace->polling = false;
    return !STAILQ_EMPTY(&grace->asked) || !STAILQ_EMPTY(&grace->begun);
}

uint64_t grace_awaited(const struct grace *grace)
{
    return STAILQ_EMPTY(&grace->begun) ? 0 : STAILQ_FIRST(&grace->begun)->epoch;
}

uint64_t grace_completed(const struct grace *grace)
{
    return grace->completed;
}
