/* SPDX-License-Identifier: MIT */
#include "child.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "translator.h"
#include "util.h"

#define READ_SIZE ((size_t)64 << 10)

struct child {
    struct child_options options;
    pid_t pid;                          /* 0: there is none to be waited for */
    int socket;
    struct event *readable, *writable, *deadline;
    uint8_t *request;
    size_t request_size, written;
    uint8_t *answer;
    size_t answer_size, answer_capacity;
};

/* ---- its end ------------------------------------------------------------------------------------------- */

/*
 * At the end of the answer the child ends, or lies.  A signal that comes after it has begun to end does not change its
 * status; so nobody waits here for longer than the kernel takes.
 */
static int end_process(struct child *child)
{
    int status = 0;
    pid_t pid;

    if (child->pid == 0)
        return 0;
    kill(child->pid, SIGKILL);
    do
        pid = waitpid(child->pid, &status, 0);
    while (pid < 0 && errno == EINTR);
    child->pid = 0;
    return status;
}

static void finish(struct child *child, const char *failure)
{
    if (failure)
        child->options.done(child->options.userdata, failure, NULL, 0);
    else
        child->options.done(child->options.userdata, NULL, child->answer, child->answer_size);
}

static void on_answered(struct child *child)
{
    int status = end_process(child);
    char failure[128];

    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU)
        snprintf(failure, sizeof(failure), "took more than %u s of a processor", child->options.seconds);
    else if (WIFSIGNALED(status))
        snprintf(failure, sizeof(failure), "was ended by signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status) != 0)
        snprintf(failure, sizeof(failure), "ended with status %d", WEXITSTATUS(status));
    else
        failure[0] = 0;
    finish(child, failure[0] ? failure : NULL);
}

static void on_deadline(evutil_socket_t descriptor, short events, void *userdata)
{
    struct child *child = userdata;
    char failure[128];

    (void)descriptor, (void)events;
    end_process(child);
    snprintf(failure, sizeof(failure), "took more than %u s", CHILD_PATIENCE * child->options.seconds);
    finish(child, failure);
}

/* ---- the conversation ---------------------------------------------------------------------------------- */

static int reserve_answer(struct child *child)
{
    size_t wanted = child->answer_capacity ? 2 * child->answer_capacity : READ_SIZE;
    uint8_t *larger;

    if (child->answer_size < child->answer_capacity)
        return 0;
    if (wanted > CHILD_ANSWER_MAX)
        return -EMSGSIZE;
    larger = realloc(child->answer, wanted);
    if (!larger)
        return -ENOMEM;
    child->answer = larger;
    child->answer_capacity = wanted;
    return 0;
}

static void on_readable(evutil_socket_t descriptor, short events, void *userdata)
{
    struct child *child = userdata;
    ssize_t n;
    int r;

    (void)events;
    r = reserve_answer(child);
    if (r < 0) {
        end_process(child);
        finish(child, r == -EMSGSIZE ? "answered with too much" : "answered with more than there is memory for");
        return;
    }
    n = read(descriptor, child->answer + child->answer_size, child->answer_capacity - child->answer_size);
    if (n > 0)
        child->answer_size += (size_t)n;
    else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        on_answered(child);
}

/* A child that does not read all of its request has ended, and says by its end why. */
static void on_writable(evutil_socket_t descriptor, short events, void *userdata)
{
    struct child *child = userdata;
    ssize_t n;

    (void)events;
    n = send(descriptor, child->request + child->written, child->request_size - child->written, MSG_NOSIGNAL);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0)
        child->written += (size_t)n;
    if (n > 0 && child->written < child->request_size)
        return;
    event_del(child->writable);
    shutdown(descriptor, SHUT_WR);
}

static int watch(struct child *child)
{
    const struct timeval seconds = { .tv_sec = CHILD_PATIENCE * child->options.seconds };
    struct event_base *base = child->options.base;

    child->readable = event_new(base, child->socket, EV_READ | EV_PERSIST, on_readable, child);
    child->writable = event_new(base, child->socket, EV_WRITE | EV_PERSIST, on_writable, child);
    child->deadline = evtimer_new(base, on_deadline, child);
    if (!child->readable || !child->writable || !child->deadline || event_add(child->readable, NULL) ||
        event_add(child->writable, NULL) || event_add(child->deadline, &seconds))
        return -ENOMEM;
    return 0;
}

/* ---- starting ------------------------------------------------------------------------------------------ */

/* All signals as at the start of any program; the socket as descriptor 0, nothing else; no environment. */
static int spawn_with(struct child *child, int socket, posix_spawnattr_t *attributes,
                      posix_spawn_file_actions_t *actions)
{
    char path[64], seconds[16];
    char *const arguments[] = {
        (char *)"dispatchd", (char *)TRANSLATOR_OPTION, (char *)child->options.stage, seconds, NULL,
    };
    char *const environment[] = { NULL };
    sigset_t none, all;
    int r;

    snprintf(path, sizeof(path), "/proc/self/fd/%d", child->options.executable);
    snprintf(seconds, sizeof(seconds), "%u", child->options.seconds);
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(attributes, &none);
    posix_spawnattr_setsigdefault(attributes, &all);
    posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    r = posix_spawn_file_actions_adddup2(actions, socket, STDIN_FILENO);
    for (int descriptor = STDOUT_FILENO; r == 0 && descriptor <= STDERR_FILENO; descriptor++)
        r = posix_spawn_file_actions_addclose(actions, descriptor);
    return r ? -r : -posix_spawn(&child->pid, path, actions, attributes, arguments, environment);
}

static int spawn(struct child *child, int socket)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int r;

    if (posix_spawnattr_init(&attributes))
        return -ENOMEM;
    if (posix_spawn_file_actions_init(&actions)) {
        posix_spawnattr_destroy(&attributes);
        return -ENOMEM;
    }
    r = spawn_with(child, socket, &attributes, &actions);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    if (r < 0)
        child->pid = 0;
    return r;
}

static int start(struct child *child)
{
    _cleanup_close_ int theirs = -EBADF;
    int pair[2], r;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    child->socket = pair[0];
    theirs = pair[1];
    if (fcntl(child->socket, F_SETFL, O_NONBLOCK) < 0)
        return -errno;
    r = watch(child);
    return r < 0 ? r : spawn(child, theirs);
}

int child_start(const struct child_options *options, void *request, size_t size, struct child **ret)
{
    struct child *child = calloc(1, sizeof(*child));
    int r;

    if (!child) {
        free(request);
        return -ENOMEM;
    }
    *child = (struct child){ .options = *options, .socket = -EBADF, .request = request, .request_size = size };
    r = start(child);
    if (r < 0) {
        child_free(child);
        return r;
    }
    *ret = child;
    return 0;
}

static void free_event(struct event *event)
{
    if (event)
        event_free(event);
}

struct child *child_free(struct child *child)
{
    if (!child)
        return NULL;
    end_process(child);
    free_event(child->readable);
    free_event(child->writable);
    free_event(child->deadline);
    close_descriptor(&child->socket);
    free(child->request);
    free(child->answer);
    free(child);
    return NULL;
}
