/* SPDX-License-Identifier: MIT */
/*
 * Totals of what links are part of: entries, tables and programs.
 *
 * The one rule: whatever is read that a link has counted is added at once to the totals of
 *      the link         all of it
 *      its program      all of it
 *      its entry        runs, if it is the first link of the chain; verdicts that it gave for the hook: all, if it is the
 *                       last one, else those that the next one does not run after
 *      its table        runs, if it is the first link of the chain
 * with its program and its place in the chain being those of the code that counts.  So no total depends on which links
 * there are today, and none ever falls.  A table's stay while it is there, an entry's go with its last link, a program's
 * when it is unloaded.
 *
 * What code counts changes with a poke: all that was counted until then is read right behind it, and only then the links
 * have their new parts (totals_mark_moves(), totals_move()).  What is under way meanwhile may be taken for one or the other.
 *
 * They are stored with the links' totals: programs and tables in their rows, an entry in the rows of its links; the newest
 * of these, which has the most, is right.
 */
#ifndef DAEMON_TOTALS_H
#define DAEMON_TOTALS_H

#include <stdbool.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "counts.h"

struct json_object;
struct link;
struct registry;
struct statistics;
struct store;

LIST_HEAD(totals_list, totals);

/* Of a program, or a table (of which runs only count).  All zero at first. */
struct totals {
    struct counts counts;
    bool counted;                       /* once at least */
    bool of_links;                      /* restored from a database that had none: they are what links have */
    bool changed;                       /* since they were stored: they are in a list */
    LIST_ENTRY(totals) entry;
    const char *program, *table;        /* whose: the name of one, borrowed */
};

/* Of an entry: its links share it. */
struct entry_totals {
    unsigned references;
    const struct link *first, *last;    /* in the code that counts; only compared, they may be gone */
    struct counts counts;
};

/* Its owner goes. */
static inline void totals_done(struct totals *totals)
{
    if (totals->changed)
        LIST_REMOVE(totals, entry);
}

static inline struct entry_totals *entry_totals_put(struct entry_totals *totals)
{
    if (totals && --totals->references == 0)
        free(totals);
    return NULL;
}

/* A link is in the registry, and is to be the next change's: its entry's totals are its own too. */
void totals_join(struct link *link);
/* It is counted from now on.  -ENOMEM. */
int totals_begin(struct link *link);
/* So much more was read that it has counted.  What changes is entered in `changed`. */
void totals_add(struct link *link, const struct counts *news, struct totals_list *changed);

/* A poke has changed what this link is, or its neighbours are: mark those whose part will be another; when they were read, */
void totals_mark_moves(struct statistics *statistics, const struct link *link);
/* they have their parts of the registry. */
void totals_move(struct link *link);
/* It was taken out of the registry again before any code had it. */
void totals_withdraw(struct link *link);

/* A table that is declared anew has the totals of the one before (or gives them back); they are stored already, or will be. */
void totals_hand_over(struct totals *from, struct totals *to, struct totals_list *changed);

/* ---- the database ---- */

/* In a transaction. */
int totals_store(struct store *store, const struct totals *totals);
/* What was written: of a program or table; of an entry, in the row of one of its links, which is in the registry.  -ENOMEM. */
void totals_restore(const char *text, struct totals *totals);
int entry_totals_restore(struct json_object *view, struct link *link);
/* All is there: links have their parts.  Entered in `changed`: totals that a database of version 4 did not have. */
void totals_restored(struct registry *registry, struct totals_list *changed);

#endif
