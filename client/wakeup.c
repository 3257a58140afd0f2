/* SPDX-License-Identifier: MIT */
/* See wakeup.h. */
#include "wakeup.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "util.h"

#define PERIOD_SECONDS (10 * 365 * 86400L)      /* never comes: the timer is set anew after each wake-up */

int wakeup_open(struct wakeup *ret)
{
    _cleanup_close_ int epoll = epoll_create1(EPOLL_CLOEXEC);
    _cleanup_close_ int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    struct epoll_event event = { .events = EPOLLIN };
    struct timespec now;

    if (epoll < 0 || timer < 0)
        return -errno;
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, timer, &event) < 0)
        return -errno;
    clock_gettime(CLOCK_MONOTONIC, &now);
    *ret = (struct wakeup){ TAKE_DESCRIPTOR(epoll), TAKE_DESCRIPTOR(timer), now.tv_nsec };
    wakeup_at(ret, -1);
    return 0;
}

static bool timer_is_ours(const struct wakeup *wakeup)
{
    struct itimerspec setting;

    return wakeup->timer >= 0 && timerfd_gettime(wakeup->timer, &setting) == 0 &&
           setting.it_interval.tv_sec == PERIOD_SECONDS && setting.it_interval.tv_nsec == wakeup->mark;
}

/* A change to what it is already: fails unless the timer is in there. */
static bool epoll_is_ours(const struct wakeup *wakeup)
{
    struct epoll_event event = { .events = EPOLLIN };

    return timer_is_ours(wakeup) && wakeup->epoll >= 0 &&
           epoll_ctl(wakeup->epoll, EPOLL_CTL_MOD, wakeup->timer, &event) == 0;
}

bool wakeup_is_ours(const struct wakeup *wakeup)
{
    return epoll_is_ours(wakeup);
}

void wakeup_close(struct wakeup *wakeup)
{
    if (epoll_is_ours(wakeup))
        close(wakeup->epoll);
    if (timer_is_ours(wakeup))
        close(wakeup->timer);
    *wakeup = WAKEUP_NONE;
}

void wakeup_watch(const struct wakeup *wakeup, int socket, bool writable)
{
    struct epoll_event event = { .events = EPOLLIN | (writable ? EPOLLOUT : 0) };

    if (epoll_ctl(wakeup->epoll, EPOLL_CTL_MOD, socket, &event) < 0 && errno == ENOENT)
        epoll_ctl(wakeup->epoll, EPOLL_CTL_ADD, socket, &event);
}

void wakeup_unwatch(const struct wakeup *wakeup, int socket)
{
    struct epoll_event event = { 0 };

    epoll_ctl(wakeup->epoll, EPOLL_CTL_DEL, socket, &event);
}

void wakeup_at(const struct wakeup *wakeup, int64_t time_ms)
{
    struct itimerspec setting = { .it_interval = { PERIOD_SECONDS, wakeup->mark } };

    if (time_ms < 0)
        setting.it_value.tv_sec = wakeup_now() / 1000 + PERIOD_SECONDS;
    else
        setting.it_value = (struct timespec){ time_ms / 1000, time_ms % 1000 * 1000000 + 1 };   /* 0 would disarm it */
    timerfd_settime(wakeup->timer, TFD_TIMER_ABSTIME, &setting, NULL);
}

int64_t wakeup_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void wakeup_wait(int epoll, int timeout_ms)
{
    struct epoll_event event;

    if (epoll_wait(epoll, &event, 1, timeout_ms) < 0 && errno != EINTR) {
        /* Not there any more: wait a little, so that whoever looks next does not spin. */
        nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
    }
}
