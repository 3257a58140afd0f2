/* SPDX-License-Identifier: MIT */
/* dispatchd: starts, serves, stops. */
#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "arena.h"
#include "change.h"
#include "config.h"
#include "daemon.h"
#include "directory.h"
#include "explanation.h"
#include "grace_driver.h"
#include "interface.h"
#include "log.h"
#include "long_call.h"
#include "measurement.h"
#include "memory.h"
#include "options.h"
#include "planning.h"
#include "poke.h"
#include "restore.h"
#include "ring_stream.h"
#include "seats.h"
#include "service.h"
#include "shared_map.h"
#include "sockets.h"
#include "startup.h"
#include "statistics.h"
#include "store.h"
#include "supervisor.h"
#include "system.h"
#include "translation.h"
#include "translator.h"
#include "util.h"
#include "workers.h"

#define HOST_CHECK_POKES 20000

/* What one answer may hold: all links, if each had the longest names and numbers.  As proto/caller.c takes it. */
#define LISTING_BYTES_MAX ((size_t)64 << 20)

static int fail(enum startup_failure failure, const char *what, const char *reason)
{
    log_line(LOG_ERR, "%s: %s", what, reason);
    return -(int)failure;
}

/* ---- starting, one step a function; each returns 0 or a negative enum startup_failure ------------------ */

/* XDG allows the state directory's parents to be missing. */
static int make_directories(const char *path)
{
    char part[PATH_MAX];

    for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        snprintf(part, sizeof(part), "%.*s", (int)(slash - path), path);
        if (mkdir(part, 0755) < 0 && errno != EEXIST)
            return -errno;
    }
    return mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

static int fail_database(const char *path, int r, int version, const char *text)
{
    char reason[640];

    switch (r) {
    case -EPROTO:
        snprintf(reason, sizeof(reason),
                 "it has version %d, written by a newer dispatchd; run that one, or give another"
                 " --state-dir.  The database is unchanged", version);
        return fail(STARTUP_DATABASE_NEWER, path, reason);
    case -EBUSY:
        return fail(STARTUP_DATABASE, path, "another dispatchd has it open: stop it, or give another --state-dir");
    case -EACCES:
    case -EROFS:
        snprintf(reason, sizeof(reason), "%s: user %u may not write there", text, (unsigned)getuid());
        return fail(STARTUP_PERMISSION, path, reason);
    case -EBADMSG:
        snprintf(reason, sizeof(reason),
                 "%s: not a database of dispatchd, or damaged; move it away or restore it from a"
                 " backup", text);
        return fail(STARTUP_DATABASE, path, reason);
    default:
        return fail(STARTUP_DATABASE, path, text);
    }
}

static int fail_directory(const char *path, int r)
{
    bool forbidden = r == -EACCES || r == -EPERM || r == -EROFS;
    char reason[256];

    snprintf(reason, sizeof(reason), "cannot make this directory: %s: %s", strerror(-r),
             forbidden ? "start dispatchd as root, or with --user, or give another --state-dir"
                       : "give another --state-dir");
    return fail(forbidden ? STARTUP_PERMISSION : STARTUP_DATABASE, path, reason);
}

static int open_store(struct daemon *daemon, const struct options *options)
{
    char path[PATH_MAX + 16];
    const char *text;
    int version = 0, r;

    r = make_directories(options->state_directory);
    if (r < 0)
        return fail_directory(options->state_directory, r);
    snprintf(path, sizeof(path), "%s/dispatchd.db", options->state_directory);
    r = store_open(path, &daemon->store, &version, &text);
    if (r < 0)
        return fail_database(path, r, version, text);
    r = store_next_generation(daemon->store, &daemon->generation);
    return r < 0 ? fail_database(path, r, 0, store_error(daemon->store)) : 0;
}

static int check_host(void)
{
    int r = poke_check_host(architecture_native(), HOST_CHECK_POKES);

    if (r == -EIO)
        return fail(STARTUP_HOST, "host check",
                    "this processor does not execute an instruction slot correctly while it is"
                    " replaced; dispatchd cannot run here");
    if (r == -EACCES || r == -EPERM)
        return fail(STARTUP_MEMORY, memory_forbidden, strerror(-r));
    return r < 0 ? fail(STARTUP_HOST, "host check", strerror(-r)) : 0;
}

/* The worker listener is open: a worker may have the arena. */
static int make_memory(struct daemon *daemon, const struct options *options, struct sockets *sockets)
{
    const char *text;
    int arena, r;

    r = inheritance_begin(daemon);
    if (r < 0)
        return fail(STARTUP_DATABASE, options->state_directory, store_error(daemon->store));
    arena = inheritance_claim(daemon->inheritance, TAKE_DESCRIPTOR(sockets->arena));
    if (arena < 0 && arena != -EBADF)
        return fail(STARTUP_OTHER, "cannot ask workers for the arena", strerror(-arena));
    r = memory_new(daemon->generation, options->text_size, arena, &daemon->memory, &text);
    if (r < 0)
        return fail(STARTUP_MEMORY, text, strerror(-r));
    r = inheritance_fill(daemon->inheritance, options->state_directory);
    return r < 0 ? fail(STARTUP_OTHER, "cannot read the snapshot of maps", strerror(-r)) : 0;
}

/* All is restored: workers that waited for it get the image. */
static int welcome_workers(struct daemon *daemon, const struct options *options)
{
    if (inheritance_record(daemon->inheritance, options->state_directory) < 0)
        return fail(STARTUP_DATABASE, options->state_directory, store_error(daemon->store));
    workers_settle_arena(daemon->workers);
    inheritance_end(daemon, worker_join);
    return 0;
}

/* What programs need besides: before any of them, at the same place in the arena in all generations. */
static int place_system(struct daemon *daemon)
{
    _cleanup_(refusal_done) struct refusal refusal = { 0 };
    int r;

    r = system_place(daemon, &refusal);
    return r < 0 ? fail(STARTUP_MEMORY, "memory for the runtime of programs", refusal.error) : 0;
}

static int make_image(struct daemon *daemon, const struct options *options)
{
    int r;

    r = image_new(daemon->memory->text, daemon->memory->text_size, architecture_native(), memory_populate,
                  daemon->memory, &daemon->image);
    if (r < 0)
        return fail(STARTUP_OTHER, "image", strerror(-r));
    r = arena_new(daemon->memory, options->arena_quota, &daemon->arena);
    if (r < 0)
        return fail(STARTUP_OTHER, "arena", strerror(-r));
    if (directory_new(daemon, &daemon->directory) < 0)
        return fail(STARTUP_OTHER, "directory", strerror(ENOMEM));
    registry_init(&daemon->registry, daemon->image, daemon->memory->text_size, daemon->arena);
    daemon->registry.no_indirect = options->no_indirect;
    LIST_INIT(&daemon->changes);
    return place_system(daemon);
}

static int make_grace(struct daemon *daemon, struct grace **ret_grace)
{
    int r;

    r = statistics_new(daemon, &daemon->statistics);
    if (r < 0)
        return fail(STARTUP_OTHER, "statistics", strerror(-r));
    r = workers_new(daemon, &daemon->workers);
    if (r < 0)
        return fail(STARTUP_OTHER, "workers", strerror(-r));
    r = grace_new(daemon->memory->control, workers_drain, daemon->workers, ret_grace);
    if (r < 0)
        return fail(STARTUP_HOST, "membarrier(GLOBAL_EXPEDITED), which Linux 4.16 and later have", strerror(-r));
    r = grace_driver_new(daemon->base, *ret_grace, &daemon->grace);
    return r < 0 ? fail(STARTUP_OTHER, "event loop", strerror(-r)) : 0;
}

static int restore_state(struct daemon *daemon, const struct options *options)
{
    char text[1024];
    int r;

    r = translations_new(daemon, options->translation_seconds, &daemon->translations);
    if (r < 0)
        return fail(STARTUP_OTHER, "/proc/self/exe", strerror(-r));
    if (restore(daemon, text, sizeof(text)) < 0)
        return fail(STARTUP_RESTORE, "cannot run what the database holds", text);
    if (seats_new(daemon, &daemon->seats) < 0)
        return fail(STARTUP_OTHER, "seats", strerror(ENOMEM));
    return 0;
}

static void log_server(void *userdata, int priority, const char *text)
{
    (void)userdata;
    log_line(priority, "%s", text);
}

static int make_server(struct daemon *daemon)
{
    const struct server_options options = {
        .vendor = "dispatchd", .product = "dispatchd", .version = PACKAGE_VERSION, .url = "", .log = log_server,
    };
    int r;

    r = long_calls_new(daemon->base, &daemon->long_calls);
    if (r >= 0)
        r = server_new(daemon->base, &options, &daemon->server);
    if (r >= 0)
        r = server_add_interface(daemon->server, interface_text_control, control_handlers, daemon);
    if (r >= 0)
        r = server_add_interface(daemon->server, interface_text_worker, worker_handlers, daemon);
    return r < 0 ? fail(STARTUP_OTHER, "interfaces", strerror(-r)) : 0;
}

static int make_planning(struct daemon *daemon, const struct options *options)
{
    return planning_new(daemon, options->planning_interval_ms, &daemon->planning) < 0
        ? fail(STARTUP_OTHER, "planning", strerror(ENOMEM)) : 0;
}

static int fail_listener(int r)
{
    return r < 0 ? fail(STARTUP_SOCKET, "cannot serve the sockets", strerror(-r)) : 0;
}

static int listen_for_workers(struct daemon *daemon, struct sockets *sockets)
{
    static const char *const worker[] = { "io.dispatchd.Worker", NULL };
    const struct listener_options options = {
        .name = "worker", .interfaces = worker, .connections = 8192, .connections_per_uid = 4096,
        .pass_credentials = true, .closed = worker_connection_closed, .userdata = daemon,
    };
    int r;

    r = server_listen(daemon->server, sockets->worker, &options, &daemon->worker_listener);
    if (r >= 0)
        sockets->worker = -EBADF;
    return fail_listener(r);
}

static int listen_for_clients(struct daemon *daemon, struct sockets *sockets)
{
    static const char *const control[] = { "io.dispatchd.Control", NULL };
    const struct listener_options options = {
        .name = "control", .interfaces = control, .connections = 1024, .connections_per_uid = 256,
        .queue_bytes = LISTING_BYTES_MAX,
    };
    int r;

    r = server_listen(daemon->server, sockets->control, &options, &daemon->control_listener);
    if (r >= 0)
        sockets->control = -EBADF;
    return fail_listener(r);
}

/*
 * A descriptor or two a worker: take what the host allows.
 * select(2), for which the soft limit is low, is not used here.
 */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* ---- serving ------------------------------------------------------------------------------------------- */

static void on_signal(evutil_socket_t number, short events, void *base)
{
    (void)number, (void)events;
    event_base_loopbreak(base);
}

static int serve(struct daemon *daemon, const struct options *options)
{
    struct event *terminate = evsignal_new(daemon->base, SIGTERM, on_signal, daemon->base);
    struct event *interrupt = evsignal_new(daemon->base, SIGINT, on_signal, daemon->base);
    struct event *watchdog = NULL;
    char status[128];
    int r = -STARTUP_OTHER;

    snprintf(status, sizeof(status), "generation %" PRIu64 ", %zu programs, %zu links", daemon->generation,
             daemon->registry.programs, daemon->registry.links);
    if (terminate && interrupt && !event_add(terminate, NULL) && !event_add(interrupt, NULL) &&
        supervisor_ready(daemon->base, status, &watchdog) >= 0) {
        log_line(LOG_INFO, "ready: %s", status);
        r = event_base_dispatch(daemon->base) < 0 ? -STARTUP_OTHER : 0;
        supervisor_stopping();
        log_line(LOG_INFO, "stopping; workers go on with the programs that they have");
        inheritance_leave(daemon, options->state_directory);
    }
    if (watchdog)
        event_free(watchdog);
    if (interrupt)
        event_free(interrupt);
    if (terminate)
        event_free(terminate);
    return r;
}

/* Grace periods last tens of microseconds: timers in whole milliseconds would multiply them. */
static struct event_base *make_base(void)
{
    struct event_config *config = event_config_new();
    struct event_base *base = NULL;

    if (config && !event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER))
        base = event_base_new_with_config(config);
    if (config)
        event_config_free(config);
    return base;
}

static int start(struct daemon *daemon, const struct options *options, struct sockets *sockets,
                 struct grace **ret_grace)
{
    int r;

    daemon->base = make_base();
    if (!daemon->base)
        return fail(STARTUP_OTHER, "event loop", strerror(ENOMEM));
    r = options->no_host_check ? 0 : check_host();
    if (r >= 0 && sockets_open(options->runtime_directory, sockets) < 0)
        r = fail((enum startup_failure)sockets->failed, "sockets", sockets->text);
    if (r >= 0)
        r = open_store(daemon, options);
    if (r >= 0)
        r = make_server(daemon);
    if (r >= 0)
        r = listen_for_workers(daemon, sockets);
    if (r >= 0)
        r = make_memory(daemon, options, sockets);
    if (r >= 0)
        r = make_image(daemon, options);
    if (r >= 0)
        r = make_grace(daemon, ret_grace);
    if (r >= 0)
        r = restore_state(daemon, options);
    if (r >= 0)
        r = make_planning(daemon, options);
    if (r >= 0)
        r = welcome_workers(daemon, options);
    return r < 0 ? r : listen_for_clients(daemon, sockets);
}

/*
 * In the reverse order of start(); every destructor takes NULL.  Workers go on executing the image: it is frozen first,
 * so that nothing which is freed here is poisoned under them.
 */
static void stop(struct daemon *daemon, struct sockets *sockets, struct grace *grace)
{
    daemon->planning = planning_free(daemon->planning);
    measurements_forget(daemon, explanation_forget);
    daemon->long_calls = long_calls_free(daemon->long_calls);
    ring_streams_forget(daemon);
    if (daemon->image)
        image_freeze(daemon->image);
    if (daemon->arena)
        arena_freeze(daemon->arena);
    server_free(daemon->server);        /* first: who still waits to join has lost nothing by it, and needs no line */
    inheritance_end(daemon, NULL);
    translations_free(daemon->translations);
    if (daemon->statistics) {
        statistics_read(daemon->statistics);
        statistics_store_changed(daemon->statistics);
    }
    if (daemon->workers)
        workers_store_counted(daemon->workers);
    daemon->seats = seats_free(daemon->seats);
    workers_free(daemon->workers);
    grace_driver_free(daemon->grace);
    grace_free(grace);
    if (daemon->image) {
        changes_forget(daemon);
        shared_map_put(daemon->trace);
        registry_done(&daemon->registry);
    }
    statistics_free(daemon->statistics);
    directory_free(daemon->directory);
    arena_free(daemon->arena);
    image_free_all(daemon->image);
    memory_free(daemon->memory);
    store_close(daemon->store);
    sockets_close(sockets);
    if (daemon->base)
        event_base_free(daemon->base);
}

/* The way out where the database has a program that this version does not run.  A negative enum startup_failure. */
static int forget_program(const struct options *options)
{
    struct daemon daemon = { 0 };
    int64_t links = 0;
    int r, forgotten;

    r = open_store(&daemon, options);
    if (r >= 0) {
        forgotten = store_forget_program(daemon.store, options->forget_program, getuid(), getpid(), &links);
        if (forgotten == -ENOENT)
            r = fail(STARTUP_USAGE, options->forget_program,
                     "no program of the database has this name: nothing is changed");
        else if (forgotten < 0)
            r = fail(STARTUP_DATABASE, options->state_directory, store_error(daemon.store));
        else
            log_line(LOG_INFO, "program \"%s\" and %" PRId64 " links are forgotten", options->forget_program, links);
    }
    store_close(daemon.store);
    return r;
}

int main(int argc, char **argv)
{
    struct sockets sockets = { .control = -EBADF, .worker = -EBADF, .arena = -EBADF, .lock = -EBADF };
    struct daemon daemon = { 0 };
    struct grace *grace = NULL;
    struct options options;
    int r;

    if (argc > 1 && !strcmp(argv[1], TRANSLATOR_OPTION))
        translator_main(argc, argv);
    r = options_parse(argc, argv, &options);
    if (r != 0)
        return r < 0 ? STARTUP_USAGE : EXIT_SUCCESS;
    log_open(options.debug ? LOG_DEBUG : LOG_INFO);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_DFL);   /* who started us may have ignored it, and then nobody learns how a child ended */
    if (options.forget_program)
        return -forget_program(&options);
    raise_descriptor_limit();
    /*
     * The image's writable mapping is the one thing that the seals cannot protect:
     * keep the user's other processes out of it.
     */
    if (options.user)
        prctl(PR_SET_DUMPABLE, 0);
    r = start(&daemon, &options, &sockets, &grace);
    if (r >= 0)
        r = serve(&daemon, &options);
    stop(&daemon, &sockets, grace);
    return -r;
}
