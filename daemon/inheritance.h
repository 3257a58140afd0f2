/* SPDX-License-Identifier: MIT */
/*
 * Inheritance: how a daemon that starts comes by the arena of the one before, so that maps keep their contents.
 *
 * In this order, the first that has it:
 *      store       systemd's descriptor store, to which each daemon gives its arena
 *      worker      a living worker, which hands it back with its Join
 *      snapshot    what the daemon before wrote when it was stopped (snapshot.h)
 *      new         it is empty
 *
 * An arena is recognised by what the database says of it: boot, device and inode of its memfd; its seals and its size
 * are checked.  Nobody's word counts, and nothing that is in it does.  A worker that hands back something else gains
 * nothing: it is named in the log, and goes on with the arena that there is.
 *
 * Workers come back anyway, with a Join.  Until the daemon is ready Joins are taken and not answered; those of workers
 * that the database knows are waited for, if it also has maps, and for no longer than INHERITANCE_PATIENCE_S.
 *
 *      inheritance_begin       daemon->inheritance is there: Joins are postponed
 *      inheritance_claim       finds the arena
 *      inheritance_fill        if it had to be made: reads the snapshot
 *      inheritance_record      all is restored: from now on it is the one to be recognised, the snapshot is obsolete
 *      inheritance_end         Joins are answered
 *
 * So a start that fails leaves all as it was for the next try.
 */
#ifndef DAEMON_INHERITANCE_H
#define DAEMON_INHERITANCE_H

#include <stdbool.h>

struct call;
struct daemon;
struct inheritance;

#define INHERITANCE_PATIENCE_S 10

enum arena_origin { ARENA_NEW, ARENA_OF_STORE, ARENA_OF_WORKER, ARENA_OF_SNAPSHOT, ARENA_LOST };

/* "new", "store", "worker", "snapshot"; "lost": it is new, though maps had contents, which nobody brought. */
const char *arena_origin_name(enum arena_origin origin);

/* Do maps have the contents that they had? */
bool arena_survived(enum arena_origin origin);

/* -ENOMEM; of store_arena().  The store, and the loop, are there. */
int inheritance_begin(struct daemon *daemon);

/*
 * kept: what systemd's store had, taken over; -EBADF: nothing.  The worker listener is open: the loop runs while this
 * waits.  Returns the arena's memfd, the caller's.  -EBADF: nobody has it, a new one must be made; -ENOMEM, -EIO and
 * others of the database: it is not known whether somebody has it.
 */
int inheritance_claim(struct inheritance *inheritance, int kept);

/*
 * daemon->memory is there.  Sets daemon->arena_origin.
 * Of snapshot_read(), where the snapshot may be of use another time.
 */
int inheritance_fill(struct inheritance *inheritance, const char *state_directory);

/* Of store_set_arena(). */
int inheritance_record(struct inheritance *inheritance, const char *state_directory);

/* Postponed Joins go to `join`; NULL: the start failed, and they are dropped. */
void inheritance_end(struct daemon *daemon, void (*join)(struct call *call, void *daemon));

/* Keep a Join until inheritance_end().  -ENOMEM. */
int inheritance_postpone(struct inheritance *inheritance, struct call *call);

/*
 * A worker hands this descriptor back, which is taken over.  NULL: it is taken, or not needed;
 * else why it is refused.
 */
const char *inheritance_offer(struct daemon *daemon, int descriptor);

/* When the daemon is stopped: write the snapshot.  Failures are logged. */
void inheritance_leave(struct daemon *daemon, const char *state_directory);

#endif
