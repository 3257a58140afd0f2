/* SPDX-License-Identifier: MIT */
/*
 * What each image has before any program: the runtime's functions, which programs call, and the ring that trace_printk
 * writes to, with its descriptor among them.
 */
#ifndef DAEMON_SYSTEM_H
#define DAEMON_SYSTEM_H

#include "daemon.h"
#include "refusal.h"

#define SYSTEM_TRACE_SIZE (64u << 10)   /* bytes of the trace ring */

/*
 * Once, at start, before anything else is placed: daemon->runtime, daemon->trace.
 * ImageFull, ArenaFull, LimitExceeded.
 */
int system_place(struct daemon *daemon, struct refusal *refusal);

#endif
