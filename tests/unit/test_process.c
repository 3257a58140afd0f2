/* SPDX-License-Identifier: MIT */
#include "../../daemon/process.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* A child that lives until it is killed, and when it started. */
static pid_t start_child(const char *name, uint64_t *ret_start_time)
{
    pid_t pid;
    int ready[2];

    assert_int_equal(pipe(ready), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        prctl(PR_SET_NAME, name);
        (void)!write(ready[1], "", 1);
        for (;;)
            pause();
    }
    assert_int_equal(read(ready[0], &(char){ 0 }, 1), 1);
    close(ready[0]);
    close(ready[1]);
    assert_int_equal(process_start_time(pid, ret_start_time), 0);
    return pid;
}

static void end_child(pid_t pid)
{
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void test_a_name_says_nothing_of_the_start(void **state)
{
    static const char *const names[] = { "plain", ") R 1 1 1", "a b c d", "))) 7 7 7 7" };
    uint64_t own, found, later;

    assert_int_equal(process_start_time(getpid(), &own), 0);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        pid_t pid = start_child(names[i], &found);

        end_child(pid);
        end_child(start_child("later", &later));
        assert_in_range(found, own, later);
    }
}

static void test_a_pid_that_passed_to_another_is_gone(void **state)
{
    struct pollfd watched = { .events = POLLIN };
    uint64_t start_time;
    pid_t pid;

    pid = start_child("child", &start_time);
    watched.fd = process_open(pid, start_time);
    assert_true(watched.fd >= 0);
    assert_int_equal(process_open(pid, start_time + 1), -ESRCH);
    assert_int_equal(process_open(pid, start_time - 1), -ESRCH);
    assert_int_equal(poll(&watched, 1, 0), 0);
    end_child(pid);
    assert_int_equal(poll(&watched, 1, 0), 1);
    close(watched.fd);
    assert_int_equal(process_open(pid, start_time), -ESRCH);
    assert_int_equal(process_pidfd(pid), -ESRCH);
    assert_int_equal(process_start_time(pid, &start_time), -ENOENT);
}

/* A child that connects to `listener` and lives until it is killed. */
static pid_t start_peer(int listener)
{
    struct sockaddr_un address;
    socklen_t length = sizeof(address);
    pid_t pid;

    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &length), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&address, length) < 0)
            _exit(1);
        for (;;)
            pause();
    }
    return pid;
}

static void test_the_peer_of_a_socket(void **state)
{
    static const struct sockaddr_un any = { .sun_family = AF_UNIX };
    int listener = socket(AF_UNIX, SOCK_STREAM, 0), peer;
    struct pollfd watched = { .events = POLLIN };
    pid_t pid;

    assert_int_equal(bind(listener, (const struct sockaddr *)&any, sizeof(any.sun_family)), 0);
    assert_int_equal(listen(listener, 1), 0);
    pid = start_peer(listener);
    peer = accept(listener, NULL, NULL);
    assert_true(peer >= 0);
    watched.fd = process_peer_pidfd(peer, pid);
    assert_true(watched.fd >= 0);
    assert_int_equal(poll(&watched, 1, 0), 0);
    end_child(pid);
    assert_int_equal(poll(&watched, 1, 0), 1);
    close(watched.fd);
    close(peer);
    close(listener);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_name_says_nothing_of_the_start),
        cmocka_unit_test(test_a_pid_that_passed_to_another_is_gone),
        cmocka_unit_test(test_the_peer_of_a_socket),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
