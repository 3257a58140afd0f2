/* SPDX-License-Identifier: MIT */
/* The worker for tests: signals, threads that end, guards that are held or left wrongly, lost descriptors. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "dispatchd.h"
#include "worker.h"

static void handle_alarm(int number)
{
    call_checked();
    DD_GUARDED {
        call_checked();
    }
}

/* `signal-loop [alternate]`: a loop in a guard of its own, interrupted all the time by a handler that calls. */
static void *signal_loop_main(void *alternate)
{
    stack_t stack = { .ss_size = 65536 };
    sigset_t alarm_signal;

    if (alternate) {
        stack.ss_sp = malloc(stack.ss_size);
        sigaltstack(&stack, NULL);
    }
    sigemptyset(&alarm_signal);
    sigaddset(&alarm_signal, SIGALRM);
    pthread_sigmask(SIG_UNBLOCK, &alarm_signal, NULL);
    run_loop();
    pthread_sigmask(SIG_BLOCK, &alarm_signal, NULL);
    if (alternate) {
        stack.ss_flags = SS_DISABLE;
        sigaltstack(&stack, NULL);
        free(stack.ss_sp);
    }
    return NULL;
}

static void do_signal_loop(const char *argument)
{
    bool alternate = strcmp(argument, "alternate") == 0;
    struct sigaction action = { .sa_handler = handle_alarm, .sa_flags = SA_RESTART | (alternate ? SA_ONSTACK : 0) };
    sigset_t alarm_signal;
    int r;

    sigemptyset(&alarm_signal);
    sigaddset(&alarm_signal, SIGALRM);
    pthread_sigmask(SIG_BLOCK, &alarm_signal, NULL);
    sigaction(SIGALRM, &action, NULL);
    r = loop_start(signal_loop_main, alternate ? &action : NULL);
    setitimer(ITIMER_REAL, &(struct itimerval){ { 0, 50 }, { 0, 50 } }, NULL);
    answer_result(r);
}

static void *call_ten_times(void *unused)
{
    for (int i = 0; i < 10; i++)
        call_checked();
    return NULL;
}

static void *exit_in_guard(void *unused)
{
    struct dd_guard guard = dd_guard_enter();

    call_checked();
    (void)guard;
    pthread_exit(NULL);
}

/* n threads, eight at a time. */
static int churn(int n, void *(*run)(void *))
{
    pthread_t thread[8];
    int r;

    for (int done = 0; done < n;) {
        int started = 0;

        for (; started < 8 && done < n; started++, done++) {
            r = pthread_create(&thread[started], NULL, run, NULL);
            if (r != 0)
                return -r;
        }
        while (started > 0)
            pthread_join(thread[--started], NULL);
    }
    return 0;
}

static void do_thread_churn(const char *argument)
{
    answer_result(churn(argument[0] ? atoi(argument) : 100, call_ten_times));
}

static void do_pthread_exit_in_guard(const char *argument)
{
    answer_result(churn(1, exit_in_guard));
}

static _Atomic int hold_state;          /* 0 none, 1 inside, 2 to leave */

static void *hold_main(void *unused)
{
    DD_GUARDED {
        call_checked();
        hold_state = 1;
        while (hold_state == 1)
            usleep(1000);
    }
    return NULL;
}

static void do_hold(const char *argument)
{
    int r = loop_start(hold_main, NULL);

    while (r == 0 && hold_state != 1)
        usleep(100);
    answer_result(r);
}

static void do_release(const char *argument)
{
    hold_state = 2;
    answer("ok");
}

static jmp_buf out;

static __attribute__((noinline)) void jump_out_of_guard(void)
{
    char frame[4096];

    memset(frame, 1, sizeof frame);
    DD_GUARDED {
        __asm__ volatile("" : : "r"(frame) : "memory");
        longjmp(out, 1);
    }
}

/* What is forbidden, in a thread of its own: the answer is how many leaks its line counts. */
static void *leak_main(void *ret)
{
    if (setjmp(out) == 0)
        jump_out_of_guard();
    for (int i = 0; i < 10; i++)
        call_checked();
    *(uint32_t *)ret = dd_thread_self.line ? dd_thread_self.line->leaked : 0;
    return NULL;
}

static void do_longjmp_leak(const char *argument)
{
    uint32_t leaked = 0;
    pthread_t thread;

    pthread_create(&thread, NULL, leak_main, &leaked);
    pthread_join(thread, NULL);
    answer("leaked %u", leaked);
}

/* `close-all [reuse]`: as daemons do; with reuse, the numbers are taken by other files at once. */
static void do_close_all(const char *argument)
{
    close_range(3, ~0U, 0);
    if (strcmp(argument, "reuse") == 0)
        for (int i = 0; i < 64; i++)
            if (open("/dev/null", O_RDWR | O_CLOEXEC) < 0)
                break;
    answer("ok");
}

/* Are all 64 still open?  Then the library has closed none that is not its own. */
static void do_count_reused(const char *argument)
{
    int n = 0;

    for (int i = 3; i < 1024; i++) {
        char path[64], target[64] = "";

        snprintf(path, sizeof path, "/proc/self/fd/%d", i);
        if (readlink(path, target, sizeof target - 1) > 0 && strcmp(target, "/dev/null") == 0)
            n++;
    }
    answer("reused %d", n);
}

/* `fork-in-close`: another thread waits in dd_close() for a guard that is held; the child opens the library anew. */
static void *close_main(void *unused)
{
    dd_close();
    return NULL;
}

static int run_child_of_close(void)
{
    struct dd_status status = { .size = sizeof status };
    int r = open_with("", 0);

    for (int i = 0; r == 0 && i < 6000; i++) {
        dd_status(&status);
        if (status.state == DD_JOINED)
            return (int)call_once();
        nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
    }
    return 200;
}

static void do_fork_in_close(const char *argument)
{
    pthread_t thread;
    pid_t child;

    do_hold("");
    pthread_create(&thread, NULL, close_main, NULL);
    usleep(50000);
    child = fork_child();
    if (child == 0)
        _exit(run_child_of_close());
    hold_state = 2;
    pthread_join(thread, NULL);
    answer_exit(child);
}

static void do_drop_uid(const char *argument)
{
    uid_t uid = (uid_t)atoi(argument);

    answer_result(setresuid(uid, uid, uid) < 0 ? -errno : 0);
}

static void do_lines(const char *argument)
{
    const struct dd_line *line = dd_thread_self.line;

    answer("line %s word %llu last %llu", line ? "yes" : "no", line ? (unsigned long long)line->word : 0,
           line ? (unsigned long long)line->last : 0);
}

static void do_exit(const char *argument)
{
    answer("ok");
    exit(0);
}

const struct command life_commands[] = {
    { "signal-loop", do_signal_loop },
    { "thread-churn", do_thread_churn },
    { "pthread-exit-in-guard", do_pthread_exit_in_guard },
    { "hold", do_hold },
    { "release", do_release },
    { "longjmp-leak", do_longjmp_leak },
    { "close-all", do_close_all },
    { "count-reused", do_count_reused },
    { "fork-in-close", do_fork_in_close },
    { "drop-uid", do_drop_uid },
    { "lines", do_lines },
    { "exit", do_exit },
    { 0 },
};
