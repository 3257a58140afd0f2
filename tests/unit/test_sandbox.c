/* SPDX-License-Identifier: MIT */
/* sandbox.h: what a process may do inside, and what ends it.  Each attempt is a process of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandbox.h"

#define SECONDS 100
#define ENTERED 42                      /* exit status of an attempt that came to its end */
#define NOT_ENTERED 43
#ifndef MADV_SOFT_OFFLINE
#define MADV_SOFT_OFFLINE 101           /* the C library has no name for it */
#endif

static int file = -1;                   /* some descriptor above 0 */

/* The C library's own wrappers where they do nothing else; the raw call where they would. */
static void do_open(void) { syscall(SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY); }
static void do_socket(void) { socket(AF_UNIX, SOCK_STREAM, 0); }
static void do_fork(void) { syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0); }
static void do_execute(void) { execl("/bin/true", "true", (char *)NULL); }
static void do_kill(void) { syscall(SYS_kill, getppid(), 0); }
static void do_kill_self(void) { syscall(SYS_tgkill, 1, 1, 0); }
static void do_trace(void) { ptrace(PTRACE_TRACEME, 0, 0, 0); }
static void do_protect(void) { syscall(SYS_mprotect, 0, 4096, PROT_READ); }
static void do_map_executable(void) { mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); }
static void do_map_file(void) { mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, 0, 0); }
static void do_read_other(void) { char c; (void)!read(file, &c, 1); }
static void do_write_other(void) { (void)!write(STDERR_FILENO, "x", 1); }
static void do_send(void) { send(STDIN_FILENO, "x", 1, 0); }
static void do_receive(void) { char c; recv(STDIN_FILENO, &c, 1, 0); }
static void do_prctl(void) { prctl(PR_SET_DUMPABLE, 1); }
static void do_pipe(void) { int ends[2]; (void)!pipe(ends); }
static void do_duplicate(void) { dup(STDIN_FILENO); }
static void do_memfd(void) { syscall(SYS_memfd_create, "x", 0); }
static void do_other_architecture(void)
{
    long result = 20;                   /* getpid, as 32-bit programs call it */

    __asm__ volatile("int $0x80" : "+a"(result) : : "memory");
}

/* What fails is not allowed.  A page, or nothing where the advice would take a page of the host out of use. */
static void advise(int advice, size_t size)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (madvise(page, size, advice) < 0 && size > 0)
        _exit(1);
}
static void do_advise_poison(void) { advise(MADV_HWPOISON, 0); }
static void do_advise_offline(void) { advise(MADV_SOFT_OFFLINE, 0); }
static void do_advise_no_fork(void) { advise(MADV_DONTFORK, 4096); }
static void do_advise_unneeded(void) { advise(MADV_DONTNEED, 4096); }

static void do_nothing(void) { }
static void do_memory(void)
{
    for (size_t size = 1; size < ((size_t)64 << 20); size *= 3)
        free(memset(malloc(size), 1, size));
}
static void do_write(void) { _exit(write(STDIN_FILENO, "x", 1) == 1 ? ENTERED : 1); }
static void do_read(void) { char c; _exit(read(STDIN_FILENO, &c, 1) == 1 && c == 'y' ? ENTERED : 1); }

static int compare(const void *a, const void *b) { return memcmp(a, b, 1); }
static void do_sort(void)
{
    static char bytes[100000];

    qsort(bytes, sizeof(bytes), 1, compare);
}

/* Its end: the status as waitpid(2) gives it. */
static int attempt(void (*act)(void), bool inside)
{
    const char *refused;
    int pair[2], status;
    pid_t pid;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(write(pair[0], "y", 1), 1);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(pair[1], STDIN_FILENO);
        if (inside && sandbox_enter(SECONDS, &refused) < 0)
            _exit(NOT_ENTERED);
        act();
        _exit(ENTERED);
    }
    close(pair[0]);
    close(pair[1]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void test_allowed(void **state)
{
    void (*const allowed[])(void) = { do_nothing, do_memory, do_sort, do_read, do_advise_unneeded };

    for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++) {
        int status = attempt(allowed[i], true);

        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), ENTERED);
    }
}

#define ATTEMPT(name) { #name, do_##name }

static void test_forbidden(void **state)
{
    static const struct {
        const char *name;
        void (*act)(void);
    } forbidden[] = {
        ATTEMPT(open), ATTEMPT(socket), ATTEMPT(fork), ATTEMPT(execute), ATTEMPT(kill), ATTEMPT(kill_self),
        ATTEMPT(trace), ATTEMPT(protect), ATTEMPT(map_executable), ATTEMPT(map_file), ATTEMPT(read_other),
        ATTEMPT(write_other),
        ATTEMPT(send), ATTEMPT(receive), ATTEMPT(prctl), ATTEMPT(pipe), ATTEMPT(duplicate), ATTEMPT(memfd),
        ATTEMPT(other_architecture), ATTEMPT(advise_poison), ATTEMPT(advise_offline), ATTEMPT(advise_no_fork),
    };

    for (size_t i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++) {
        int status = attempt(forbidden[i].act, true);

        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
            fail_msg("%s: status %#x, not ended by SIGSYS", forbidden[i].name, (unsigned)status);
    }
}

/* Outside nothing happens to who gives the advice that ends a process inside. */
static void test_advice_outside(void **state)
{
    void (*const acts[])(void) = { do_advise_poison, do_advise_offline, do_advise_no_fork };

    for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++) {
        int status = attempt(acts[i], false);

        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), ENTERED);
    }
}

static void test_writes(void **state)
{
    const char *refused;
    int pair[2], status;
    pid_t pid;
    char c = 0;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    pid = fork();
    if (pid == 0) {
        dup2(pair[1], STDIN_FILENO);
        if (sandbox_enter(SECONDS, &refused) < 0)
            _exit(NOT_ENTERED);
        do_write();
    }
    assert_int_equal(read(pair[0], &c, 1), 1);
    assert_int_equal(c, 'x');
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == ENTERED);
    close(pair[0]);
    close(pair[1]);
}

/* Of this process: all sets of capabilities, in one. */
static uint64_t capabilities(pid_t pid)
{
    char path[64], line[256];
    unsigned long long set;
    uint64_t all = 0;
    FILE *status;

    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    status = fopen(path, "re");
    assert_non_null(status);
    while (fgets(line, sizeof(line), status))
        if (sscanf(line, "Cap%*3c: %llx", &set) == 1)
            all |= set;
    fclose(status);
    return all;
}

static void test_capabilities(void **state)
{
    const char *refused;
    int pair[2], status;
    pid_t pid;
    char c;

    if (geteuid() != 0)
        skip();                         /* it has none, and may not give up what it could get */
    assert_int_not_equal(capabilities(getpid()), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    pid = fork();
    if (pid == 0) {
        dup2(pair[1], STDIN_FILENO);
        if (sandbox_enter(SECONDS, &refused) < 0 || write(STDIN_FILENO, "x", 1) != 1)
            _exit(NOT_ENTERED);
        do_read();
    }
    assert_int_equal(read(pair[0], &c, 1), 1);
    assert_int_equal(capabilities(pid), 0);
    assert_int_equal(write(pair[0], "y", 1), 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == ENTERED);
    close(pair[0]);
    close(pair[1]);
}

/* As systemd/dispatchd.service has it: no capabilities, and no capset(2). */
static void enter_without_capset(void)
{
    static const struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3];
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    const char *refused;

    syscall(SYS_capset, &header, none);
    if (seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(capset), 0) < 0 || seccomp_load(filter) < 0)
        _exit(1);
    seccomp_release(filter);
    if (syscall(SYS_capset, &header, none) == 0 || errno != EPERM)
        _exit(2);
    if (sandbox_enter(SECONDS, &refused) < 0)
        _exit(NOT_ENTERED);
}

static void test_host_without_capset(void **state)
{
    int status = attempt(enter_without_capset, false);

    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), ENTERED);
}

/* A process that computes for ever is ended without the daemon, and its end says why. */
static void compute_for_ever(void)
{
    for (volatile unsigned i = 0;; i++)
        ;
}

static void test_processor_time(void **state)
{
    const char *refused;
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        if (sandbox_enter(1, &refused) < 0)
            _exit(NOT_ENTERED);
        compute_for_ever();
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGXCPU);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_allowed),
        cmocka_unit_test(test_forbidden),
        cmocka_unit_test(test_advice_outside),
        cmocka_unit_test(test_writes),
        cmocka_unit_test(test_capabilities),
        cmocka_unit_test(test_host_without_capset),
        cmocka_unit_test(test_processor_time),
    };

    file = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
