/* SPDX-License-Identifier: MIT */
#include "inheritance.h"

#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "arena.h"
#include "call.h"
#include "daemon.h"
#include "log.h"
#include "memory.h"
#include "process.h"
#include "runtime/seat.h"
#include "snapshot.h"
#include "store.h"
#include "supervisor.h"
#include "util.h"

/* A worker of the database that lives and has not come yet. */
struct candidate {
    LIST_ENTRY(candidate) entry;
    pid_t pid;
    int pidfd;
    struct event *ended;
};

struct postponed {
    STAILQ_ENTRY(postponed) entry;
    struct call *call;
};

_Static_assert(STORE_ARENA_MAX == SNAPSHOT_IDENTITY_MAX, "one text");

struct inheritance {
    struct daemon *daemon;
    struct store_arena known;           /* what the database says of the arena before */
    char origin[STORE_ARENA_MAX];       /* identity in the snapshot that was read; "": none */
    bool claiming;                      /* an arena that is handed back is taken */
    int descriptor;                     /* it was */
    bool has_maps;
    LIST_HEAD(, candidate) candidates;
    STAILQ_HEAD(, postponed) postponed; /* in the order in which they came */
};

const char *arena_origin_name(enum arena_origin origin)
{
    static const char *const name[] = {
        [ARENA_NEW] = "new", [ARENA_OF_STORE] = "store", [ARENA_OF_WORKER] = "worker", [ARENA_OF_SNAPSHOT] = "snapshot",
        [ARENA_LOST] = "lost",
    };

    return name[origin];
}

bool arena_survived(enum arena_origin origin)
{
    return origin != ARENA_NEW && origin != ARENA_LOST;
}

/* ---- recognising --------------------------------------------------------------------------------------- */

/*
 * Inodes of memfds are not used again until the next boot.  (Before Linux 5.9 they have 32 bits.  Whoever makes 2^32
 * memfds to get ours can give us his own contents, and any worker can have that for less.)  A layout of another version
 * is another arena.  -ENOENT and others where /proc does not say which boot.
 */
static int identify(int descriptor, char ret[STORE_ARENA_MAX])
{
    char boot[37] = "";
    struct stat status;
    FILE *file;

    if (fstat(descriptor, &status) < 0)
        return -errno;
    file = fopen("/proc/sys/kernel/random/boot_id", "re");
    if (!file)
        return -errno;
    if (!fgets(boot, sizeof(boot), file))
        boot[0] = 0;
    fclose(file);
    snprintf(ret, STORE_ARENA_MAX, "%s %" PRIu64 ":%" PRIu64 " version %u", boot, (uint64_t)status.st_dev,
             (uint64_t)status.st_ino, ARENA_VERSION);
    return boot[0] ? 0 : -EBADMSG;
}

/* NULL: it is the arena of that identity, and fit to be mapped. */
static const char *find_mistake(int descriptor, const char *identity)
{
    const char *mistake = memory_arena_mistake(descriptor);
    char found[STORE_ARENA_MAX];

    if (mistake)
        return mistake;
    if (identify(descriptor, found) < 0 || strcmp(found, identity) != 0)
        return "it is another file than the arena";
    return NULL;
}

/* All workers hand back what they have with every Join: nothing is said of what nobody needs. */
const char *inheritance_offer(struct daemon *daemon, int given)
{
    _cleanup_close_ int descriptor = given;
    struct inheritance *inheritance = daemon->inheritance;
    const char *mistake;

    if (!inheritance || !inheritance->claiming)
        return NULL;
    mistake = find_mistake(descriptor, inheritance->known.identity);
    if (mistake || inheritance->descriptor >= 0)
        return mistake;
    inheritance->descriptor = memory_reopen_arena(descriptor);
    return inheritance->descriptor < 0 ? "it cannot be opened anew, perhaps as another user made it" : NULL;
}

/* ---- workers that may have it -------------------------------------------------------------------------- */

static void forget_candidate(struct candidate *candidate)
{
    LIST_REMOVE(candidate, entry);
    if (candidate->ended)
        event_free(candidate->ended);
    close_descriptor(&candidate->pidfd);
    free(candidate);
}

static void on_candidate_ended(evutil_socket_t descriptor, short events, void *candidate)
{
    (void)descriptor, (void)events;
    forget_candidate(candidate);
}

/* Whoever is gone, or cannot be watched, is not waited for. */
static int add_candidate(void *userdata, pid_t pid, uint64_t start_time, uid_t uid, const char *name,
                         const char *counted)
{
    struct inheritance *inheritance = userdata;
    struct candidate *candidate;
    int pidfd;

    (void)uid, (void)name, (void)counted;
    pidfd = process_open(pid, start_time);
    if (pidfd < 0)
        return 0;
    candidate = calloc(1, sizeof(*candidate));
    if (!candidate) {
        close_descriptor(&pidfd);
        return -ENOMEM;
    }
    *candidate = (struct candidate){ .pid = pid, .pidfd = pidfd };
    LIST_INSERT_HEAD(&inheritance->candidates, candidate, entry);
    candidate->ended = event_new(inheritance->daemon->base, pidfd, EV_READ, on_candidate_ended, candidate);
    if (!candidate->ended || event_add(candidate->ended, NULL) < 0)
        forget_candidate(candidate);
    return 0;
}

int inheritance_postpone(struct inheritance *inheritance, struct call *call)
{
    struct postponed *postponed = calloc(1, sizeof(*postponed));
    struct candidate *candidate, *next;

    if (!postponed)
        return -ENOMEM;
    postponed->call = call_get(call);
    STAILQ_INSERT_TAIL(&inheritance->postponed, postponed, entry);
    for (candidate = LIST_FIRST(&inheritance->candidates); candidate; candidate = next) {
        next = LIST_NEXT(candidate, entry);
        if (candidate->pid == call_peer(call)->pid)
            forget_candidate(candidate);
    }
    return 0;
}

static void forget_candidates(struct inheritance *inheritance)
{
    while (!LIST_EMPTY(&inheritance->candidates))
        forget_candidate(LIST_FIRST(&inheritance->candidates));
}

/* ---- starting ------------------------------------------------------------------------------------------ */

int inheritance_begin(struct daemon *daemon)
{
    struct inheritance *inheritance = calloc(1, sizeof(*inheritance));
    int r;

    if (!inheritance)
        return -ENOMEM;
    *inheritance = (struct inheritance){ .daemon = daemon, .descriptor = -EBADF };
    LIST_INIT(&inheritance->candidates);
    STAILQ_INIT(&inheritance->postponed);
    daemon->inheritance = inheritance;
    r = store_arena(daemon->store, &inheritance->known);
    return r < 0 ? r : store_has_maps(daemon->store, &inheritance->has_maps);
}

static void on_patience(evutil_socket_t descriptor, short events, void *is_over)
{
    (void)descriptor, (void)events;
    *(bool *)is_over = true;
}

/* Until one has handed it back, or all have come or ended. */
static int wait_for_workers(struct inheritance *inheritance)
{
    const struct timeval patience = { INHERITANCE_PATIENCE_S, 0 };
    bool is_over = false;
    struct event *timer;
    int r;

    timer = evtimer_new(inheritance->daemon->base, on_patience, &is_over);
    if (!timer || evtimer_add(timer, &patience) < 0)
        is_over = true;
    supervisor_starting(2 * INHERITANCE_PATIENCE_S, "waiting for a worker that has the arena");
    inheritance->claiming = true;
    r = store_read_workers(inheritance->daemon->store, add_candidate, inheritance);
    while (r >= 0 && !is_over && inheritance->descriptor < 0 && !LIST_EMPTY(&inheritance->candidates))
        if (event_base_loop(inheritance->daemon->base, EVLOOP_ONCE) < 0)
            r = -EIO;
    inheritance->claiming = false;
    if (is_over)
        log_line(LOG_WARNING, "the workers that live have not come back in %d s", INHERITANCE_PATIENCE_S);
    forget_candidates(inheritance);
    if (timer)
        event_free(timer);
    return r < 0 ? r : TAKE_DESCRIPTOR(inheritance->descriptor);
}

int inheritance_claim(struct inheritance *inheritance, int given)
{
    _cleanup_close_ int kept = given;
    const char *mistake;
    int found;

    if (kept >= 0) {
        mistake = find_mistake(kept, inheritance->known.identity);
        if (!mistake) {
            inheritance->daemon->arena_origin = ARENA_OF_STORE;
            return TAKE_DESCRIPTOR(kept);
        }
        log_line(LOG_WARNING, "the arena in systemd's descriptor store is of no use: %s", mistake);
    }
    if (!inheritance->has_maps || !inheritance->known.identity[0])
        return -EBADF;
    found = wait_for_workers(inheritance);
    if (found >= 0)
        inheritance->daemon->arena_origin = ARENA_OF_WORKER;
    return found;
}

/* ---- the new one --------------------------------------------------------------------------------------- */

/* Of the arena that was, or of the one that this was made from and that had not begun to serve. */
static bool is_our_snapshot(const struct inheritance *inheritance, const char *identity)
{
    const struct store_arena *known = &inheritance->known;

    return identity[0] && (!strcmp(identity, known->identity) || !strcmp(identity, known->origin));
}

/* Why it is of no use to anybody; NULL: it may be, another time. */
static const char *snapshot_mistake(int r)
{
    switch (r) {
    case -ESTALE:
        return "it is older than what the maps had last";
    case -EBADMSG:
        return "it is damaged";
    case -EPROTO:
        return "it is of another version";
    default:
        return NULL;
    }
}

static int read_snapshot(struct inheritance *inheritance, const char *directory)
{
    char identity[SNAPSHOT_IDENTITY_MAX];
    size_t bytes;
    int r;

    r = snapshot_identity(directory, identity);
    if (r >= 0 && !is_our_snapshot(inheritance, identity))
        r = -ESTALE;
    if (r >= 0)
        r = snapshot_read(directory, inheritance->daemon->memory->arena_descriptor, &bytes);
    if (r < 0)
        return r;
    strcpy(inheritance->origin, identity);
    log_line(LOG_INFO, "maps have the contents of the snapshot, %zu bytes", bytes);
    return 0;
}

int inheritance_fill(struct inheritance *inheritance, const char *directory)
{
    struct daemon *daemon = inheritance->daemon;
    int r;

    if (arena_survived(daemon->arena_origin)) {
        log_line(LOG_INFO, "the arena came back: %s", arena_origin_name(daemon->arena_origin));
        return 0;
    }
    if (!inheritance->has_maps)
        return 0;
    r = read_snapshot(inheritance, directory);
    if (r < 0 && r != -ENOENT && !snapshot_mistake(r))
        return r;
    daemon->arena_origin = r < 0 ? ARENA_LOST : ARENA_OF_SNAPSHOT;
    if (r >= 0)
        return 0;
    if (snapshot_mistake(r))
        log_line(LOG_WARNING, "the snapshot of the arena is of no use: %s", snapshot_mistake(r));
    log_line(LOG_WARNING, "maps are empty: no worker and no descriptor store has the arena any more");
    return memory_discard_arena(daemon->memory, 0, DD_ARENA_SIZE);      /* half a snapshot */
}

/*
 * The identity is stored before the snapshot goes, with the snapshot's, so that a daemon which ends in between leaves
 * one that is still of use; and alone once it must not be used any more, whether it could be removed or not.
 */
int inheritance_record(struct inheritance *inheritance, const char *directory)
{
    struct daemon *daemon = inheritance->daemon;
    struct store_arena arena = { 0 };
    int r;

    strcpy(arena.origin, inheritance->origin);
    r = identify(daemon->memory->arena_descriptor, arena.identity);
    if (r < 0)
        log_line(LOG_WARNING, "the arena will not be recognised after a restart: /proc/sys/kernel/random/boot_id: %s",
                 strerror(-r));
    r = store_set_arena(daemon->store, &arena);
    if (r < 0)
        return r;
    if (daemon->arena_origin != ARENA_OF_STORE)
        supervisor_keep("arena", daemon->memory->arena_descriptor);
    r = snapshot_remove(directory);
    if (r < 0)
        log_line(LOG_WARNING, "cannot remove the snapshot of the arena in %s: %s", directory, strerror(-r));
    if (!arena.origin[0])
        return 0;
    arena.origin[0] = 0;
    return store_set_arena(daemon->store, &arena);
}

void inheritance_end(struct daemon *daemon, void (*join)(struct call *call, void *daemon))
{
    struct inheritance *inheritance = daemon->inheritance;
    struct postponed *postponed;

    if (!inheritance)
        return;
    daemon->inheritance = NULL;
    while ((postponed = STAILQ_FIRST(&inheritance->postponed))) {
        STAILQ_REMOVE_HEAD(&inheritance->postponed, entry);
        if (join && call_connection(postponed->call))
            join(postponed->call, daemon);
        call_put(postponed->call);
        free(postponed);
    }
    forget_candidates(inheritance);
    close_descriptor(&inheritance->descriptor);
    free(inheritance);
}

/* ---- stopping ------------------------------------------------------------------------------------------ */

void inheritance_leave(struct daemon *daemon, const char *directory)
{
    char identity[STORE_ARENA_MAX];
    struct timespec begin, end;
    bool has_maps = false;
    size_t bytes;
    int r;

    if (store_has_maps(daemon->store, &has_maps) < 0 || !has_maps)
        return;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    r = identify(daemon->memory->arena_descriptor, identity);
    if (r >= 0)
        r = snapshot_write(directory, daemon->arena, daemon->memory->arena_descriptor, identity, &bytes);
    clock_gettime(CLOCK_MONOTONIC, &end);
    if (r < 0)
        log_line(LOG_WARNING, "no snapshot of the maps in %s: %s", directory, strerror(-r));
    else
        log_line(LOG_INFO, "snapshot of the maps: %zu bytes in %.3f s", bytes,
                 (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9);
}
