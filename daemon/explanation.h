/* SPDX-License-Identifier: MIT */
/* The answer to Explain: what planning knows of a table, and what its code costs, which takes a moment to measure. */
#ifndef DAEMON_EXPLANATION_H
#define DAEMON_EXPLANATION_H

#include "daemon.h"

struct call;

/* Answer the call, when the table is measured; at once where that is not to be had. */
void explanation_reply(struct daemon *daemon, struct call *call, const struct table *table);

/* For measurements_forget(), when the daemon stops. */
void explanation_forget(void *userdata);

#endif
