/* SPDX-License-Identifier: MIT */
/*
 * What the code of a table does: its links as cases and chains, for entry.h.
 *
 *      table_dispatcher()      all of it
 *      table_edits()           what became of some keys, for an entry that can be edited in place
 */
#ifndef DAEMON_TABLE_CODE_H
#define DAEMON_TABLE_CODE_H

#include "dispatcher.h"
#include "registry.h"

struct table_dispatcher {
    struct dispatcher dispatcher;       /* its arrays are those below */
    struct dispatcher_case *cases;
    struct dispatcher_target *targets;  /* one a link, in the same order */
};

/* *ret is the caller's, to be done.  -ENOMEM. */
int table_dispatcher(const struct registry *registry, const struct table *table, struct table_dispatcher *ret);

/*
 * What runs now for the keys of `changed` links of this table, attached or detached: only `cases` of the dispatcher
 * count, each key once and in order; one that nothing is attached to any more has no targets.  *ret is the caller's, to
 * be done.  -EOPNOTSUPP: one is a range, or for all other keys; -ENOMEM.
 */
int table_edits(const struct table *table, const struct link *const *changed, size_t count,
                struct table_dispatcher *ret);

void table_dispatcher_done(struct table_dispatcher *code);

#endif
