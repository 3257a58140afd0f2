/* SPDX-License-Identifier: MIT */
/*
 * The library in this process: its one lock, and what the lock guards.
 *
 * The lock is only ever held with all signals blocked, so that a signal handler may fork (fork.c takes the lock).  Its
 * holder does nothing that waits for others, but for the fork of a process that lost its descriptors.  Below it
 * is the lock of lines.c.  Calls of tables and guards take neither.
 */
#ifndef DISPATCHD_LIBRARY_H
#define DISPATCHD_LIBRARY_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "membership.h"

struct library {
    bool open;                  /* between dd_open() and dd_close() */
    bool busy;                  /* one of the two is under way */
    uint64_t flags;             /* enum dd_flags */
    struct membership membership;
    bool thread_running;        /* background.c */
    bool thread_stop;
    pthread_t thread;
    char mistake[192];          /* of the last table, call or native that could not be registered */
    unsigned mistakes;          /* how many could not */
};

extern struct library library;

void library_lock(void);
void library_unlock(void);

/* In a child whose parent's lock may be anybody's: the lock is free, and the caller's.  Paired with library_unlock. */
void library_lock_afresh(void);

#endif
