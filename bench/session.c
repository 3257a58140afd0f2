/* SPDX-License-Identifier: MIT */
/* A daemon to measure with. */
#include "session.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <getopt.h>
#include <json-c/json.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include <dispatchd.h>

#include "caller.h"
#include "interface.h"
#include "target.h"
#include "util.h"

#define CALL_TIMEOUT_MS 60000
#define START_TIMEOUT_MS 10000
#define SETTLE_TIMEOUT_MS 1000
#define OPERATIONS_MAX 10000    /* of one transaction */

static struct session {
    struct interface *interface;
    struct caller *caller;
    pid_t daemon;               /* 0: not started here */
    char directory[200];        /* of the daemon that was started */
    char control[256], worker[256];
} session;

static void sleep_ms(unsigned milliseconds)
{
    nanosleep(&(struct timespec){ .tv_nsec = milliseconds * 1000000L }, NULL);
}

/* ---- the daemon ---------------------------------------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *ftw)
{
    return remove(path);
}

static void session_end(void)
{
    session.caller = caller_free(session.caller);
    session.interface = interface_free(session.interface);
    if (session.daemon) {
        kill(session.daemon, SIGTERM);
        waitpid(session.daemon, NULL, 0);
    }
    if (*session.directory)
        nftw(session.directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void daemon_execute(const struct session_options *options, pid_t parent)
{
    const char *daemon = options->daemon, *interval = options->planning_interval;
    char log[sizeof(session.directory) + 8], state[sizeof(session.directory) + 8];
    int descriptor;

    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(1);
    snprintf(log, sizeof(log), "%s/log", session.directory);
    snprintf(state, sizeof(state), "%s/state", session.directory);
    descriptor = open(log, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (descriptor < 0 || dup2(descriptor, STDERR_FILENO) < 0 || mkdir(state, 0700) < 0)
        _exit(1);
    execl(daemon, daemon, "--runtime-dir", session.directory, "--state-dir", state,
          interval ? "--planning-interval" : (char *)NULL, interval, (char *)NULL);
    fprintf(stderr, "cannot execute %s: %s\n", daemon, strerror(errno));
    _exit(1);
}

/* What the daemon has said, for a message. */
static const char *daemon_log(void)
{
    static char text[1000];
    char path[sizeof(session.directory) + 8];
    _cleanup_close_ int descriptor = -EBADF;
    ssize_t length;

    snprintf(path, sizeof(path), "%s/log", session.directory);
    descriptor = open(path, O_RDONLY | O_CLOEXEC);
    length = descriptor < 0 ? 0 : read(descriptor, text, sizeof(text) - 1);
    text[length > 0 ? length : 0] = '\0';
    return text;
}

static void daemon_start(const struct session_options *options)
{
    pid_t parent = getpid();
    uint64_t deadline = now_ns() + START_TIMEOUT_MS * 1000000ull;

    snprintf(session.directory, sizeof(session.directory), "%s/dispatchd-bench-XXXXXX",
             options->directory ? options->directory : "/var/tmp");
    if (!mkdtemp(session.directory)) {
        *session.directory = '\0';
        die("cannot make a directory in %s: %s", options->directory ? options->directory : "/var/tmp", strerror(errno));
    }
    snprintf(session.control, sizeof(session.control), "%s/control", session.directory);
    snprintf(session.worker, sizeof(session.worker), "%s/worker", session.directory);
    session.daemon = fork();
    if (session.daemon < 0)
        die("cannot fork: %s", strerror(errno));
    if (session.daemon == 0)
        daemon_execute(options, parent);
    while (caller_connect(session.control, session.interface, 1000, &session.caller) < 0) {
        if (waitpid(session.daemon, NULL, WNOHANG) != 0) {
            session.daemon = 0;
            die("%s has ended: %s", options->daemon, daemon_log());
        }
        if (now_ns() > deadline)
            die("%s does not listen on %s: %s", options->daemon, session.control, daemon_log());
        sleep_ms(10);
    }
    json_object_put(session_call("Info", NULL, -EBADF));        /* it answers when both sockets are there */
}

static void worker_join(void)
{
    const struct dd_options options = {
        .size = sizeof(options),
        .socket = session.worker,
        .name = "bench",
        .timeout_ms = 5000,
    };
    struct dd_status status = { .size = sizeof(status) };
    int r = dd_open(&options);

    if (r < 0)
        die("cannot open libdispatchd: %s", strerror(-r));
    dd_status(&status);
    if (status.state != DD_JOINED)
        die("this process has not joined dispatchd: %s", *status.error ? status.error : "it did not answer in time");
}

bool session_read_options(int argc, char **argv, const char *usage, struct session_options *options)
{
    static const struct option table[] = {
        { "daemon", required_argument, NULL, 'd' },
        { "directory", required_argument, NULL, 'r' },
        { "quick", no_argument, NULL, 'q' },
        { "json", no_argument, NULL, 'j' },
        { "help", no_argument, NULL, 'h' },
        { 0 },
    };
    bool json = false;
    int letter;

    while ((letter = getopt_long(argc, argv, "", table, NULL)) >= 0)
        switch (letter) {
        case 'd':
            options->daemon = optarg;
            break;
        case 'r':
            options->directory = optarg;
            break;
        case 'q':
            options->quick = true;
            break;
        case 'j':
            json = true;
            break;
        case 'h':
            printf("%s\n\n"
                   "  --daemon PROGRAM   start this dispatchd\n"
                   "  --directory DIR    its files, the database among them, are below DIR (default /var/tmp)\n"
                   "  --quick            measure hardly anything, to see that it runs: the figures mean nothing\n"
                   "  --json             the figures for programs\n", usage);
            exit(0);
        default:
            exit(1);
        }
    if (!options->daemon)
        die("say which dispatchd to start: --daemon PROGRAM");
    return json;
}

void session_open(const struct session_options *options)
{
    int r = interface_parse(interface_text_control, &session.interface, NULL);

    if (r < 0)
        die("cannot read the interface of dispatchd: %s", strerror(-r));
    atexit(session_end);
    daemon_start(options);
    worker_join();
}

const char *session_directory(void)
{
    return session.directory;
}

/* ---- calls --------------------------------------------------------------------------------------------- */

struct json_object *session_call(const char *method, struct json_object *parameters, int descriptor)
{
    _cleanup_(caller_reply_done) struct caller_reply reply = { 0 };
    char name[64];
    int r;

    snprintf(name, sizeof(name), "io.dispatchd.Control.%s", method);
    r = caller_call(session.caller, name, parameters, &descriptor, descriptor >= 0, CALL_TIMEOUT_MS, &reply);
    json_object_put(parameters);
    if (r < 0)
        die("%s failed: %s %s", method, strerror(-r), daemon_log());
    if (reply.error)
        die("%s was refused: %s %s", method, reply.error, json_object_to_json_string(reply.parameters));
    return json_object_get(reply.parameters);
}

static struct json_object *program_name(unsigned number)
{
    char name[32];

    snprintf(name, sizeof(name), "bench_%u", number);
    return json_object_new_string(name);
}

/* An object below bench/targets. */
static void load(struct json_object *name, const char *object)
{
    struct json_object *parameters = json_object_new_object();
    _cleanup_close_ int descriptor = -EBADF;
    char path[512];

    snprintf(path, sizeof(path), "%s/%s.bpf.o", BENCH_TARGETS, object);
    descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        die("cannot open %s: %s", path, strerror(errno));
    json_object_object_add(parameters, "program", name);
    json_object_object_add(parameters, "wait", json_object_new_string("committed"));
    json_object_put(session_call("Load", parameters, descriptor));
}

void session_load(unsigned targets)
{
    for (unsigned i = 0; i < targets; i++) {
        char object[16];

        snprintf(object, sizeof(object), "%u", i);
        load(program_name(i), object);
    }
}

void session_set_call(const char *call)
{
    struct json_object *parameters = json_object_new_object();

    load(json_object_new_string("call"), "call");
    json_object_object_add(parameters, "call", json_object_new_string(call));
    json_object_object_add(parameters, "program", json_object_new_string("call"));
    json_object_put(session_call("SetCall", parameters, -EBADF));
}

/* Send the operations, which are taken, as one transaction; the caller puts the reply. */
static struct json_object *apply(struct json_object *operations)
{
    struct json_object *parameters = json_object_new_object();

    json_object_object_add(parameters, "operations", operations);
    return session_call("Apply", parameters, -EBADF);
}

static struct json_object *attach_operation(const char *table, uint32_t key)
{
    struct json_object *operation = json_object_new_object();

    json_object_object_add(operation, "operation", json_object_new_string("attach"));
    json_object_object_add(operation, "table", json_object_new_string(table));
    json_object_object_add(operation, "key", json_object_new_int64(key));
    json_object_object_add(operation, "program", program_name(key % TARGETS));
    return operation;
}

static struct json_object *detach_operation(int64_t link)
{
    struct json_object *operation = json_object_new_object();

    json_object_object_add(operation, "operation", json_object_new_string("detach"));
    json_object_object_add(operation, "link", json_object_new_int64(link));
    return operation;
}

void session_attach(const char *table, const uint32_t *keys, size_t count, int64_t *ret_links)
{
    for (size_t first = 0, next; first < count; first = next) {
        struct json_object *operations = json_object_new_array(), *reply, *outcomes;

        next = count - first > OPERATIONS_MAX ? first + OPERATIONS_MAX : count;
        for (size_t i = first; i < next; i++)
            json_object_array_add(operations, attach_operation(table, keys[i]));
        reply = apply(operations);
        outcomes = json_object_object_get(reply, "outcomes");
        for (size_t i = first; i < next && ret_links; i++) {
            struct json_object *outcome = json_object_array_get_idx(outcomes, i - first);

            ret_links[i] = json_object_get_int64(json_object_object_get(outcome, "link"));
        }
        json_object_put(reply);
    }
}

void session_detach(const int64_t *links, size_t count)
{
    for (size_t first = 0, next; first < count; first = next) {
        struct json_object *operations = json_object_new_array();

        next = count - first > OPERATIONS_MAX ? first + OPERATIONS_MAX : count;
        for (size_t i = first; i < next; i++)
            json_object_array_add(operations, detach_operation(links[i]));
        json_object_put(apply(operations));
    }
}

void session_replace(int64_t link, unsigned target)
{
    struct json_object *parameters = json_object_new_object();

    json_object_object_add(parameters, "link", json_object_new_int64(link));
    json_object_object_add(parameters, "program", program_name(target));
    json_object_put(session_call("Replace", parameters, -EBADF));
}

/* Has the code of all tables its final place? */
static bool settled(void)
{
    struct json_object *reply = session_call("ListTables", NULL, -EBADF);
    struct json_object *tables = json_object_object_get(reply, "tables");
    bool result = true;

    for (size_t i = 0; i < json_object_array_length(tables); i++)
        result &= json_object_get_boolean(json_object_object_get(json_object_array_get_idx(tables, i), "settled"));
    json_object_put(reply);
    return result;
}

bool session_settle(void)
{
    uint64_t deadline = now_ns() + SETTLE_TIMEOUT_MS * 1000000ull;

    while (!settled()) {
        if (now_ns() > deadline)
            return false;
        sleep_ms(5);
    }
    return true;
}

uint64_t session_daemon_ns(void)
{
    struct timespec time = { 0 };
    clockid_t clock;

    if (clock_getcpuclockid(session.daemon, &clock) == 0)
        clock_gettime(clock, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* ---- plans --------------------------------------------------------------------------------------------- */

static struct json_object *explain(const char *table)
{
    struct json_object *parameters = json_object_new_object();

    json_object_object_add(parameters, "table", json_object_new_string(table));
    return session_call("Explain", parameters, -EBADF);
}

bool session_planned(const char *table)
{
    struct json_object *reply = explain(table);
    bool planned = json_object_get_int64(json_object_object_get(reply, "sampled")) > 0;

    json_object_put(reply);
    return planned;
}

void session_shape(const char *table, char *ret_shape, size_t size)
{
    struct json_object *reply = explain(table), *hot = json_object_object_get(reply, "hot_keys");

    snprintf(ret_shape, size, "%s %s", json_object_get_string(json_object_object_get(reply, "shape")),
             json_object_to_json_string_ext(hot, JSON_C_TO_STRING_PLAIN));
    json_object_put(reply);
}
