/* SPDX-License-Identifier: MIT */
/*
 * Measuring what a table's code costs with the keys that were sampled: in a child of the daemon (measurer.h), while
 * the event loop goes on.
 */
#ifndef DAEMON_MEASUREMENT_H
#define DAEMON_MEASUREMENT_H

#include "daemon.h"

/*
 * Begin; `done` is called once, from the event loop, unless the daemon stops before: nanoseconds a call, without guard
 * and program, negative if it failed.  -EBUSY: MEASUREMENTS_MAX are under way; -ENODATA: the table was not sampled;
 * -ENOMEM; errors of child_start().
 */
#define MEASUREMENTS_MAX 4
int measurement_start(struct daemon *daemon, const struct table *table,
                      void (*done)(struct daemon *daemon, void *userdata, double nanoseconds), void *userdata);

/* When the daemon stops: end those that are under way.  `forget` is called with the userdata of each. */
void measurements_forget(struct daemon *daemon, void (*forget)(void *userdata));

#endif
