/* SPDX-License-Identifier: MIT */
/*
 * What wakes the library: an epoll descriptor with the socket and a timer in it.
 *
 * Epolls and timers share one inode, so descriptor.h cannot tell ours from the application's: the timer is known by a
 * period that nobody else would choose, and the epoll by having that timer in it.
 */
#ifndef DISPATCHD_WAKEUP_H
#define DISPATCHD_WAKEUP_H

#include <stdbool.h>
#include <stdint.h>

struct wakeup {
    int epoll, timer;       /* -EBADF: none */
    long mark;              /* nanoseconds of the timer's period */
};

#define WAKEUP_NONE ((struct wakeup){ .epoll = -EBADF, .timer = -EBADF })

/* -EMFILE, -ENFILE, -ENOMEM. */
int wakeup_open(struct wakeup *ret);

/* Closes what is still ours. */
void wakeup_close(struct wakeup *wakeup);

bool wakeup_is_ours(const struct wakeup *wakeup);

/* Wake when the socket is readable, with `writable` also when there is room. */
void wakeup_watch(const struct wakeup *wakeup, int socket, bool writable);
void wakeup_unwatch(const struct wakeup *wakeup, int socket);

/* Wake at a time of CLOCK_MONOTONIC (milliseconds; in the past: now; negative: not by the clock). */
void wakeup_at(const struct wakeup *wakeup, int64_t time_ms);

/* That clock. */
int64_t wakeup_now(void);

/* Wait until woken or for timeout_ms. */
void wakeup_wait(int epoll, int timeout_ms);

#endif
