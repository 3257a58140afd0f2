/* SPDX-License-Identifier: MIT */
/* The worker for tests: the ways in which it becomes several processes, or another program. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "dispatchd.h"
#include "worker.h"

pid_t fork_child(void)
{
    pid_t parent = getpid(), child = fork();

    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        loops_forget();
    }
    return child;
}

static void loop_in_child(void)
{
    run_loop();
    _exit(0);
}

/* `fork N`: children that loop from their first instruction. */
static void do_fork(const char *argument)
{
    int n = argument[0] ? atoi(argument) : 1, r;

    for (int i = 0; i < n; i++) {
        pid_t child = fork_child();

        if (child == 0)
            loop_in_child();
        r = child_started(child);
        if (r < 0) {
            answer_result(r);
            return;
        }
    }
    answer("forked %d", n);
}

/* A process forks another like itself, one deep less, loops, and waits for it. */
static void grow_tree(int depth)
{
    pid_t child = 0;
    int status = 0;

    while (child == 0 && depth-- > 1)
        child = fork_child();
    run_loop();
    if (child > 0 && waitpid(child, &status, 0) < 0)
        status = -1;
    _exit(status ? 1 : 0);
}

static void do_fork_tree(const char *argument)
{
    int depth = argument[0] ? atoi(argument) : 3;
    pid_t child = fork_child();

    if (child == 0)
        grow_tree(depth);
    answer(child_started(child) < 0 ? "error fork" : "forked %d", depth);
}

/* The fork happens inside a guard, in which both processes go on, and which both leave. */
static void do_fork_in_guard(const char *argument)
{
    pid_t child = -1;

    DD_GUARDED {
        call_checked();
        child = fork_child();
        if (child == 0)
            shared->busy++;
        for (int i = 0; i < 1000; i++)
            call_checked();
    }
    if (child == 0) {
        shared->busy--;
        loop_in_child();
    }
    answer(child_started(child) < 0 ? "error fork" : "forked 1");
}

void answer_exit(pid_t child)
{
    int status;

    if (child < 0 || waitpid(child, &status, 0) < 0)
        answer("error %s", strerror(errno));
    else if (WIFEXITED(status))
        answer("exit %d", WEXITSTATUS(status));
    else
        answer("error killed by %d", WTERMSIG(status));
}

/* After dd_after_fork(), until it has joined by itself: then its verdict is the exit status. */
static int run_clone(void)
{
    struct dd_status status = { .size = sizeof status };
    int r = dd_after_fork();

    if (r < 0)
        return 200;
    call_checked();
    for (int i = 0; i < 6000; i++) {
        dd_status(&status);
        if (status.state == DD_JOINED)
            return (int)call_once();
        nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
    }
    return 201;
}

static void do_after_clone(const char *argument)
{
    pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);

    if (child == 0)
        _exit(run_clone());
    answer_exit(child);
}

/* The child calls in the parent's memory, and executes another program from there. */
static void do_vfork_exec(const char *argument)
{
    pid_t child = vfork();

    if (child == 0) {
        (void)call_once();
        execl("/bin/true", "true", (char *)NULL);
        _exit(127);
    }
    call_checked();
    answer_exit(child);
}

static void do_spawn(const char *argument)
{
    char *const arguments[] = { (char[]){ "true" }, NULL };
    pid_t child;
    int r = posix_spawn(&child, "/bin/true", NULL, NULL, arguments, environ);

    call_checked();
    if (r != 0)
        answer("error %s", strerror(r));
    else
        answer_exit(child);
}

static void do_exec(const char *argument)
{
    char path[LINE_BYTES] = "";

    setenv(EXECUTED, "1", 1);
    if (readlink("/proc/self/exe", path, sizeof path - 1) > 0)
        execl(path, path, (char *)NULL);
    answer("error exec: %s", strerror(errno));
}

/* Their end, by whatever signal, is what the test wanted. */
static void do_forget_children(const char *argument)
{
    children_reap();
    answer("ok");
}

const struct command forking_commands[] = {
    { "fork", do_fork },
    { "forget-children", do_forget_children },
    { "fork-tree", do_fork_tree },
    { "fork-in-guard", do_fork_in_guard },
    { "after-clone", do_after_clone },
    { "vfork-exec", do_vfork_exec },
    { "spawn", do_spawn },
    { "exec", do_exec },
    { 0 },
};
