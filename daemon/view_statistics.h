/* SPDX-License-Identifier: MIT */
/* Statistics as the API shows them: GetStatistics. */
#ifndef DAEMON_VIEW_STATISTICS_H
#define DAEMON_VIEW_STATISTICS_H

#include "daemon.h"
#include "refusal.h"

struct call;

/*
 * Read and show, in turns (listing.h), the counters of the link or table that the call's parameters name, or all.  -ENOENT:
 * there is no such link or table; -ENOMEM; then the call is not answered.
 */
int view_statistics(struct daemon *daemon, struct call *call, struct refusal *refusal);

#endif
