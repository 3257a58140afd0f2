/* SPDX-License-Identifier: MIT */
/* The worker for tests: its tables, calls of them, and loops of calls. */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dispatchd.h"
#include "worker.h"

#define TABLES_MAX 16
#define THREADS_MAX 256
#define CHILDREN_MAX 4096

struct test {
    const void *data, *data_end;
    uint32_t method, status;
};

DD_TABLE(on_test, struct test, 0, DD_PACKET(data, data_end), DD_READ(method), DD_WRITE(status))

/* ---- calls that are checked ---------------------------------------------------------------------------- */

struct shared *shared;

static char packet[LINE_BYTES];
static uint32_t method;

static struct test make_context(void)
{
    return (struct test){ packet, packet + strlen(packet), method, 0 };
}

static bool is_allowed(uint32_t verdict)
{
    for (uint32_t i = 0; i < shared->allowed; i++)
        if (shared->verdict[i] == verdict)
            return true;
    return false;
}

uint32_t call_once(void)
{
    struct test context = make_context();

    return on_test(shared->key, &context);
}

void call_checked(void)
{
    uint32_t serial = shared->serial;
    uint32_t verdict = call_once();
    bool fits = is_allowed(verdict);

    shared->calls++;
    if (!fits && serial == shared->serial && serial % 2 == 0) {
        shared->last_wrong = verdict;
        shared->wrong++;
    }
}

void run_loop(void)
{
    shared->busy++;
    while (!shared->stop)
        call_checked();
    shared->busy--;
}

/* ---- tables -------------------------------------------------------------------------------------------- */

/* Tables made without the macros, as another language would. */
static const struct dd_field plain_fields[] = {
    { "data", offsetof(struct test, data), 8, DD_FIELD_DATA, 0 },
    { "data_end", offsetof(struct test, data_end), 8, DD_FIELD_DATA_END, 0 },
    { "method", offsetof(struct test, method), 4, DD_FIELD_READ, 0 },
    { "status", offsetof(struct test, status), 4, DD_FIELD_WRITE, 0 },
};
static struct dd_table plain_table[TABLES_MAX];
static size_t plain_tables;

/* `register NAME [DEFAULT [FIELDS]]`: fewer fields make another context of the same name. */
static void do_register(const char *argument)
{
    struct dd_table *table = &plain_table[plain_tables];
    char name[64];
    unsigned verdict = 0, fields = 4;

    if (plain_tables == TABLES_MAX || sscanf(argument, "%63s %u %u", name, &verdict, &fields) < 1) {
        answer("error register NAME [DEFAULT [FIELDS]], at most %d times", TABLES_MAX);
        return;
    }
    *table = (struct dd_table){ .name = strdup(name), .context = "struct test", .field = plain_fields,
                                .fields = fields, .context_size = sizeof(struct test), .default_verdict = verdict };
    plain_tables++;
    answer_result(dd_table_register(table));
}

static struct dd_table *find_table(const char *name)
{
    for (size_t i = 0; i < plain_tables; i++)
        if (strcmp(plain_table[i].name, name) == 0)
            return &plain_table[i];
    return strcmp(name, "on_test") == 0 ? &on_test_table : NULL;
}

static void do_unregister(const char *argument)
{
    struct dd_table *table = find_table(argument);

    dd_table_unregister(table);
    answer_result(table ? 0 : -ENOENT);
}

/* ---- calls, and loops of them -------------------------------------------------------------------------- */

/* `call TABLE KEY`: verdict, and the status that programs may write. */
static void do_call(const char *argument)
{
    struct test context = make_context();
    struct dd_table *table;
    uint32_t verdict;
    char name[64];
    unsigned key;

    if (sscanf(argument, "%63s %u", name, &key) != 2 || !(table = find_table(name))) {
        answer("error call TABLE KEY");
        return;
    }
    verdict = table == &on_test_table ? on_test(key, &context) : dd_table_call(table, key, &context);
    answer("verdict %u status %u", verdict, context.status);
}

static void do_packet(const char *argument)
{
    strcpy(packet, argument);
    answer("ok");
}

static void do_method(const char *argument)
{
    method = (uint32_t)strtoul(argument, NULL, 0);
    answer("ok");
}

static void do_key(const char *argument)
{
    shared->key = (uint32_t)strtoul(argument, NULL, 0);
    answer("ok");
}

static void do_allow(const char *argument)
{
    uint32_t n = 0;
    char *end;

    shared->serial++;
    for (const char *next = argument; n < VERDICTS_MAX; next = end) {
        uint32_t verdict = (uint32_t)strtoul(next, &end, 0);

        if (end == next)
            break;
        shared->verdict[n++] = verdict;
    }
    shared->allowed = n;
    shared->serial++;
    answer("ok");
}

static pthread_t loop_thread[THREADS_MAX];
static int loop_threads;
static pid_t child_process[CHILDREN_MAX];
static int child_processes;

int loop_start(void *(*run)(void *), void *argument)
{
    int r = loop_threads == THREADS_MAX ? EAGAIN : pthread_create(&loop_thread[loop_threads], NULL, run, argument);

    if (r == 0)
        loop_threads++;
    return -r;
}

int child_started(pid_t child)
{
    if (child < 0)
        return -errno;
    if (child_processes == CHILDREN_MAX)
        return -EAGAIN;
    child_process[child_processes++] = child;
    return 0;
}

void loops_forget(void)
{
    loop_threads = child_processes = 0;
}

void children_reap(void)
{
    while (child_processes > 0)
        waitpid(child_process[--child_processes], NULL, 0);
}

static void *loop_main(void *unused)
{
    run_loop();
    return NULL;
}

static void do_loop(const char *argument)
{
    int n = atoi(argument), r = 0;

    for (int i = 0; i < n && r == 0; i++)
        r = loop_start(loop_main, NULL);
    answer_result(r);
}

/* The thread ends where it is, and unwinds nothing. */
static void end_thread(int number)
{
    syscall(SYS_exit, 0);
}

/* `kill-loop`: the last of the threads that loop dies in whatever it does. */
static void do_kill_loop(const char *argument)
{
    struct sigaction action = { .sa_handler = end_thread };

    if (loop_threads == 0) {
        answer("error there is no loop");
        return;
    }
    sigaction(SIGUSR1, &action, NULL);
    pthread_kill(loop_thread[--loop_threads], SIGUSR1);
    pthread_join(loop_thread[loop_threads], NULL);
    shared->busy--;
    answer("ok");
}

static sem_t interrupted;

static void call_in_handler(int number)
{
    call_checked();
    sem_post(&interrupted);
}

/* `interrupt`: the last of the threads that loop calls in a signal handler too, once, whatever it is in. */
static void do_interrupt(const char *argument)
{
    struct sigaction action = { .sa_handler = call_in_handler, .sa_flags = SA_RESTART };

    if (loop_threads == 0) {
        answer("error there is no loop");
        return;
    }
    sem_init(&interrupted, 0, 0);
    sigaction(SIGUSR2, &action, NULL);
    pthread_kill(loop_thread[loop_threads - 1], SIGUSR2);
    while (sem_wait(&interrupted) < 0)
        continue;
    answer("ok");
}

static void answer_stats(void)
{
    answer("calls %llu wrong %llu busy %d last-wrong %u", (unsigned long long)shared->calls,
           (unsigned long long)shared->wrong, shared->busy, shared->last_wrong);
}

static void do_stats(const char *argument)
{
    answer_stats();
}

/* Ends all loops.  A child that did not end well is an error. */
static void do_stop(const char *argument)
{
    int failed = 0;

    shared->stop = 1;
    setitimer(ITIMER_REAL, &(struct itimerval){ 0 }, NULL);
    for (int i = 0; i < loop_threads; i++)
        pthread_join(loop_thread[i], NULL);
    for (int i = 0; i < child_processes; i++) {
        int status;

        if (waitpid(child_process[i], &status, 0) < 0 || status != 0)
            failed = status ? status : -1;
    }
    loops_forget();
    shared->stop = 0;
    if (failed)
        answer("error a child ended with %#x", (unsigned)failed);
    else
        answer_stats();
}

const struct command calling_commands[] = {
    { "register", do_register },
    { "unregister", do_unregister },
    { "call", do_call },
    { "packet", do_packet },
    { "method", do_method },
    { "allow", do_allow },
    { "key", do_key },
    { "loop", do_loop },
    { "kill-loop", do_kill_loop },
    { "interrupt", do_interrupt },
    { "stats", do_stats },
    { "stop", do_stop },
    { 0 },
};
