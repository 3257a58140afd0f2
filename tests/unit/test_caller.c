/* SPDX-License-Identifier: MIT */
/* The blocking client, against daemons that answer, stay silent, lie, and die. */
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "caller.h"
#include "interface.h"
#include "process.h"
#include "util.h"

#define SOON_MS 10000       /* never reached where something answers */

static const char test_interface[] = "interface org.example.Test\n"
                                     "method Ask(n: int) -> (n: int)\n"
                                     "error No (why: string)\n";

struct fixture {
    struct interface *interface;
    struct caller *caller;
    int daemon;             /* the daemon's end */
    unsigned descriptors;
};

static struct fixture begin(void)
{
    struct fixture fixture = {.descriptors = count_descriptors()};
    int pair[2];

    assert_int_equal(interface_parse(test_interface, &fixture.interface, NULL), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(caller_new(pair[0], fixture.interface, &fixture.caller), 0);
    fixture.daemon = pair[1];
    return fixture;
}

static void end(struct fixture *fixture)
{
    caller_free(fixture->caller);
    interface_free(fixture->interface);
    if (fixture->daemon >= 0)
        close(fixture->daemon);
    assert_int_equal(count_descriptors(), fixture->descriptors);
}

/* What the daemon says, ready before it is asked. */
static void say(struct fixture *fixture, const char *text)
{
    const ssize_t length = (ssize_t)strlen(text) + 1;

    assert_int_equal(send(fixture->daemon, text, (size_t)length, MSG_NOSIGNAL), length);
}

/* What the daemon was told. */
static void expect_heard(struct fixture *fixture, const char *expected)
{
    char text[1000] = "";

    assert_true(recv(fixture->daemon, text, sizeof text - 1, MSG_DONTWAIT) > 0);
    assert_string_equal(text, expected);
}

static int ask(struct fixture *fixture, int timeout_ms, struct caller_reply *ret)
{
    struct json_object *parameters = json_object_new_object();
    int r;

    json_object_object_add(parameters, "n", json_object_new_int(1));
    r = caller_call(fixture->caller, "org.example.Test.Ask", parameters, NULL, 0, timeout_ms, ret);
    json_object_put(parameters);
    return r;
}

/* ---- answers ------------------------------------------------------------------------------------------- */

static void test_call_gets_its_answer(void **state)
{
    struct fixture fixture = begin();
    struct caller_reply reply = {0};

    for (int i = 0; i < 3; i++) {
        say(&fixture, "{\"parameters\":{\"n\":42,\"newer\":true}}");
        assert_int_equal(ask(&fixture, SOON_MS, &reply), 0);
        assert_null(reply.error);
        assert_false(reply.continues);
        assert_int_equal(json_object_get_int(json_object_object_get(reply.parameters, "n")), 42);
        caller_reply_done(&reply);
        expect_heard(&fixture, "{\"method\":\"org.example.Test.Ask\",\"parameters\":{\"n\":1}}");
    }
    end(&fixture);
}

static void test_error_comes_with_its_data(void **state)
{
    struct fixture fixture = begin();
    struct caller_reply reply = {0};

    say(&fixture, "{\"error\":\"org.example.Test.No\",\"parameters\":{\"why\":\"because\"}}");
    assert_int_equal(ask(&fixture, SOON_MS, &reply), 0);
    assert_string_equal(reply.error, "org.example.Test.No");
    assert_string_equal(json_object_get_string(json_object_object_get(reply.parameters, "why")), "because");
    caller_reply_done(&reply);
    say(&fixture, "{\"error\":\"org.varlink.service.ExpectedMore\"}");
    assert_int_equal(ask(&fixture, SOON_MS, &reply), 0);
    assert_string_equal(reply.error, "org.varlink.service.ExpectedMore");
    assert_non_null(reply.parameters);
    caller_reply_done(&reply);
    end(&fixture);
}

static void test_oneway_returns_at_once(void **state)
{
    struct fixture fixture = begin();

    assert_int_equal(caller_oneway(fixture.caller, "org.example.Test.Ask", NULL, NULL, 0, SOON_MS), 0);
    expect_heard(&fixture, "{\"method\":\"org.example.Test.Ask\",\"parameters\":{},\"oneway\":true}");
    end(&fixture);
}

static void test_more_answers_one_by_one(void **state)
{
    struct fixture fixture = begin();
    struct caller_reply reply = {0};

    say(&fixture, "{\"parameters\":{\"n\":1},\"continues\":true}");
    say(&fixture, "{\"parameters\":{\"n\":2},\"continues\":true}");
    say(&fixture, "{\"parameters\":{\"n\":3}}");
    assert_int_equal(caller_next(fixture.caller, SOON_MS, &reply), -EINVAL);
    assert_int_equal(caller_more(fixture.caller, "org.example.Test.Ask", NULL, SOON_MS, &reply), 0);
    for (int i = 1; i <= 3; i++) {
        struct caller_reply other;

        assert_int_equal(json_object_get_int(json_object_object_get(reply.parameters, "n")), i);
        assert_int_equal(reply.continues, i < 3);
        caller_reply_done(&reply);
        if (i < 3)
            assert_int_equal(ask(&fixture, SOON_MS, &other), -EINVAL);
        assert_int_equal(caller_next(fixture.caller, SOON_MS, &reply), i < 3 ? 0 : -EINVAL);
    }
    end(&fixture);
}

static void send_with_descriptor(int socket, const char *text, int descriptor)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {.align = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
    struct iovec bytes = {.iov_base = (char *)text, .iov_len = strlen(text) + 1};
    struct msghdr header = {.msg_iov = &bytes, .msg_iovlen = 1, .msg_control = &control,
                            .msg_controllen = sizeof control};

    memcpy(CMSG_DATA(&control.align), &descriptor, sizeof descriptor);
    assert_int_equal(sendmsg(socket, &header, 0), (ssize_t)bytes.iov_len);
}

static void test_answer_with_descriptor(void **state)
{
    struct fixture fixture = begin();
    struct caller_reply reply = {0};
    struct stat status;
    int taken;

    for (int i = 0; i < 2; i++) {
        const int file = open("/dev/null", O_RDONLY | O_CLOEXEC);

        send_with_descriptor(fixture.daemon, "{\"parameters\":{\"n\":1}}", file);
        close(file);
        assert_int_equal(ask(&fixture, SOON_MS, &reply), 0);
        assert_int_equal(reply.message.n_descriptors, 1);
        if (i == 0) {       /* the second time nobody takes it */
            taken = message_take_descriptor(&reply.message, 0);
            assert_int_equal(fstat(taken, &status), 0);
            assert_true(S_ISCHR(status.st_mode));
            close(taken);
        }
        caller_reply_done(&reply);
    }
    end(&fixture);
}

/* ---- daemons that do not keep to it -------------------------------------------------------------------- */

/* Whatever goes wrong, the conversation is over: a late answer cannot be taken for that of another call. */
static void expect_failure(struct fixture *fixture, int timeout_ms, int r)
{
    struct caller_reply reply = {0};

    assert_int_equal(ask(fixture, timeout_ms, &reply), r);
    assert_null(reply.parameters);
    if (fixture->daemon >= 0)
        say(fixture, "{\"parameters\":{\"n\":1}}");
    assert_int_equal(ask(fixture, timeout_ms, &reply), -ENOTCONN);
    assert_int_equal(caller_next(fixture->caller, timeout_ms, &reply), -ENOTCONN);
    assert_int_equal(caller_oneway(fixture->caller, "org.example.Test.Ask", NULL, NULL, 0, timeout_ms), -ENOTCONN);
    end(fixture);
}

static void test_wrong_answers_are_refused(void **state)
{
    static const struct {
        const char *text;
        int r;
    } cases[] = {
        {"{\"parameters\":{\"n\":\"1\"}}", -EPROTO},
        {"{\"parameters\":{}}", -EPROTO},
        {"{}", -EPROTO},
        {"{\"parameters\":{\"n\":1},\"continues\":true}", -EPROTO},
        {"{\"error\":\"org.example.Test.No\",\"parameters\":{\"why\":5}}", -EPROTO},
        {"{\"parameters\":[]}", -EBADMSG},
        {"{\"error\":5}", -EBADMSG},
        {"[]", -EBADMSG},
        {"", -EBADMSG},
        {"{\"parameters\":{\"n\":1},\"a\":\"\xff\"}", -EILSEQ},
        {"{\"a\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}", -ELOOP},
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct fixture fixture = begin();

        say(&fixture, cases[i].text);
        expect_failure(&fixture, SOON_MS, cases[i].r);
    }
}

static void test_answer_that_nobody_asked_for(void **state)
{
    struct fixture fixture = begin();
    struct caller_reply reply = {0};

    say(&fixture, "{\"parameters\":{\"n\":1}}");
    say(&fixture, "{\"parameters\":{\"n\":2}}");
    assert_int_equal(ask(&fixture, SOON_MS, &reply), 0);
    caller_reply_done(&reply);
    expect_failure(&fixture, SOON_MS, -EPROTO);
}

static void test_silence_ends_at_the_deadline(void **state)
{
    struct fixture fixture = begin();

    expect_failure(&fixture, 20, -ETIMEDOUT);
    fixture = begin();
    assert_int_equal(send(fixture.daemon, "{\"parameters\"", 13, 0), 13);
    expect_failure(&fixture, 20, -ETIMEDOUT);
}

static void test_daemon_that_reads_nothing(void **state)
{
    struct fixture fixture = begin();
    struct json_object *parameters = json_object_new_object();
    struct caller_reply reply = {0};
    char *text = calloc(1, 4000001);

    memset(text, 'x', 4000000);
    json_object_object_add(parameters, "text", json_object_new_string(text));
    assert_int_equal(caller_call(fixture.caller, "org.example.Test.Ask", parameters, NULL, 0, 20, &reply), -ETIMEDOUT);
    json_object_put(parameters);
    free(text);
    end(&fixture);
}

static void test_daemon_that_is_gone(void **state)
{
    struct fixture fixture = begin();

    close(fixture.daemon);
    fixture.daemon = -EBADF;
    expect_failure(&fixture, SOON_MS, -ECONNRESET);     /* and no SIGPIPE */
    fixture = begin();
    close(fixture.daemon);
    fixture.daemon = -EBADF;
    assert_int_equal(caller_oneway(fixture.caller, "org.example.Test.Ask", NULL, NULL, 0, SOON_MS), -ECONNRESET);
    end(&fixture);
}

/* A daemon that refuses a message before it has read it all, says why, and closes: the reason arrives. */
static void test_refusal_of_a_long_message_arrives(void **state)
{
    struct fixture fixture = begin();
    struct json_object *parameters = json_object_new_object();
    struct caller_reply reply = {0};
    char *text = calloc(1, 4000001);
    int status;
    pid_t child;

    memset(text, 'x', 4000000);
    json_object_object_add(parameters, "text", json_object_new_string(text));
    child = fork();
    if (child == 0) {
        char some[100];

        caller_free(fixture.caller);
        if (recv(fixture.daemon, some, sizeof some, 0) != sizeof some)
            leave(false);
        say(&fixture, "{\"error\":\"org.example.Test.No\",\"parameters\":{\"why\":\"too long\"}}");
        leave(true);
    }
    close(fixture.daemon);
    fixture.daemon = -EBADF;
    assert_int_equal(caller_call(fixture.caller, "org.example.Test.Ask", parameters, NULL, 0, SOON_MS, &reply), 0);
    assert_string_equal(reply.error, "org.example.Test.No");
    caller_reply_done(&reply);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    json_object_put(parameters);
    free(text);
    end(&fixture);
}

static void on_alarm(int signal)
{
}

/* Signals without SA_RESTART, all the time: neither an error nor a shorter or longer wait. */
static void test_signals_do_not_matter(void **state)
{
    const struct itimerval often = {{0, 1000}, {0, 1000}}, never = {{0, 0}, {0, 0}};
    const struct sigaction action = {.sa_handler = on_alarm};
    struct fixture fixture = begin();
    struct caller_reply reply = {0};
    int status;
    pid_t child;

    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);     /* for good: valgrind may deliver one late */
    child = fork();
    if (child == 0) {
        char some[1000];

        (void)recv(fixture.daemon, some, sizeof some, 0);
        usleep(50000);
        say(&fixture, "{\"parameters\":{\"n\":1}}");
        leave(true);
    }
    assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
    assert_int_equal(ask(&fixture, SOON_MS, &reply), 0);
    caller_reply_done(&reply);
    assert_int_equal(ask(&fixture, 50, &reply), -ETIMEDOUT);
    assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    end(&fixture);
}

/* ---- connecting ---------------------------------------------------------------------------------------- */

static void test_connecting_fails_with_the_reason(void **state)
{
    char directory[] = "/tmp/test_caller.XXXXXX", path[200], longest[300];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct caller *callers[8] = {0};
    int listening, r = 0;

    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/socket", directory);
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    assert_int_equal(caller_connect(path, NULL, SOON_MS, &callers[0]), -ENOENT);
    assert_int_equal(caller_connect(longest, NULL, SOON_MS, &callers[0]), -ENAMETOOLONG);

    listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    strcpy(address.sun_path, path);
    assert_int_equal(bind(listening, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(caller_connect(path, NULL, SOON_MS, &callers[0]), -ECONNREFUSED);

    /* Nobody accepts: the queue takes a few, then the deadline counts. */
    assert_int_equal(listen(listening, 1), 0);
    for (size_t i = 0; i < ARRAY_LENGTH(callers) && r == 0; i++)
        r = caller_connect(path, NULL, 20, &callers[i]);
    assert_int_equal(r, -ETIMEDOUT);
    assert_non_null(callers[0]);
    for (size_t i = 0; i < ARRAY_LENGTH(callers); i++)
        caller_free(callers[i]);
    close(listening);
    unlink(path);
    rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_call_gets_its_answer),
        cmocka_unit_test(test_error_comes_with_its_data),
        cmocka_unit_test(test_oneway_returns_at_once),
        cmocka_unit_test(test_more_answers_one_by_one),
        cmocka_unit_test(test_answer_with_descriptor),
        cmocka_unit_test(test_wrong_answers_are_refused),
        cmocka_unit_test(test_answer_that_nobody_asked_for),
        cmocka_unit_test(test_silence_ends_at_the_deadline),
        cmocka_unit_test(test_daemon_that_reads_nothing),
        cmocka_unit_test(test_daemon_that_is_gone),
        cmocka_unit_test(test_refusal_of_a_long_message_arrives),
        cmocka_unit_test(test_signals_do_not_matter),
        cmocka_unit_test(test_connecting_fails_with_the_reason),
    };

    return cmocka_run_group_tests_name("caller", tests, NULL, NULL);
}
