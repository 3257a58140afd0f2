/* SPDX-License-Identifier: MIT */
/* Statistics as the API shows them: the reply of GetStatistics. */
#ifndef DAEMON_VIEW_STATISTICS_H
#define DAEMON_VIEW_STATISTICS_H

#include "daemon.h"
#include "refusal.h"

/*
 * Read all counters, and show those of the link or table that `parameters` name, or all.  *ret is the caller's.
 * -ENOENT: there is no such link or table.
 */
int view_statistics(struct daemon *daemon, struct json_object *parameters, struct json_object **ret,
                    struct refusal *refusal);

#endif
