/* SPDX-License-Identifier: MIT */
#include "workers.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "connection.h"
#include "counted_lines.h"
#include "grace_driver.h"
#include "log.h"
#include "memory.h"
#include "process.h"
#include "seats.h"
#include "statistics.h"
#include "store.h"
#include "util.h"

struct worker {
    TAILQ_ENTRY(worker) entry;
    struct workers *workers;
    pid_t pid;                          /* 0: a forked child that has not spoken yet */
    uid_t uid;
    uint64_t start_time;                /* clock ticks since boot: with the pid it names the process for ever */
    char name[NAME_LENGTH_MAX + 1];
    int pidfd;                          /* -EBADF: none yet */
    struct event *ended;                /* the pidfd is readable */
    struct connection *connection;      /* NULL: disconnected, or unmoved */
    struct lines *lines;                /* NULL: unmoved */
    struct counted_lines *counted;      /* the same, as their counters are read */
    char *counted_text;                 /* unmoved: how far the daemon before had read them */
    uint64_t generation;                /* that all its threads run; 0 or an earlier one before it has moved */
    struct table **table;
    bool *no_indirect;                  /* of each: it is called without indirect branches */
    size_t tables;
    struct native **native;
    size_t natives;
    uint64_t number;                    /* in the order in which they came */
    bool removed;                       /* freed when nobody iterates */
};

struct workers {
    struct daemon *daemon;
    TAILQ_HEAD(, worker) list;
    size_t count;
    uint64_t last_number;
    unsigned iterating;
};

const char *worker_state_name(enum worker_state state)
{
    static const char *const name[] = { "current", "moving", "unmoved", "disconnected" };

    return name[state];
}

static enum worker_state worker_state(const struct worker *worker)
{
    if (!worker->lines)
        return WORKER_UNMOVED;
    if (!worker->connection)
        return WORKER_DISCONNECTED;
    return worker->generation == worker->workers->daemon->generation ? WORKER_CURRENT : WORKER_MOVING;
}

/* ---- the life of the object ---------------------------------------------------------------------------- */

static struct grace *grace_of(const struct workers *workers)
{
    return grace_driver_grace(workers->daemon->grace);
}

static struct worker *worker_free(struct worker *worker)
{
    if (!worker)
        return NULL;
    for (size_t i = 0; i < worker->tables; i++) {
        worker->table[i]->workers--;
        worker->table[i]->workers_no_indirect -= worker->no_indirect[i];
    }
    for (size_t i = 0; i < worker->natives; i++)
        worker->native[i]->workers--;
    statistics_remove_lines(worker->workers->daemon->statistics, worker->counted);
    free(worker->counted_text);
    if (worker->lines) {
        grace_remove(grace_of(worker->workers), worker->lines);
        lines_free(worker->lines);
    }
    if (worker->ended)
        event_free(worker->ended);
    close_descriptor(&worker->pidfd);
    free(worker->table);
    free(worker->no_indirect);
    free(worker->native);
    free(worker);
    return NULL;
}

static void workers_sweep(struct workers *workers)
{
    struct worker *worker, *next;

    if (workers->iterating)
        return;
    for (worker = TAILQ_FIRST(&workers->list); worker; worker = next) {
        next = TAILQ_NEXT(worker, entry);
        if (!worker->removed)
            continue;
        TAILQ_REMOVE(&workers->list, worker, entry);
        worker_free(worker);
    }
}

/*
 * A process that joins for the first time has generation 0 until it runs in this one: it counts as well, for a moment.
 * Those of the list are asked first, as they have names; the kernel knows of all others.
 */
bool workers_have_moved(const struct workers *workers)
{
    const struct worker *worker;

    TAILQ_FOREACH(worker, &workers->list, entry)
        if (!worker->removed && worker->generation != workers->daemon->generation)
            return false;
    return !memory_has_earlier_windows(workers->daemon->memory);
}

void workers_settle_arena(struct workers *workers)
{
    if (workers_have_moved(workers))
        arena_settle(workers->daemon->arena);
}

/* The process is gone, or its record is replaced (who replaces it writes the row anew). */
static void worker_remove(struct worker *worker)
{
    struct workers *workers = worker->workers;

    if (worker->removed)
        return;
    worker->removed = true;
    workers->count--;
    if (worker->connection)
        connection_set_userdata(worker->connection, NULL);
    if (worker->pid)
        store_remove_worker(workers->daemon->store, worker->pid);
    workers_settle_arena(workers);
    workers_sweep(workers);
}

static void on_ended(evutil_socket_t descriptor, short events, void *userdata)
{
    struct worker *worker = userdata;

    (void)descriptor;
    (void)events;
    /* Read its socket to the end first: a child that it announced must be known before its parent is forgotten. */
    if (worker->connection)
        connection_drain(worker->connection);
    if (worker->lines) {
        lines_set_dead(worker->lines);
        seats_end(worker->workers->daemon->seats, worker->lines);
    }
    worker_remove(worker);
}

/* Records cost memory and a look in each wait, and a hostile process can make them without keeping a connection. */
static bool uid_is_full(const struct workers *workers, uid_t uid)
{
    const struct worker *worker;
    size_t count = 0;

    TAILQ_FOREACH(worker, &workers->list, entry)
        count += !worker->removed && worker->uid == uid;
    return count >= WORKERS_PER_UID;
}

static int worker_new(struct workers *workers, const char *name, uid_t uid, struct worker **ret)
{
    struct worker *worker;

    if (uid_is_full(workers, uid))
        return -EUSERS;
    worker = calloc(1, sizeof(*worker));
    if (!worker)
        return -ENOMEM;
    worker->workers = workers;
    worker->uid = uid;
    worker->pidfd = -EBADF;
    /* The name is for people: what is not plain text in it is not shown. */
    snprintf(worker->name, sizeof(worker->name), "%s", name);
    for (char *c = worker->name; *c; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
    *ret = worker;
    return 0;
}

static void worker_enter(struct worker *worker)
{
    TAILQ_INSERT_TAIL(&worker->workers->list, worker, entry);
    worker->workers->count++;
    worker->number = ++worker->workers->last_number;
}

/* ---- records ------------------------------------------------------------------------------------------- */

/* The process behind a pidfd (taken over on success) is this worker's. */
static int worker_identify(struct worker *worker, pid_t pid, uid_t uid, int pidfd)
{
    uint64_t start_time;
    int r;

    r = process_start_time(pid, &start_time);
    if (r < 0)
        return r == -ENOENT ? -ESRCH : r;
    worker->ended = event_new(worker->workers->daemon->base, pidfd, EV_READ, on_ended, worker);
    if (!worker->ended || event_add(worker->ended, NULL) < 0)
        return -ENOMEM;
    worker->pid = pid;
    worker->uid = uid;
    worker->start_time = start_time;
    worker->pidfd = pidfd;
    return 0;
}

static struct worker *find_record(struct workers *workers, pid_t pid, enum worker_state state)
{
    struct worker *worker;

    TAILQ_FOREACH(worker, &workers->list, entry)
        if (!worker->removed && worker->pid == pid && worker_state(worker) == state)
            return worker;
    return NULL;
}

static void remember(struct worker *worker)
{
    int r = store_add_worker(worker->workers->daemon->store, worker->pid, worker->start_time, worker->uid,
                             worker->name);

    if (r < 0)
        log_line(LOG_WARNING, "worker %d \"%s\": not recorded for a restart: %s", (int)worker->pid, worker->name,
                 store_error(worker->workers->daemon->store));
}

/*
 * A process that joins with new lines makes earlier records of it obsolete: that of the daemon before, and that of the
 * program which it ran before an exec, whose threads are all gone.
 */
static void forget_obsolete(struct workers *workers, pid_t pid)
{
    struct worker *worker;

    worker = find_record(workers, pid, WORKER_UNMOVED);
    if (worker)
        worker_remove(worker);
    worker = find_record(workers, pid, WORKER_DISCONNECTED);
    if (worker && lines_threads(worker->lines) == 0)
        worker_remove(worker);
}

int workers_remember(struct workers *workers, pid_t pid, uint64_t start_time, uid_t uid, const char *name,
                     const char *counted)
{
    _cleanup_close_ int pidfd = process_pidfd(pid);
    struct worker *worker;
    int r;

    if (pidfd < 0)
        return 0;
    r = worker_new(workers, name, uid, &worker);
    if (r < 0)
        return r;
    r = worker_identify(worker, pid, uid, pidfd);
    if (r < 0 || worker->start_time != start_time) {
        if (r >= 0)
            TAKE_DESCRIPTOR(pidfd);
        worker_free(worker);
        return r == -ENOMEM ? r : 0;
    }
    TAKE_DESCRIPTOR(pidfd);
    worker->counted_text = strdup(counted);     /* without memory some runs are not counted */
    worker_enter(worker);
    return 0;
}

void workers_store_counted(struct workers *workers)
{
    struct store *store = workers->daemon->store;
    const struct worker *worker;
    int r;

    r = store_begin_unsynchronised(store);
    TAILQ_FOREACH(worker, &workers->list, entry) {
        _cleanup_free_ char *text = worker->counted && worker->pid ? counted_lines_text(worker->counted) : NULL;

        if (r >= 0 && text)
            r = store_set_counted(store, worker->pid, text);
    }
    if (store_end_unsynchronised(store, r) < 0)
        log_line(LOG_WARNING, "the next dispatchd will miss what is counted until it starts: %s", store_error(store));
}

/* How far the daemon before had read the counters of a process. */
static const char *counted_before(struct workers *workers, pid_t pid)
{
    const struct worker *worker = find_record(workers, pid, WORKER_UNMOVED);

    return worker && worker->counted_text ? worker->counted_text : "";
}

static int join_again(struct workers *workers, struct connection *connection, struct worker **ret)
{
    struct worker *worker = find_record(workers, connection_peer(connection)->pid, WORKER_DISCONNECTED);

    if (!worker)
        return -ENOENT;
    worker_connect(worker, connection);
    *ret = worker;
    return 0;
}

int workers_join(struct workers *workers, struct connection *connection, const char *name, struct lines *lines,
                 struct worker **ret)
{
    const struct ucred *peer = connection_peer(connection);
    _cleanup_close_ int pidfd = -EBADF;
    struct worker *worker;
    int r;

    if (!lines)
        return join_again(workers, connection, ret);
    pidfd = process_peer_pidfd(connection_descriptor(connection), connection_peer(connection)->pid);
    if (pidfd < 0)
        return pidfd;
    r = worker_new(workers, name, peer->uid, &worker);
    if (r < 0)
        return r;
    r = worker_identify(worker, peer->pid, peer->uid, pidfd);
    if (r >= 0) {
        TAKE_DESCRIPTOR(pidfd);
        r = grace_add(grace_of(workers), lines);
    }
    if (r < 0) {
        worker_free(worker);
        return r;
    }
    worker->lines = lines;
    worker_enter(worker);
    worker_connect(worker, connection);
    *ret = worker;
    return 0;
}

/* Its lines are read from here on, not before: what a refused process has counted is for its next try. */
int worker_accept(struct worker *worker)
{
    struct workers *workers = worker->workers;
    int r;

    if (worker->counted)
        return 0;                       /* it joins again */
    r = statistics_add_lines(workers->daemon->statistics, worker->lines, false, counted_before(workers, worker->pid),
                             &worker->counted);
    if (r < 0)
        return r;
    forget_obsolete(workers, worker->pid);
    lines_set_adopted(worker->lines);
    remember(worker);
    return 0;
}

void worker_refuse(struct worker *worker)
{
    connection_set_userdata(worker->connection, NULL);
    worker->connection = NULL;
    if (worker->counted)
        return;                         /* it had joined before, and is still known */
    worker->removed = true;
    worker->workers->count--;
    workers_sweep(worker->workers);
}

/* ---- forked children ----------------------------------------------------------------------------------- */

int workers_fork(struct workers *workers, struct worker *parent, struct lines *lines, struct worker **ret)
{
    struct worker *worker;
    int r;

    r = worker_new(workers, parent->name, parent->uid, &worker);
    if (r < 0)
        return r;
    for (size_t i = 0; r >= 0 && i < parent->tables; i++)
        r = worker_add_table(worker, parent->table[i], parent->no_indirect[i]);
    for (size_t i = 0; r >= 0 && i < parent->natives; i++)
        r = worker_add_native(worker, parent->native[i]);
    if (r >= 0)
        r = statistics_add_lines(workers->daemon->statistics, lines, true, "", &worker->counted);
    if (r >= 0)
        r = grace_add(grace_of(workers), lines);
    if (r < 0) {
        worker_free(worker);
        return r;
    }
    worker->lines = lines;
    worker->generation = parent->generation;
    worker_enter(worker);
    *ret = worker;
    return 0;
}

/*
 * The kernel says who sent the message, as a number.  Its process may have ended since, and the number be another's:
 * then that one is watched, and the record stays for as long as it lives.  It holds nothing: lines count by what they
 * say themselves, and those of dead threads do not.
 */
int worker_adopt(struct worker *worker, pid_t pid, uid_t uid)
{
    _cleanup_close_ int pidfd = process_pidfd(pid);
    int r;

    if (pidfd < 0)
        return pidfd;
    r = worker_identify(worker, pid, uid, pidfd);
    if (r < 0)
        return r;
    TAKE_DESCRIPTOR(pidfd);
    lines_set_adopted(worker->lines);
    remember(worker);
    return 0;
}

bool worker_adopted(const struct worker *worker)
{
    return worker->pid != 0;
}

/* ---- conversation -------------------------------------------------------------------------------------- */

void worker_connect(struct worker *worker, struct connection *connection)
{
    worker->connection = connection;
    connection_set_userdata(connection, worker);
}

/*
 * End of file ends the conversation, not the worker: it may have closed its descriptors and run on.  A child that never
 * spoke has no pidfd; its lines are gone if nobody took them before the end of file (fork failed, or the child died
 * first).
 */
void worker_disconnect(struct worker *worker)
{
    worker->connection = NULL;
    lines_set_end_of_file(worker->lines);
    if (!worker_adopted(worker) && lines_threads(worker->lines) == 0)
        worker_remove(worker);
}

/* If it lies, the code that it still runs is freed under it alone. */
void worker_leave(struct worker *worker)
{
    worker_remove(worker);
}

void worker_moved(struct worker *worker)
{
    worker->generation = worker->workers->daemon->generation;
    workers_settle_arena(worker->workers);
}

bool worker_has_table(const struct worker *worker, const char *name)
{
    for (size_t i = 0; i < worker->tables; i++)
        if (!strcmp(worker->table[i]->name, name))
            return true;
    return false;
}

size_t worker_tables(const struct worker *worker)
{
    return worker->tables;
}

const char *worker_name(const struct worker *worker)
{
    return worker->name;
}

pid_t worker_pid(const struct worker *worker)
{
    return worker->pid;
}

/* Room for one more; what grew stays so. */
static int make_table_room(struct worker *worker)
{
    struct table **table = reallocarray(worker->table, worker->tables + 1, sizeof(*table));
    bool *no_indirect;

    if (!table)
        return -ENOMEM;
    worker->table = table;
    no_indirect = reallocarray(worker->no_indirect, worker->tables + 1, sizeof(*no_indirect));
    if (!no_indirect)
        return -ENOMEM;
    worker->no_indirect = no_indirect;
    return 0;
}

int worker_add_table(struct worker *worker, struct table *table, bool no_indirect)
{
    size_t i = 0;
    int r;

    while (i < worker->tables && worker->table[i] != table)
        i++;
    if (i == WORKER_TABLES_MAX)
        return -EDQUOT;
    if (i == worker->tables) {
        r = make_table_room(worker);
        if (r < 0)
            return r;
        worker->table[i] = table;
        worker->no_indirect[i] = false;
        worker->tables++;
        table->workers++;
    }
    table->workers_no_indirect += no_indirect && !worker->no_indirect[i];
    worker->no_indirect[i] |= no_indirect;
    return 0;
}

int worker_add_native(struct worker *worker, struct native *native)
{
    struct native **larger;

    for (size_t i = 0; i < worker->natives; i++)
        if (worker->native[i] == native)
            return 0;
    if (worker->natives == WORKER_NATIVES_MAX)
        return -EDQUOT;
    larger = reallocarray(worker->native, worker->natives + 1, sizeof(*larger));
    if (!larger)
        return -ENOMEM;
    worker->native = larger;
    worker->native[worker->natives++] = native;
    native->workers++;
    return 0;
}

/* ---- all of them --------------------------------------------------------------------------------------- */

int workers_new(struct daemon *daemon, struct workers **ret)
{
    struct workers *workers = calloc(1, sizeof(*workers));

    if (!workers)
        return -ENOMEM;
    workers->daemon = daemon;
    TAILQ_INIT(&workers->list);
    *ret = workers;
    return 0;
}

struct workers *workers_free(struct workers *workers)
{
    struct worker *worker;

    if (!workers)
        return NULL;
    while ((worker = TAILQ_FIRST(&workers->list))) {
        TAILQ_REMOVE(&workers->list, worker, entry);
        worker_free(worker);
    }
    free(workers);
    return NULL;
}

/*
 * Messages may add workers (forks, at the tail: drained too) and remove them (at the end).  All handlers of
 * io.dispatchd.Worker answer before they return, so connection_drain is never held up by a call that is not answered
 * yet (-EBUSY): a Fork behind it would be missed.
 */
void workers_drain(void *userdata)
{
    struct workers *workers = userdata;
    struct worker *worker;

    workers->iterating++;
    TAILQ_FOREACH(worker, &workers->list, entry)
        if (!worker->removed && worker->connection && connection_drain(worker->connection) == -EBUSY)
            assert(!"a handler of io.dispatchd.Worker answers later");
    workers->iterating--;
    workers_sweep(workers);
}

const struct lines *workers_lines(const struct workers *workers, uint64_t inode)
{
    const struct worker *worker;

    TAILQ_FOREACH(worker, &workers->list, entry)
        if (!worker->removed && worker->lines && lines_inode(worker->lines) == inode)
            return worker->lines;
    return NULL;
}

size_t workers_count(const struct workers *workers)
{
    return workers->count;
}

bool workers_view(const struct workers *workers, uint64_t after,
                  bool (*view)(void *userdata, const struct worker_view *worker), void *userdata)
{
    uint64_t awaited = grace_awaited(grace_of(workers));
    const struct worker *worker;

    TAILQ_FOREACH(worker, &workers->list, entry) {
        struct worker_view v = {
            .number = worker->number, .pid = worker->pid, .uid = worker->uid, .name = worker->name,
            .generation = worker->generation, .current = workers->daemon->generation, .state = worker_state(worker),
            .table = worker->table, .tables = worker->tables, .native = worker->native, .natives = worker->natives,
        };

        if (worker->removed || worker->number <= after)
            continue;
        if (worker->lines) {
            v.holding = awaited && lines_holding(worker->lines, awaited);
            v.threads = lines_threads(worker->lines);
            v.leaked = lines_leaked(worker->lines);
        }
        if (!view(userdata, &v))
            return false;
    }
    return true;
}
