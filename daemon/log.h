/* SPDX-License-Identifier: MIT */
/* The daemon's log: lines on standard error, with the journal's priority prefix when systemd reads them. */
#ifndef DAEMON_LOG_H
#define DAEMON_LOG_H

#include <syslog.h>

/*
 * Lines above this priority (LOG_DEBUG is the highest) are dropped.  Also decides about the prefix;
 * call it once at start.
 */
void log_open(int maximum_priority);

/* One line; priority as in <syslog.h>.  Keeps errno. */
__attribute__((format(printf, 2, 3)))
void log_line(int priority, const char *format, ...);

#endif
