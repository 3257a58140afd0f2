/* SPDX-License-Identifier: MIT */
/*
 * Grace periods: when has every thread of every worker left the code that was replaced?
 *
 *      wait, always after the poke is visible:
 *      1 bump the epoch
 *      2 membarrier(GLOBAL_EXPEDITED)
 *      3 poll all known lines until each is 0 or not older
 *      4 drain the worker sockets; if that brought new lines (forks), again from 3
 *
 * All waits that were asked for before a bump share it, each later one has a later epoch, and a
 * guard that holds a wait holds all later ones as well.  So one look at all lines, for the oldest
 * epoch that a thread is still in, ends every wait up to that epoch, in order; waits run side by
 * side and one never delays another.
 *
 * Knows lines and the epoch; no sockets, no event loop, no logging.  One thread; no function is
 * signal-safe.
 */
#ifndef DAEMON_GRACE_H
#define DAEMON_GRACE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include <dispatchd/layout.h>

#include "lines.h"

struct grace;

/*
 * Whoever waits; embedded in the object that does, so that waiting allocates nothing and cannot
 * fail.
 */
struct grace_waiter {
    void (*over)(struct grace_waiter *waiter);
    uint64_t epoch;                             /* grace's own, like the rest */
    STAILQ_ENTRY(grace_waiter) next;
};

/*
 * `control`: the shared page, whose epoch is one of this generation (borrowed).  `drain`: step 4,
 * reads all that workers have sent; may call grace_add, grace_remove, grace_wait and grace_publish.
 * -ENOSYS, -EPERM: membarrier(GLOBAL_EXPEDITED) is not to be had; -ENOMEM.
 */
int grace_new(struct dd_control *control, void (*drain)(void *userdata), void *userdata,
              struct grace **ret);

/* NULL is fine; returns NULL.  Who still waits is forgotten, not called. */
struct grace *grace_free(struct grace *grace);

/*
 * Know a process's lines (borrowed), before it is told where the image is; a child's before its
 * parent's next message.  -ENOMEM.
 */
int grace_add(struct grace *grace, struct lines *lines);

/*
 * Forget lines, whatever waits are under way, when no thread of their process can enter a guard
 * again: its process has ended, or has executed another program, or nobody ever took them
 * (lines.h).  First read its socket to the end: a child that it announced must be known before its
 * parent is forgotten.
 */
void grace_remove(struct grace *grace, struct lines *lines);

/*
 * Steps 1 and 2 alone: every guard entered after the return executes what was poked before the
 * call.  Waits for no reader. Waits that were asked for before have begun then: ask first where
 * both are needed, and save a membarrier.
 */
void grace_publish(struct grace *grace);

/* Ask for a grace period that begins after this call; `over` is called from grace_poll, once. */
void grace_wait(struct grace *grace, struct grace_waiter *waiter);

/*
 * Begin what was asked for, look at the lines, and call what is over, in the order of asking.
 * Returns whether somebody still waits: then call it again soon.  Never blocks (a membarrier and
 * some microseconds apart).  `over` may wait again, and may free its waiter.  Not to be called from
 * `over` or `drain`.
 */
bool grace_poll(struct grace *grace);

/*
 * The epoch that the oldest unfinished wait needs: what lines_holding() is asked for.  0: none has
 * begun.
 */
uint64_t grace_awaited(const struct grace *grace);

/* Grace periods that are over, since start. */
uint64_t grace_completed(const struct grace *grace);

#endif
