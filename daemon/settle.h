/* SPDX-License-Identifier: MIT */
/* Settling of tables: takes the steps of entry.h, one a grace period, off every caller's path. */
#ifndef DAEMON_SETTLE_H
#define DAEMON_SETTLE_H

#include "daemon.h"

/* The table's entry has changed: settle it when the changes have paused.  Allocates nothing. */
void settle(struct daemon *daemon, struct table *table);

/* Free a table that has left the registry, after a grace period, as soon as no settling step refers to it. */
void settle_remove(struct table *table);

/*
 * Something else wrote a slot of its code: from now on it is left as it is, and calls run what they run.  One log line a
 * table.
 */
void settle_overwritten(struct table *table);

#endif
