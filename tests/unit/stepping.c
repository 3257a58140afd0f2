/* SPDX-License-Identifier: MIT */
/* Single steps by ptrace.  The child stops itself where the action begins and where it ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "stepping.h"

#define STEPS_MAX 1000000       /* a run that has more has gone wrong */
#define PLACES 512              /* more are not tried: sanitizers make ten instructions of one */

static pid_t start(void (*act)(void *argument), void *argument)
{
    pid_t child = fork();

    if (child != 0)
        return child;
    prctl(PR_SET_PDEATHSIG, SIGKILL);   /* a check that fails leaves no process behind */
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
        _exit(1);
    raise(SIGSTOP);
    act(argument);
    raise(SIGSTOP);
    _exit(0);
}

/* The signal that the child stopped by; 0: it has ended. */
static int wait_for_stop(pid_t child)
{
    int status;

    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSTOPPED(status) ? WSTOPSIG(status) : 0;
}

static void end(pid_t child)
{
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

static void nothing(void *argument)
{
}

/* Under valgrind it would be valgrind's own instructions, a hundred for each of ours. */
bool stepping_works(void)
{
    pid_t child;
    bool works;

    if (getenv("NO_STEPPING"))
        return false;
    child = start(nothing, NULL);
    works = wait_for_stop(child) == SIGSTOP && ptrace(PTRACE_SINGLESTEP, child, NULL, NULL) == 0 &&
            wait_for_stop(child) == SIGTRAP;

    end(child);
    return works;
}

unsigned stepping_run(void (*act)(void *argument), void (*look)(void *argument), void *argument)
{
    pid_t child = start(act, argument);
    unsigned steps = 0;
    int stop;

    assert_int_equal(wait_for_stop(child), SIGSTOP);
    do {
        look(argument);
        assert_int_equal(ptrace(PTRACE_SINGLESTEP, child, NULL, NULL), 0);
        stop = wait_for_stop(child);
        steps++;
    } while (stop == SIGTRAP && steps < STEPS_MAX);
    assert_int_equal(stop, SIGSTOP);
    look(argument);
    end(child);
    return steps;
}

struct overtaken {
    const struct overtaking *overtaking;
    unsigned step, at;
};

static void read_once(void *argument)
{
    const struct overtaken *overtaken = argument;

    overtaken->overtaking->read(overtaken->overtaking->argument);
}

static void meddle_once(void *argument)
{
    struct overtaken *overtaken = argument;

    if (overtaken->step++ == overtaken->at)
        overtaken->overtaking->meddle(overtaken->overtaking->argument);
}

unsigned stepping_overtake(const struct overtaking *overtaking)
{
    unsigned steps, at = 0, runs = 0;

    do {
        struct overtaken overtaken = { overtaking, 0, at };

        overtaking->begin(overtaking->argument);
        steps = stepping_run(read_once, meddle_once, &overtaken);
        overtaking->check(overtaking->argument);
        runs++;
        at += 1 + steps / PLACES;
    } while (at < steps);
    return runs;
}
