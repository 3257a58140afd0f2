/* SPDX-License-Identifier: MIT */
/*
 * A worker for tests: reads a command a line, answers a line each.  `error ...` is the answer to what cannot be.
 *
 *      opening     open [SOCKET] | open-no-thread [SOCKET] | close | status | register NAME [DEFAULT [FIELDS]] |
 *                  unregister NAME
 *      calling     call TABLE KEY | packet TEXT | method NUMBER | allow VERDICT... | key KEY |
 *                  loop THREADS | kill-loop | interrupt | stats | stop
 *      forking     fork N | forget-children | fork-tree DEPTH | fork-in-guard | after-clone | vfork-exec | spawn | exec
 *      life        signal-loop [alternate] | thread-churn N | pthread-exit-in-guard | hold | release | longjmp-leak |
 *                  close-all [reuse] | count-reused | fork-in-close | drop-uid UID | lines | exit
 *
 * What loops, in threads and in children, calls on_test with the key of `key`.  Each verdict must be one of those of
 * `allow`, as it was when the call began or, unless it has changed meanwhile, is not counted: `stats` says
 * `calls N wrong N busy N` (busy: loops alive now).  `stop` ends all loops, waits for them and says the same.
 * Loops in children end with their parent.  Reading `stats` twice shows whether they go on.
 */
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dispatchd.h"
#include "worker.h"

/* ---- answers ------------------------------------------------------------------------------------------- */

void answer(const char *format, ...)
{
    char line[LINE_BYTES];
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(line, sizeof line - 1, format, arguments);
    va_end(arguments);
    line[length++] = '\n';
    if (write(STDOUT_FILENO, line, (size_t)length) != length)
        _exit(1);
}

void answer_result(int r)
{
    if (r < 0)
        answer("error %s", strerror(-r));
    else
        answer("ok");
}

/* ---- opening ------------------------------------------------------------------------------------------- */

static bool without_thread;

int open_with(const char *socket, uint64_t flags)
{
    struct dd_options options = { .size = sizeof options, .flags = flags, .socket = *socket ? socket : NULL };

    return dd_open(&options);
}

static void do_open(const char *argument)
{
    answer_result(open_with(argument, 0));
}

static void do_open_no_thread(const char *argument)
{
    int r = open_with(argument, DD_NO_THREAD);

    without_thread = r == 0;
    answer_result(r);
}

static void do_close(const char *argument)
{
    without_thread = false;
    answer_result(dd_close());
}

static void do_status(const char *argument)
{
    static const char *const names[] = { "closed", "alone", "joined", "orphaned", "refused" };
    struct dd_status status = { .size = sizeof status };
    int r = dd_status(&status);

    if (r < 0)
        answer_result(r);
    else
        answer("%s generation %llu %s", names[status.state], (unsigned long long)status.generation, status.error);
}

const struct command opening_commands[] = {
    { "open", do_open },
    { "open-no-thread", do_open_no_thread },
    { "close", do_close },
    { "status", do_status },
    { 0 },
};

/* ---- commands ------------------------------------------------------------------------------------------ */

static void run_command(char *line)
{
    static const struct command *const tables[] = {
        opening_commands, calling_commands, forking_commands, life_commands,
    };
    char *argument = strchr(line, ' ');

    if (argument)
        *argument++ = '\0';
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        for (const struct command *command = tables[i]; command->name; command++)
            if (strcmp(command->name, line) == 0) {
                command->run(argument ? argument : "");
                return;
            }
    answer("error there is no command %s", line);
}

/* Standard input, and the library's descriptor where it has no thread. */
static void wait_for_input(void)
{
    for (;;) {
        struct pollfd poll_input[] = {
            { .fd = STDIN_FILENO, .events = POLLIN },
            { .fd = without_thread ? dd_fd() : -1, .events = POLLIN },
        };

        if (poll(poll_input, 2, -1) < 0)
            continue;
        if (poll_input[1].revents)
            dd_process();
        if (poll_input[0].revents)
            return;
    }
}

int main(void)
{
    char line[LINE_BYTES];
    size_t length = 0;

    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return 1;
    signal(SIGPIPE, SIG_IGN);
    shared->allowed = shared->key = 1;  /* the default verdict, 0 */
    if (getenv(EXECUTED))
        answer("executed");
    for (;;) {
        ssize_t n;

        wait_for_input();
        n = read(STDIN_FILENO, &line[length], 1);       /* a byte at a time: what follows may be for an exec'ed image */
        if (n <= 0)
            return 0;
        if (line[length] == '\n') {
            line[length] = '\0';
            length = 0;
            run_command(line);
        } else if (++length == sizeof line) {
            return 1;
        }
    }
}
