/* SPDX-License-Identifier: MIT */
/*
 * What systemd is told: that starting goes on, readiness, the watchdog's sign of life, stopping.
 * All of it does nothing without systemd.
 */
#ifndef DAEMON_SUPERVISOR_H
#define DAEMON_SUPERVISOR_H

struct event_base;
struct event;

/* Starting goes on: systemd waits that long again, from now, before it takes the start for hung. */
void supervisor_starting(unsigned seconds, const char *status);

/* Ready.  *ret_timer: the watchdog's, to be freed with event_free; NULL where none is asked for. -ENOMEM. */
int supervisor_ready(struct event_base *base, const char *status, struct event **ret_timer);
void supervisor_stopping(void);

/* Keep this descriptor for the next daemon, under this name, in place of what was kept so before. */
void supervisor_keep(const char *name, int descriptor);

#endif
