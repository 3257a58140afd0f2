/* SPDX-License-Identifier: MIT */
/*
 * Workers: which processes execute the image, how far each has come, and what ends them.
 *
 *      joined, has not moved yet ---- MOVING ---- Moved ----> CURRENT
 *      its socket showed end of file: DISCONNECTED (it runs on; only its pidfd, or its lines, end it)
 *      known from the daemon before, has not come back: UNMOVED (runs old code that nobody can poke)
 *
 * A worker is a process as the kernel names it: SO_PEERCRED and a pidfd, or for a forked child the credentials on
 * its first message.  Its lines are known to the grace periods from before it gets the image until it is known to
 * be gone.
 */
#ifndef DAEMON_WORKERS_H
#define DAEMON_WORKERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon.h"
#include "lines.h"

struct connection;
struct worker;
struct workers;

#define WORKER_TABLES_MAX 256
#define WORKER_NATIVES_MAX 1024
#define WORKERS_PER_UID 8192

enum worker_state { WORKER_CURRENT, WORKER_MOVING, WORKER_UNMOVED, WORKER_DISCONNECTED };
const char *worker_state_name(enum worker_state state);

/* -ENOMEM. */
int workers_new(struct daemon *daemon, struct workers **ret);
struct workers *workers_free(struct workers *workers);          /* NULL is fine; returns NULL */

/* A row of the database, at start: known to the daemon before.  Ignored (0) if that process is gone. */
int workers_remember(struct workers *workers, pid_t pid, uint64_t start_time, uid_t uid, const char *name,
                     const char *counted);

/* When the daemon stops: leave word of how far the workers' counters are read. */
void workers_store_counted(struct workers *workers);

/*
 * A process joins on this connection with its lines (taken over on success).  lines NULL: it joined this daemon
 * before and lost its socket; -ENOENT if not.  -ENOMEM; -ESRCH: it is gone already; -EUSERS: WORKERS_PER_UID.
 * In the same turn of the event loop one of the next two ends it.
 */
int workers_join(struct workers *workers, struct connection *connection, const char *name, struct lines *lines,
                 struct worker **ret);
/* It gets the image: earlier records of the process are obsolete now.  -ENOMEM: it is to be refused. */
int worker_accept(struct worker *worker);
/* It gets nothing: all is as before workers_join(). */
void worker_refuse(struct worker *worker);

/* A worker announces a child (lines taken over on success).  The child's connection is set by worker_connect. */
int workers_fork(struct workers *workers, struct worker *parent, struct lines *lines, struct worker **ret);

/* The child has spoken: it is this process. */
int worker_adopt(struct worker *worker, pid_t pid, uid_t uid);

void worker_connect(struct worker *worker, struct connection *connection);
void worker_disconnect(struct worker *worker);                  /* end of file */
void worker_leave(struct worker *worker);                       /* it says that it is done: forget it */
void worker_moved(struct worker *worker);
bool worker_adopted(const struct worker *worker);
bool worker_has_table(const struct worker *worker, const char *name);
size_t worker_tables(const struct worker *worker);
const char *worker_name(const struct worker *worker);
pid_t worker_pid(const struct worker *worker);

/*
 * The worker declares this table, perhaps again; no_indirect: it has hooks of it without indirect branches, for which
 * the table's code must have none.  -EDQUOT: too many; -ENOMEM.
 */
int worker_add_table(struct worker *worker, struct table *table, bool no_indirect);

/* The worker offers this native.  The same. */
int worker_add_native(struct worker *worker, struct native *native);

/* Does no process run, or know, an image of an earlier generation: none that is known, none that was not announced? */
bool workers_have_moved(const struct workers *workers);

/*
 * Once that is so, what earlier programs wrote to can be given to others.  Done where a worker moves or ends, and to be
 * done now and then: nobody tells of the end of a process that was never announced.
 */
void workers_settle_arena(struct workers *workers);

/* Step 4 of a wait: read what all workers have sent. */
void workers_drain(void *workers);

/* The lines of a process that is known, by their inode; NULL: of none. */
const struct lines *workers_lines(const struct workers *workers, uint64_t inode);

/* ---- for display ---- */

struct worker_view {
    uint64_t number;                    /* later ones have greater */
    pid_t pid;
    uid_t uid;
    const char *name;
    uint64_t generation, current;       /* the one it runs in, and the daemon's */
    enum worker_state state;
    bool holding;
    unsigned threads, leaked;
    struct table *const *table;
    size_t tables;
    struct native *const *native;
    size_t natives;
};

size_t workers_count(const struct workers *workers);
/* Those with a greater number than `after`, in this order, while `view` returns true; returns whether it always did. */
bool workers_view(const struct workers *workers, uint64_t after,
                  bool (*view)(void *userdata, const struct worker_view *worker), void *userdata);

#endif
