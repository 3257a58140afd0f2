/* SPDX-License-Identifier: MIT */
/*
 * A small pre-forking HTTP server whose behaviour dispatchd changes while it runs.
 *
 * The parent binds one socket, joins the daemon, forks the workers and replaces those that die; the workers share the
 * socket.  It joins before it forks, as a server does that was never written with threads in mind.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <dispatchd.h>

#include "serve.h"

#define PROCESSES_MAX 64
#define STOP_SECONDS 5          /* how long workers may take to end before they are killed */

struct worker {
    pid_t pid;                  /* 0: none */
    time_t started;             /* seconds, monotonic */
};

struct options {
    unsigned long port;
    unsigned long processes;
    const char *socket;         /* of dispatchd; NULL: where the library looks for it */
};

static struct worker workers[PROCESSES_MAX];

static void help(void)
{
    puts("Usage: httpd [OPTION...]\n"
         "A small HTTP server on 127.0.0.1 that asks dispatchd's table on_request about every request.\n"
         "\n"
         "  --port N         listen there (default 8080; 0: any free port; the port is printed)\n"
         "  --processes N    workers that share the port (default 4, at most 64)\n"
         "  --socket PATH    worker socket of dispatchd (default: where libdispatchd looks for it)\n"
         "  --help           this text\n"
         "\n"
         "Keys of on_request, by path:");
    for (const struct route *route = routes;; route++) {
        printf("  %u  %s\n", route->number, route->prefix ? route->prefix : "every other path");
        if (!route->prefix)
            break;
    }
}

static unsigned long number(const char *option, const char *text, unsigned long minimum, unsigned long maximum)
{
    unsigned long value;
    char *end;

    errno = 0;
    value = strtoul(text, &end, 10);
    if (errno || end == text || *end || *text == '-' || value < minimum || value > maximum) {
        fprintf(stderr, "httpd: --%s takes a number from %lu to %lu, not '%s'\n", option, minimum, maximum, text);
        exit(1);
    }
    return value;
}

static struct options parse(int argc, char **argv)
{
    static const struct option table[] = {
        { "port", required_argument, NULL, 'p' },
        { "processes", required_argument, NULL, 'n' },
        { "socket", required_argument, NULL, 's' },
        { "help", no_argument, NULL, 'h' },
        { 0 },
    };
    struct options options = { .port = 8080, .processes = 4 };
    int letter;

    while ((letter = getopt_long(argc, argv, "", table, NULL)) >= 0) {
        if (letter == 'p')
            options.port = number("port", optarg, 0, 65535);
        else if (letter == 'n')
            options.processes = number("processes", optarg, 1, PROCESSES_MAX);
        else if (letter == 's')
            options.socket = optarg;
        else if (letter == 'h') {
            help();
            exit(0);
        } else
            exit(1);
    }
    if (optind < argc) {
        fprintf(stderr, "httpd: '%s' is no option; see httpd --help\n", argv[optind]);
        exit(1);
    }
    return options;
}

/* The listening socket; says on standard output where it is. */
static int listener_open(unsigned long port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    socklen_t length = sizeof(address);
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;

    if (descriptor < 0 || setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
        bind(descriptor, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(descriptor, SOMAXCONN) < 0 ||
        getsockname(descriptor, (struct sockaddr *)&address, &length) < 0) {
        fprintf(stderr, "httpd: cannot listen on 127.0.0.1:%lu: %s\n", port, strerror(errno));
        exit(1);
    }
    printf("listening on 127.0.0.1:%u\n", ntohs(address.sin_port));
    fflush(stdout);             /* before a fork: else each worker would write it again */
    return descriptor;
}

static void join(const char *socket_path)
{
    const struct dd_options options = { .size = sizeof(options), .socket = socket_path };
    struct dd_status status = { .size = sizeof(status) };
    int r = dd_open(&options);

    if (r < 0) {
        fprintf(stderr, "httpd: cannot open libdispatchd: %s\n", strerror(-r));
        exit(1);
    }
    if (dd_status(&status) == 0 && status.state == DD_REFUSED)
        fprintf(stderr, "httpd: dispatchd refuses this server, which goes on without it: %s\n", status.error);
}

static time_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec;
}

static void worker_start(struct worker *worker, int listener)
{
    pid_t parent = getpid(), pid = fork();

    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() != parent)        /* the parent died before the line above */
            _exit(0);
        exit(serve(listener));
    }
    if (pid < 0)
        fprintf(stderr, "httpd: cannot start a worker: %s\n", strerror(errno));
    *worker = (struct worker){ .pid = pid < 0 ? 0 : pid, .started = now() };
}

/* Forget the workers that have ended.  Returns how many are left. */
static unsigned workers_reap(void)
{
    unsigned left = 0;
    pid_t pid;

    while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
        for (size_t i = 0; i < PROCESSES_MAX; i++)
            if (workers[i].pid == pid)
                workers[i].pid = 0;
    for (size_t i = 0; i < PROCESSES_MAX; i++)
        left += workers[i].pid != 0;
    return left;
}

static void workers_signal(int signal_number)
{
    for (size_t i = 0; i < PROCESSES_MAX; i++)
        if (workers[i].pid)
            kill(workers[i].pid, signal_number);
}

/* Keep `processes` workers running until a signal says stop.  One that died young is replaced a second later. */
static void supervise(const sigset_t *signals, unsigned long processes, int listener)
{
    const struct timespec second = { .tv_sec = 1 };

    for (;;) {
        bool waiting = false;
        int got;

        workers_reap();
        for (size_t i = 0; i < processes; i++) {
            if (workers[i].pid)
                continue;
            if (workers[i].started && now() - workers[i].started < 1)
                waiting = true;
            else
                worker_start(&workers[i], listener);
            waiting |= !workers[i].pid;
        }
        got = waiting ? sigtimedwait(signals, NULL, &second) : sigwaitinfo(signals, NULL);
        if (got == SIGTERM || got == SIGINT)
            return;
    }
}

static void workers_stop(const sigset_t *signals)
{
    const struct timespec second = { .tv_sec = 1 };
    time_t deadline = now() + STOP_SECONDS;

    workers_signal(SIGTERM);
    while (workers_reap() > 0) {
        if (now() >= deadline)
            workers_signal(SIGKILL);
        sigtimedwait(signals, NULL, &second);
    }
}

int main(int argc, char **argv)
{
    struct options options = parse(argc, argv);
    sigset_t signals;
    int listener;

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGCHLD);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    listener = listener_open(options.port);
    join(options.socket);
    supervise(&signals, options.processes, listener);
    workers_stop(&signals);
    return 0;
}
