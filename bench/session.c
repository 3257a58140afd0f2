/* SPDX-License-Identifier: MIT */
/* A daemon to measure with. */
#include "session.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
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
#define OPERATIONS_MAX 512      /* of one transaction */

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

static void daemon_execute(const char *daemon, pid_t parent)
{
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
    execl(daemon, daemon, "--runtime-dir", session.directory, "--state-dir", state, (char *)NULL);
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
        daemon_execute(options->daemon, parent);
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

static void daemon_find(const struct session_options *options)
{
    const char *environment = getenv("DISPATCHD_CONTROL_SOCKET");
    int r;

    if (options->directory) {
        snprintf(session.control, sizeof(session.control), "%s/control", options->directory);
        snprintf(session.worker, sizeof(session.worker), "%s/worker", options->directory);
    } else
        snprintf(session.control, sizeof(session.control), "%s",
                 environment && *environment ? environment : "/run/dispatchd/control");
    r = caller_connect(session.control, session.interface, 1000, &session.caller);
    if (r < 0)
        die("no dispatchd at %s (%s): this measures a worker that has joined one; see --daemon and --socket-dir",
            session.control, strerror(-r));
}

static void worker_join(void)
{
    const struct dd_options options = {
        .size = sizeof(options),
        .socket = *session.worker ? session.worker : NULL,
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

void session_open(const struct session_options *options)
{
    int r = interface_parse(interface_text_control, &session.interface, NULL);

    if (r < 0)
        die("cannot read the interface of dispatchd: %s", strerror(-r));
    atexit(session_end);
    if (options->daemon)
        daemon_start(options);
    else
        daemon_find(options);
    worker_join();
}

const char *session_directory(void)
{
    return *session.directory ? session.directory : NULL;
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
        die("%s failed: %s %s", method, strerror(-r), session.daemon ? daemon_log() : "");
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

void session_load(unsigned targets)
{
    for (unsigned i = 0; i < targets; i++) {
        struct json_object *parameters = json_object_new_object();
        _cleanup_close_ int descriptor = -EBADF;
        char path[512];

        snprintf(path, sizeof(path), "%s/%u.bpf.o", BENCH_TARGETS, i);
        descriptor = open(path, O_RDONLY | O_CLOEXEC);
        if (descriptor < 0)
            die("cannot open %s: %s", path, strerror(errno));
        json_object_object_add(parameters, "program", program_name(i));
        json_object_object_add(parameters, "wait", json_object_new_string("committed"));
        json_object_put(session_call("Load", parameters, descriptor));
    }
}

void session_unload(unsigned targets)
{
    for (unsigned i = 0; i < targets; i++) {
        struct json_object *parameters = json_object_new_object();

        json_object_object_add(parameters, "program", program_name(i));
        json_object_put(session_call("Unload", parameters, -EBADF));
    }
}

/* Send the operations, which are taken, as one transaction. */
static void apply(struct json_object *operations)
{
    struct json_object *parameters = json_object_new_object();

    json_object_object_add(parameters, "operations", operations);
    json_object_put(session_call("Apply", parameters, -EBADF));
}

void session_attach(const char *table, uint32_t first, uint32_t end)
{
    for (uint32_t next; first < end; first = next) {
        struct json_object *operations = json_object_new_array();

        next = end - first > OPERATIONS_MAX ? first + OPERATIONS_MAX : end;
        for (uint32_t key = first; key < next; key++) {
            struct json_object *operation = json_object_new_object();

            json_object_object_add(operation, "operation", json_object_new_string("attach"));
            json_object_object_add(operation, "table", json_object_new_string(table));
            json_object_object_add(operation, "key", json_object_new_int64(key));
            json_object_object_add(operation, "program", program_name(key % TARGETS));
            json_object_array_add(operations, operation);
        }
        apply(operations);
    }
}

void session_detach(const char *table)
{
    struct json_object *reply = session_call("ListLinks", NULL, -EBADF);
    struct json_object *links = json_object_object_get(reply, "links"), *operations = json_object_new_array();

    for (size_t i = 0; i < json_object_array_length(links); i++) {
        struct json_object *link = json_object_array_get_idx(links, i), *operation;

        if (strcmp(json_object_get_string(json_object_object_get(link, "table")), table) != 0)
            continue;
        operation = json_object_new_object();
        json_object_object_add(operation, "operation", json_object_new_string("detach"));
        json_object_object_add(operation, "link", json_object_get(json_object_object_get(link, "id")));
        json_object_array_add(operations, operation);
        if (json_object_array_length(operations) == OPERATIONS_MAX) {
            apply(operations);
            operations = json_object_new_array();
        }
    }
    if (json_object_array_length(operations) > 0)
        apply(operations);
    else
        json_object_put(operations);
    json_object_put(reply);
}

static bool settled(const char *table)
{
    struct json_object *reply = session_call("ListTables", NULL, -EBADF), *tables = json_object_object_get(reply, "tables");
    bool result = false;

    for (size_t i = 0; i < json_object_array_length(tables); i++) {
        struct json_object *one = json_object_array_get_idx(tables, i);

        if (strcmp(json_object_get_string(json_object_object_get(one, "name")), table) == 0)
            result = json_object_get_boolean(json_object_object_get(one, "settled"));
    }
    json_object_put(reply);
    return result;
}

bool session_settle(const char *table)
{
    uint64_t deadline = now_ns() + SETTLE_TIMEOUT_MS * 1000000ull;

    while (!settled(table)) {
        if (now_ns() > deadline)
            return false;
        sleep_ms(5);
    }
    return true;
}
