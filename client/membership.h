/* SPDX-License-Identifier: MIT */
/*
 * The membership: this process's relation to the daemon, as one state machine that never blocks.
 *
 *      NONE ----- connect, Join ----> JOINING ----- answer ----> JOINED
 *        ^                               |                          |
 *        |         refused, the daemon is gone, descriptors lost    |
 *        +------------------------------ + <------------------------+
 *
 * In all of them the process dispatches: from the default window until the first Join, then from the last window that a
 * daemon gave it.  While JOINED, tables that are new are declared, and a finished move is reported.
 *
 * Whatever fails is tried again: at once, then after 50 ms, doubling up to one second.
 *
 * All functions are called with the library's lock.
 */
#ifndef DISPATCHD_MEMBERSHIP_H
#define DISPATCHD_MEMBERSHIP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "conversation.h"
#include "dispatchd.h"
#include "mover.h"
#include "sockets.h"
#include "wakeup.h"

enum membership_phase {
    MEMBERSHIP_NONE,
    MEMBERSHIP_JOINING,
    MEMBERSHIP_JOINED,
};

struct membership {
    struct sockets sockets;             /* where a daemon may be; once joined: only there */
    char *name;
    struct wakeup wakeup;
    struct conversation conversation;
    struct mover mover;
    struct descriptor arena;            /* of the current window, for a daemon that has lost it */
    enum membership_phase phase;
    bool tried;                         /* there was an attempt */
    bool refused;                       /* and a daemon refused it */
    bool lines_sent;                    /* with the Join that is awaited */
    bool report_move;
    bool deaf;                          /* a wait for it was in vain: no other until it takes a call */
    dev_t image_device;                 /* of the current window's control page: tells daemons apart whose */
    ino_t image_inode;                  /* generations have one number */
    uint64_t highest_generation;
    pid_t daemon;                       /* process of the current window's daemon; 0: not visible from here; -1: gone */
    int64_t retry_at;                   /* CLOCK_MONOTONIC, milliseconds */
    int retry_ms, poll_ms;
    char error[sizeof(((struct dd_status *)0)->error)];
};

/* Begin.  socket: as sockets_find() has it.  name: copied.  -ENOMEM, -ENAMETOOLONG, of wakeup_open(). */
int membership_begin(struct membership *membership, const char *socket, const char *name);

/* Back to the default window; the mover may have to go on after it. */
void membership_unhook(struct membership *membership);

/* When the mover is done: tell the daemon that no thread of this process is in its code any more. */
void membership_leave(struct membership *membership);

/* End: closes the conversation and goes back to the default window.  The mover may have to go on after it. */
void membership_end(struct membership *membership);

/* Do what is due, and set the timer for what comes next. */
void membership_process(struct membership *membership);

/* Has the first attempt come to an end, one way or the other? */
bool membership_is_settled(const struct membership *membership);

/* Process, and wait, until joined or timeout_ms have passed.  The one function here that blocks. */
void membership_rejoin(struct membership *membership, int64_t timeout_ms);

enum dd_state membership_state(const struct membership *membership);

/* May a daemon still change the code of the current window?  Where its end was seen this may take 0.1 s to be sure. */
bool membership_is_live(const struct membership *membership);

/*
 * In a forked child: the conversation of the parent is not ours.  socket: our end of the one that the daemon was told
 * of, taken over; -EBADF: it was not told, so the child joins by itself, and until then runs its defaults if
 * live (membership_is_live() in the parent, and still here), else what it has.
 */
void membership_after_fork(struct membership *membership, int socket, bool live);

#endif
