/* SPDX-License-Identifier: MIT */
/*
 * The process's side of the linkage (layout.h): where the stubs of a window lead.
 *
 * A stub whose target is not known asks in the middle of a hook's call, so in any thread and in signal handlers.
 * Whom it may find, natives and tables, changes under a lock of its own, which is below all others; its holder has
 * all signals blocked and calls nothing that could wait or allocate.
 */
#ifndef DISPATCHD_STUBS_H
#define DISPATCHD_STUBS_H

#include <signal.h>
#include <stdbool.h>

#include "window.h"

sigset_t stubs_lock(void);
void stubs_unlock(const sigset_t *saved);

/* In the child of a fork, whose parent's lock another thread may have held. */
void stubs_after_fork(void);

/* Make the stubs of a window work; nothing is known yet.  no_indirect: its linkage is the one without indirect
 * jumps. */
void stubs_fill(const struct window *window, bool no_indirect);

/* What is known may not be right any more: a native or a table came or went.  NULL is fine. */
void stubs_forget(const struct window *window);

/*
 * By a thread that has seen a new epoch, in its guard and before it runs code of the window: where the daemon has
 * cleared entries of the directory since, what is known is forgotten, as others may have their
 * indices.  Async-signal-safe.
 */
void stubs_follow(void);

#endif
