/* SPDX-License-Identifier: MIT */
/*
 * Calls whose work takes long.  It is done from the event loop in turns, one turn of one call in each pass of the loop, so
 * that whoever else wants something waits for one turn at most, however many such calls there are.
 *
 *      long_call           the work for one call
 *      long_calls          all that are under way
 *
 * A call whose client leaves LONG_CALL_QUEUED_MAX bytes of answers untaken has no turn until some of them are taken: so a
 * client that does not read costs that much, and not a copy of everything.  One whose client has gone ends.
 */
#ifndef DAEMON_LONG_CALL_H
#define DAEMON_LONG_CALL_H

#include <stdbool.h>
#include <sys/queue.h>

struct call;
struct event_base;
struct long_call;
struct long_calls;

#define LONG_CALL_TURN_US 2000                  /* a turn is over after this, whatever it got done */
#define LONG_CALL_QUEUED_MAX (1u << 20)

struct long_call_kind {
    /* Work while long_call_goes_on().  false: the call was answered for the last time. */
    bool (*turn)(struct long_call *work);
    /* Free the work and what it holds, but for the call. */
    void (*free)(struct long_call *work);
};

/* The first member of what the work needs besides. */
struct long_call {
    TAILQ_ENTRY(long_call) entry;
    const struct long_call_kind *kind;
    struct long_calls *calls;
    struct call *call;                          /* a reference */
};

/* -ENOMEM. */
int long_calls_new(struct event_base *base, struct long_calls **ret);
/* At the end: closes the connections of all who wait.  NULL is fine; returns NULL. */
struct long_calls *long_calls_free(struct long_calls *calls);

/* Takes `work` over.  The first turn comes later. */
void long_call_start(struct long_calls *calls, struct long_call *work, const struct long_call_kind *kind,
                     struct call *call);

/* In a turn: is there time left? */
bool long_call_goes_on(const struct long_call *work);

#endif
