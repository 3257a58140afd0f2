/* SPDX-License-Identifier: MIT */
#include "supervisor.h"

#include <errno.h>
#include <event2/event.h>
#include <stdint.h>
#include <stdio.h>
#include <systemd/sd-daemon.h>

static void on_watchdog(evutil_socket_t descriptor, short events, void *userdata)
{
    (void)descriptor, (void)events, (void)userdata;
    sd_notify(0, "WATCHDOG=1");
}

void supervisor_starting(unsigned seconds, const char *status)
{
    sd_notifyf(0, "EXTEND_TIMEOUT_USEC=%u000000\nSTATUS=%s", seconds, status);
}

int supervisor_ready(struct event_base *base, const char *status, struct event **ret_timer)
{
    struct timeval period;
    uint64_t timeout;

    *ret_timer = NULL;
    sd_notifyf(0, "READY=1\nSTATUS=%s", status);
    if (sd_watchdog_enabled(0, &timeout) <= 0)
        return 0;
    timeout /= 2;                       /* as sd_watchdog_enabled(3) recommends */
    period = (struct timeval){ (time_t)(timeout / 1000000), (suseconds_t)(timeout % 1000000) };
    *ret_timer = event_new(base, -1, EV_PERSIST, on_watchdog, NULL);
    if (!*ret_timer || event_add(*ret_timer, &period) < 0)
        return -ENOMEM;
    return 0;
}

void supervisor_stopping(void)
{
    sd_notify(0, "STOPPING=1");
}

/* Two messages: systemd acts on them in order. */
void supervisor_keep(const char *name, int descriptor)
{
    char text[128];

    sd_notifyf(0, "FDSTOREREMOVE=1\nFDNAME=%s", name);
    snprintf(text, sizeof(text), "FDSTORE=1\nFDNAME=%s", name);
    sd_pid_notify_with_fds(0, 0, text, &descriptor, 1);
}
