/* SPDX-License-Identifier: MIT */
/*
 * The reader lines of one process (layout.h: struct dd_lines), as the daemon sees them: mapped
 * read-only, hostile. Every word is read once, atomically, and no value from it is used as an index
 * or a size without a bound.  A worker that lies in its lines makes the daemon reuse code that it
 * still runs, or keep code that nobody runs; both harm nobody else.
 *
 * One thread; no function is signal-safe.
 */
#ifndef DAEMON_LINES_H
#define DAEMON_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <dispatchd/layout.h>

struct lines;

/*
 * Check and map a descriptor that a worker sent (borrowed; may be closed afterwards: this keeps one of its own).  The
 * result is the caller's.
 * -EINVAL: not a memfd of ordinary pages, wrong size, missing seals or another layout
 * (*reterr_reason says which, a static sentence); -ENOMEM and others of mmap(2), and *reterr_reason
 * is left alone.
 */
int lines_new(int descriptor, struct lines **ret, const char **reterr_reason);

/* Must not be known to a struct grace any more.  NULL is fine; returns NULL. */
struct lines *lines_free(struct lines *lines);

/*
 * What the owner of the process has found out.  Nothing is ever taken back.  A line's word counts
 * unless its owner is dead, or all its process is, or nobody ever came for it: a forked child's
 * lines are made before the fork, with the forking thread's guard in them, and the fork may fail,
 * or the child die before it takes them.
 * So such lines no longer count after these two, in this order: end of file on the child's socket,
 * which nobody holds any more, and only then still no owner (a child that took its lines, and then
 * closed everything, runs on and has one).
 */
void lines_set_adopted(struct lines *lines);        /* a process has spoken for them */
void lines_set_end_of_file(struct lines *lines);    /* their socket has shown end of file */
void lines_set_dead(struct lines *lines);           /* a pidfd says that their process has ended */

#define LINES_NOBODY UINT64_MAX

/*
 * The epoch in which the longest guard of this process began: LINES_NOBODY if no thread is inside
 * one, 0 if one is in an unknown epoch or another generation.  Without a membarrier after the poke
 * the answer means nothing (grace.h).
 */
uint64_t lines_oldest(const struct lines *lines, uint64_t generation);

/*
 * Is the thread of line `index` (any number) outside of all guards, or is there no such thread any more?  Nothing that
 * it began in its last guard goes on then.  Later looks at what it writes stay later.
 */
bool lines_outside(const struct lines *lines, uint32_t index);

/*
 * How many threads have taken line `index` (any number) so far; 0: it is not told.  If a thread that was one of fewer
 * had begun something before this, it is dead.  Later looks at what it wrote stay later.
 */
uint64_t lines_taken(const struct lines *lines, uint32_t index);

/*
 * What grace.c remembers of a look at these lines: no thread is in a guard that began before this epoch, nor will be
 * again (one that enters later sees the epoch).  0 at first.
 */
void lines_set_passed(struct lines *lines, uint64_t epoch);
uint64_t lines_passed(const struct lines *lines);

/* Does this process keep the wait for `epoch` from being over? */
bool lines_holding(const struct lines *lines, uint64_t epoch);

/* Lines that were ever handed out: those whose counters may have been written. */
uint32_t lines_used(const struct lines *lines);

/*
 * The first line from `index` on in whose counters something was ever written near `offset`, `size` bytes of them;
 * lines_used() if there is none.
 */
uint32_t lines_next_counted(const struct lines *lines, uint32_t index, size_t offset, size_t size);

/*
 * Read counters of one line, from `offset` bytes on: what the worker's threads have written, torn at worst between
 * words, and hostile.  Works after the process has ended.  -EIO and others of pread(2).
 */
int lines_read_counters(const struct lines *lines, uint32_t index, size_t offset, void *ret, size_t size);

/* The inode of the memfd: as long as the process lives, it names these lines also for the next daemon. */
uint64_t lines_inode(const struct lines *lines);

/* For display: lines with a living owner; guards that were left by longjmp. */
unsigned lines_threads(const struct lines *lines);
unsigned lines_leaked(const struct lines *lines);

#endif
