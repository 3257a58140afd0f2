/* SPDX-License-Identifier: MIT */
/*
 * A worker for tests: reads a command a line, answers a line each.  `error ...` is the answer to what cannot be.
 *
 *      opening     open [SOCKET] | open-no-thread [SOCKET] | close | status | register NAME [DEFAULT [FIELDS]] |
 *                  unregister NAME
 *      calling     call TABLE KEY | packet TEXT | method NUMBER | allow VERDICT... | key KEY |
 *                  loop THREADS | kill-loop | stats | stop
 *      forking     fork N | forget-children | fork-tree DEPTH | fork-in-guard | after-clone | vfork-exec | spawn | exec
 *      life        signal-loop [alternate] | thread-churn N | pthread-exit-in-guard | hold | release | longjmp-leak |
 *                  close-all [reuse] | count-reused | fork-in-close | drop-uid UID | lines | exit
 *
 * What loops, in threads and in children, calls on_test with the key of `key`.  Each verdict must be one of those of
 * `allow`, as it was when the call began or, unless it has changed meanwhile, is not counted: `stats` says
 * `calls N wrong N busy N` (busy: loops alive now).  `stop` ends all loops, waits for them and says the same.
 * Loops in children end with their parent.  Reading `stats` twice shows whether they go on.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "dispatchd.h"

#define VERDICTS_MAX 16
#define TABLES_MAX 16
#define THREADS_MAX 256
#define CHILDREN_MAX 4096
#define LINE_BYTES 1024

struct test {
    const void *data, *data_end;
    uint32_t method, status;
};

DD_TABLE(on_test, struct test, 0, DD_PACKET(data, data_end), DD_READ(method), DD_WRITE(status))

/* ---- what loops share with the commands, across forks -------------------------------------------------- */

static struct shared {
    _Atomic uint64_t calls, wrong;
    _Atomic uint32_t last_wrong;
    _Atomic int busy, stop;
    _Atomic uint32_t key;
    _Atomic uint32_t serial;                    /* odd while `allow` writes */
    _Atomic uint32_t allowed, verdict[VERDICTS_MAX];
} *shared;

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

/* Call and check.  Async-signal-safe. */
static void call_checked(void)
{
    struct test context = make_context();
    uint32_t serial = shared->serial;
    uint32_t verdict = on_test(shared->key, &context);
    bool fits = is_allowed(verdict);

    shared->calls++;
    if (!fits && serial == shared->serial && serial % 2 == 0) {
        shared->last_wrong = verdict;
        shared->wrong++;
    }
}

static void run_loop(void)
{
    shared->busy++;
    while (!shared->stop)
        call_checked();
    shared->busy--;
}

/* ---- answers ------------------------------------------------------------------------------------------- */

__attribute__((format(printf, 1, 2))) static void answer(const char *format, ...)
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

static void answer_result(int r)
{
    if (r < 0)
        answer("error %s", strerror(-r));
    else
        answer("ok");
}

/* ---- opening ------------------------------------------------------------------------------------------- */

static bool without_thread;

static int open_with(const char *socket, uint64_t flags)
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

/* ---- calling ------------------------------------------------------------------------------------------- */

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

static void *loop_main(void *unused)
{
    run_loop();
    return NULL;
}

static void do_loop(const char *argument)
{
    int n = atoi(argument), r = 0;

    for (int i = 0; i < n && r == 0 && loop_threads < THREADS_MAX; i++) {
        r = pthread_create(&loop_thread[loop_threads], NULL, loop_main, NULL);
        if (r == 0)
            loop_threads++;
    }
    answer_result(-r);
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
    loop_threads = child_processes = 0;
    shared->stop = 0;
    if (failed)
        answer("error a child ended with %#x", (unsigned)failed);
    else
        answer_stats();
}

/* ---- forking ------------------------------------------------------------------------------------------- */

/* 0 in the child, which ends with its parent. */
static pid_t fork_child(void)
{
    pid_t parent = getpid(), child = fork();

    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        loop_threads = child_processes = 0;
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
    int n = argument[0] ? atoi(argument) : 1;

    for (int i = 0; i < n; i++) {
        pid_t child = fork_child();

        if (child == 0)
            loop_in_child();
        if (child < 0 || child_processes == CHILDREN_MAX) {
            answer("error fork: %s", strerror(errno));
            return;
        }
        child_process[child_processes++] = child;
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
    child_process[child_processes++] = child;
    answer(child < 0 ? "error fork" : "forked %d", depth);
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
    child_process[child_processes++] = child;
    answer(child < 0 ? "error fork" : "forked 1");
}

static void answer_exit(pid_t child)
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
    struct test context = make_context();
    int r = dd_after_fork();

    if (r < 0)
        return 200;
    call_checked();
    for (int i = 0; i < 6000; i++) {
        dd_status(&status);
        if (status.state == DD_JOINED)
            return (int)on_test(shared->key, &context);
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
        struct test context = make_context();

        (void)on_test(shared->key, &context);
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

#define EXECUTED "WORKER_EXECUTED"

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
    while (child_processes > 0)
        waitpid(child_process[--child_processes], NULL, 0);
    answer("ok");
}

/* ---- life ---------------------------------------------------------------------------------------------- */

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
    r = pthread_create(&loop_thread[loop_threads], NULL, signal_loop_main, alternate ? shared : NULL);
    if (r == 0)
        loop_threads++;
    setitimer(ITIMER_REAL, &(struct itimerval){ { 0, 50 }, { 0, 50 } }, NULL);
    answer_result(-r);
}

static void *call_once(void *unused)
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
    answer_result(churn(argument[0] ? atoi(argument) : 100, call_once));
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
    int r = pthread_create(&loop_thread[loop_threads], NULL, hold_main, NULL);

    if (r == 0)
        loop_threads++;
    while (r == 0 && hold_state != 1)
        usleep(100);
    answer_result(-r);
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
    struct test context = make_context();
    int r = open_with("", 0);

    for (int i = 0; r == 0 && i < 6000; i++) {
        dd_status(&status);
        if (status.state == DD_JOINED)
            return (int)on_test(shared->key, &context);
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

/* ---- commands ------------------------------------------------------------------------------------------ */

static const struct command {
    const char *name;
    void (*run)(const char *argument);
} commands[] = {
    { "open", do_open },
    { "open-no-thread", do_open_no_thread },
    { "close", do_close },
    { "status", do_status },
    { "register", do_register },
    { "unregister", do_unregister },
    { "call", do_call },
    { "packet", do_packet },
    { "method", do_method },
    { "allow", do_allow },
    { "key", do_key },
    { "loop", do_loop },
    { "kill-loop", do_kill_loop },
    { "stats", do_stats },
    { "stop", do_stop },
    { "fork", do_fork },
    { "forget-children", do_forget_children },
    { "fork-tree", do_fork_tree },
    { "fork-in-guard", do_fork_in_guard },
    { "after-clone", do_after_clone },
    { "vfork-exec", do_vfork_exec },
    { "spawn", do_spawn },
    { "exec", do_exec },
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
};

static void run_command(char *line)
{
    char *argument = strchr(line, ' ');

    if (argument)
        *argument++ = '\0';
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (strcmp(commands[i].name, line) == 0) {
            commands[i].run(argument ? argument : "");
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
