/* SPDX-License-Identifier: MIT */
/* What a link runs: a program, or a native function of the workers, which the image reaches through the linkage. */
#ifndef DAEMON_TARGET_H
#define DAEMON_TARGET_H

#include "daemon.h"
#include "refusal.h"

/*
 * The target that is asked for by name (native "": a program; both, the same: whichever has it), if it fits the table:
 * into the link's program, or native and native_code; no reference is taken, nothing is entered.  On error, with a
 * refusal, nothing changed.
 */
int target_find(struct daemon *daemon, const struct table *table, const char *program, const char *native,
                struct link *link, struct refusal *refusal);

/*
 * Image offset of the stub that leads a table to a native; NULL: to the worker's own default.  The stub is the
 * pair's from now on, and for as long as the registry refers to it when this turn of the event loop is over.  -EDQUOT:
 * DD_LINKAGE_MAX are in use.
 */
int target_stub(struct daemon *daemon, const struct table *table, const struct native *native, int64_t *ret);

/* The index in the directory of one of these stubs. */
size_t target_stub_index(int64_t stub);

/*
 * The same for a function that programs call as a helper; a worker without it, and one where it may block, answers
 * -ENOSYS instead.
 */
int target_helper_stub(struct daemon *daemon, const char *name, const char *prototype, int64_t *ret);

/* The refusal of that. */
int target_refuse_stub(struct refusal *refusal);

/* Store what a restart needs to know of a link's native, inside the transaction.  Nothing for a program. */
int target_store(struct daemon *daemon, const struct link *link);

#endif
