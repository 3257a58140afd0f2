/* SPDX-License-Identifier: MIT */
/*
 * The reader lines of this process: a memfd that the daemon maps too (layout.h: struct dd_lines).
 *
 *      sets        making one, which one is current, looking at all
 *      handing out a line to a thread, with its counters, until it ends
 *      forking     the child's set, and its place in the child
 *
 * There is one set for the life of the process.  A second one is made only where the application closed the memfd and
 * a daemon asks for it that never saw it; then threads go over, each when it next enters a guard (thread.c), and
 * the first set stays mapped for good, since a guard or a signal handler may still hold a pointer into it.
 *
 * Locks: `lines_claim` takes a lock of its own, below all others, with all signals blocked.
 */
#ifndef DISPATCHD_LINES_H
#define DISPATCHD_LINES_H

#include <dispatchd/layout.h>
#include <stdbool.h>
#include <sys/types.h>

#include "descriptor.h"

/* ---- sets ---------------------------------------------------------------------------------------------- */

struct lines {
    struct dd_lines *map;
    struct descriptor memfd;
    struct lines *older;        /* sets that are not handed out any more */
    void *counters[DD_LINES_MAX];   /* of each line: mapped when it is first handed out, then for good; NULL: not yet */
    size_t counted;             /* no line from this one on has any */
    int forking;                /* lines_prepare_fork: index of the forking thread's line here, -1: none */
    struct dd_line copy;        /* and what it held */
};

/* A sealed memfd of lines, mapped, not inherited by fork (MADV_DONTFORK).  Never freed.  -ENOMEM, -EMFILE, ...; -EFBIG:
 * RLIMIT_FSIZE is below DD_LINES_FILE_SIZE. */
int lines_new(struct lines **ret);

/* The set that lines are handed out from; NULL before dd_open().  Async-signal-safe. */
struct lines *lines_current(void);

/* Does the line belong to the current set?  Async-signal-safe. */
bool lines_is_current(const struct dd_line *line);

/*
 * Make a set the current one.  Threads that hold a line of the set before go over when they next enter a guard,
 * whatever the epoch is then.  Negative: of barrier_process(); nothing has changed.
 */
int lines_replace(struct lines *lines);

/* Is every line, of all sets, outside a guard or in one that began in this generation, or is its owner dead?
 * Call after a barrier in all threads. */
bool lines_are_past(uint64_t generation);

/* Is the calling thread inside a guard? */
bool lines_in_guard(void);

/* How far a wait for the guards of this process has come: zero before its first step. */
struct lines_wait {
    const struct lines *lines;  /* the set that it is at; NULL before the first step */
    uint32_t index;             /* of the line that it waits for: those before have left */
    uint64_t word;              /* what that line held at the first look; 0: none yet */
};

/*
 * Has every guard ended that was open when the wait began?  Its first step comes after a barrier in all threads, so
 * that later guards see what was stored before that.  Never blocks; call again after a while.  Guards that follow on
 * each other without a pause are told apart.  Not once the answer was true.
 */
bool lines_wait_step(struct lines_wait *wait);

/* ---- handing out --------------------------------------------------------------------------------------- */

/* A line of the current set, locked for the calling thread until it exits; NULL: none is left, no set is there, or
 * no memory for its counters.  All signals are blocked by the caller. */
struct dd_line *lines_claim(void);

/* The counters of a line that was handed out in this process, DD_LINE_COUNTERS_SIZE bytes.  Async-signal-safe. */
void *lines_counters(const struct dd_line *line);

/* ---- forking ------------------------------------------------------------------------------------------- */

/*
 * In the parent, before the fork: the memfd of the child's lines, in which the calling thread has the same line with
 * the same content, and no other thread has one.  The caller owns *ret_memfd.
 */
int lines_prepare_fork(int *ret_memfd);

/*
 * In the child, before anything else: put memory back where the parent's lines were.  memfd: of lines_prepare_fork(),
 * or -EBADF: that failed, the child tries again.  The calling thread owns its line again.  Takes the descriptor over.
 * Negative: private memory took its place, so that guards work, but no daemon sees them: a Join will ask for new lines.
 */
int lines_after_fork(int memfd);

/* Before lines_after_fork() in a child that was not prepared (dd_after_fork): nobody has a line. */
void lines_forget_thread(void);

#endif
