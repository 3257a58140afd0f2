/* SPDX-License-Identifier: MIT */
/*
 * A child: our own executable, executed again to serve one request.  It is given bytes, answers with bytes, and ends;
 * it inherits nothing but the socket on which it does so.  Whatever it does, the daemon goes on: it is killed when its
 * time is over, and its answer is bytes that nobody trusts.
 */
#ifndef DAEMON_CHILD_H
#define DAEMON_CHILD_H

#include <stddef.h>
#include <stdint.h>

struct child;
struct event_base;

#define CHILD_ANSWER_MAX ((size_t)64 << 20)     /* bytes */
#define CHILD_PATIENCE 5        /* on a busy host a process waits for its turn, and that is not its fault */

struct child_options {
    struct event_base *base;
    int executable;             /* descriptor of the file to execute; borrowed */
    const char *stage;          /* its one argument besides `seconds`: translator.h */
    unsigned seconds;           /* of a processor, that it may take; and CHILD_PATIENCE times as many of the clock */
    /*
     * It has ended; `failure` NULL: with a whole answer (borrowed).  Else a clause that says how it failed.  Called
     * from the event loop, never from child_start; may free the child.
     */
    void (*done)(void *userdata, const char *failure, const void *answer, size_t size);
    void *userdata;
};

/*
 * Start one, and write `request` (malloc; taken over, success or not) to it.  -ENOMEM; others of socketpair(2) and
 * posix_spawn(3).
 */
int child_start(const struct child_options *options, void *request, size_t size, struct child **ret);

/* Kills it where it has not ended.  NULL is fine; returns NULL. */
struct child *child_free(struct child *child);

#endif
