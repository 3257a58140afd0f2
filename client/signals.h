/* SPDX-License-Identifier: MIT */
/*
 * All signals blocked, for as long as something is held that a signal handler would need: a handler may call hooks
 * and fork().
 */
#ifndef DISPATCHD_SIGNALS_H
#define DISPATCHD_SIGNALS_H

#include <signal.h>

static inline sigset_t signals_block(void)
{
    sigset_t all, saved;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &saved);
    return saved;
}

static inline void signals_restore(const sigset_t *saved)
{
    pthread_sigmask(SIG_SETMASK, saved, NULL);
}

#endif
