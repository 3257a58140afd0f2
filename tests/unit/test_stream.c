/* SPDX-License-Identifier: MIT */
/* The stream: descriptors come with their message or not at all, queues are bounded, and each message has one sender. */
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "message.h"
#include "process.h"
#include "stream.h"
#include "util.h"

struct pair {
    struct stream *ours, *theirs;
};

static struct pair new_pair(const struct message_limits *limits, size_t queue_bytes)
{
    struct pair pair;
    int ends[2];

    assert_int_equal(stream_pair(ends), 0);
    assert_int_equal(stream_new(ends[0], limits, queue_bytes, &pair.ours), 0);
    assert_int_equal(stream_new(ends[1], limits, queue_bytes, &pair.theirs), 0);
    return pair;
}

static void free_pair(struct pair *pair)
{
    stream_free(pair->ours);
    stream_free(pair->theirs);
}

static int queue_number(struct stream *stream, int number, size_t padding, const int *descriptors, size_t n)
{
    struct json_object *object = json_object_new_object();
    char *text = malloc(padding + 1);
    int r;

    memset(text, 'x', padding);
    json_object_object_add(object, "n", json_object_new_int(number));
    json_object_object_add(object, "text", json_object_new_string_len(text, (int)padding));
    r = stream_queue(stream, object, descriptors, n);
    json_object_put(object);
    free(text);
    return r;
}

/* Receive one message, sending from the other end as there is room. */
static void receive(struct pair *pair, struct message *ret)
{
    ssize_t n = 1;

    while (!stream_ready(pair->theirs)) {
        (void)stream_send(pair->ours);
        n = stream_receive(pair->theirs, 0);
        assert_true(n > 0);
    }
    assert_int_equal(stream_next(pair->theirs, ret), 1);
}

static void expect_number(struct pair *pair, int number)
{
    struct message message;

    receive(pair, &message);
    assert_int_equal(json_object_get_int(json_object_object_get(message.object, "n")), number);
    assert_int_equal(message.n_descriptors, 0);
    message_done(&message);
}

/* Small and large messages, with and without descriptors, through one socket: each has its own. */
static void test_stream_keeps_descriptors_with_their_message(void **state)
{
    static const size_t paddings[] = {0, 10, 40000, 300000};
    const unsigned before = count_descriptors();
    struct pair pair = new_pair(NULL, 0);
    ino_t inodes[64] = {0};
    struct message message;

    for (int i = 0; i < 64; i++) {
        const int file = i % 3 ? open_some_file() : -1;

        inodes[i] = file >= 0 ? inode_of(file) : 0;
        assert_int_equal(queue_number(pair.ours, i, paddings[i / 3 % 4], &file, file >= 0), 0);
        close(file);
    }
    for (int i = 0; i < 64; i++) {
        receive(&pair, &message);
        assert_int_equal(json_object_get_int(json_object_object_get(message.object, "n")), i);
        assert_int_equal(message.n_descriptors, inodes[i] != 0);
        if (inodes[i])
            assert_int_equal(inode_of(message.descriptors[0]), inodes[i]);
        if (inodes[i])
            assert_int_equal(fcntl(message.descriptors[0], F_GETFD), FD_CLOEXEC);
        message_done(&message);
    }
    free_pair(&pair);
    assert_int_equal(count_descriptors(), before);
}

static void test_stream_flood_of_descriptors_is_closed(void **state)
{
    const unsigned before = count_descriptors();
    int files[MESSAGE_DESCRIPTORS_MAX];
    struct pair pair = new_pair(NULL, 0);

    for (size_t i = 0; i < ARRAY_LENGTH(files); i++)
        files[i] = open_some_file();
    assert_int_equal(queue_number(pair.ours, 0, 0, files, ARRAY_LENGTH(files)), 0);
    for (size_t i = 0; i < ARRAY_LENGTH(files); i++)
        close(files[i]);
    assert_int_equal(stream_send(pair.ours), 0);
    assert_int_equal(stream_receive(pair.theirs, 0), -ETOOMANYREFS);
    free_pair(&pair);
    assert_int_equal(count_descriptors(), before);
}

/* Descriptors that this process has no room for are an error, not silently lost. */
static void test_stream_reports_lost_descriptors(void **state)
{
    const unsigned before = count_descriptors();
    const int files[] = {open_some_file(), open_some_file(), open_some_file(), open_some_file()};
    struct pair pair = new_pair(NULL, 0);
    struct rlimit old, tight;
    ssize_t n;

    if (runs_under_valgrind()) {
        for (int i = 0; i < 4; i++)
            close(files[i]);
        free_pair(&pair);
        skip();
    }
    assert_int_equal(queue_number(pair.ours, 0, 0, files, 4), 0);
    assert_int_equal(stream_send(pair.ours), 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    tight = (struct rlimit){(rlim_t)files[3] + 2, old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    n = stream_receive(pair.theirs, 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_int_equal(n, -EMFILE);
    for (int i = 0; i < 4; i++)
        close(files[i]);
    free_pair(&pair);
    assert_int_equal(count_descriptors(), before);
}

static void test_stream_queue_is_bounded(void **state)
{
    const unsigned before = count_descriptors();
    const int file = open_some_file();
    struct pair pair = new_pair(NULL, 10000);
    int queued = 0, r;

    while ((r = queue_number(pair.ours, queued, 1000, &file, 1)) == 0)
        queued++;
    assert_int_equal(r, -ENOBUFS);
    assert_int_equal(queued, 9);
    assert_true(stream_queued(pair.ours) <= 10000);
    assert_int_equal(stream_send(pair.ours), 0);
    assert_int_equal(stream_queued(pair.ours), 0);
    assert_int_equal(queue_number(pair.ours, 0, 1000, &file, 1), 0);
    assert_int_equal(queue_number(pair.ours, 0, 10000, NULL, 0), -ENOBUFS);
    close(file);
    free_pair(&pair);
    assert_int_equal(count_descriptors(), before);
}

/* The last one goes, with its descriptor; what is queued after it comes behind what was before.  One that began stays. */
static void test_stream_withdraws_what_did_not_begin(void **state)
{
    const unsigned before = count_descriptors();
    const int file = open_some_file();
    struct pair pair = new_pair(NULL, 0);
    int small = 1;

    assert_false(stream_withdraw(pair.ours));
    assert_int_equal(queue_number(pair.ours, 1, 0, NULL, 0), 0);
    assert_int_equal(queue_number(pair.ours, 2, 0, &file, 1), 0);
    assert_true(stream_withdraw(pair.ours));
    close(file);
    assert_int_equal(count_descriptors(), before + 2);
    assert_int_equal(queue_number(pair.ours, 3, 0, NULL, 0), 0);
    assert_int_equal(stream_send(pair.ours), 0);
    assert_int_equal(stream_queued(pair.ours), 0);
    expect_number(&pair, 1);
    expect_number(&pair, 3);
    assert_int_equal(setsockopt(stream_descriptor(pair.ours), SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    assert_int_equal(queue_number(pair.ours, 4, 100000, NULL, 0), 0);
    assert_int_equal(stream_send(pair.ours), -EAGAIN);
    assert_false(stream_withdraw(pair.ours));
    assert_true(stream_queued(pair.ours) > 0);
    free_pair(&pair);
}

static void test_stream_end_and_broken_pipe(void **state)
{
    struct pair pair = new_pair(NULL, 0);

    assert_int_equal(stream_receive(pair.theirs, 0), -EAGAIN);
    pair.ours = stream_free(pair.ours);
    assert_int_equal(stream_receive(pair.theirs, 0), 0);
    assert_int_equal(queue_number(pair.theirs, 0, 0, NULL, 0), 0);
    assert_int_equal(stream_send(pair.theirs), -EPIPE);    /* and SIGPIPE did not end this program */
    free_pair(&pair);
}

static void test_stream_names_the_sender_of_each_message(void **state)
{
    struct pair pair = new_pair(NULL, 0);
    struct message message;
    pid_t child;
    int status;

    assert_int_equal(queue_number(pair.ours, 0, 0, NULL, 0), 0);
    assert_int_equal(stream_send(pair.ours), 0);
    child = fork();
    if (child == 0)
        leave(queue_number(pair.ours, 1, 0, NULL, 0) == 0 && stream_send(pair.ours) == 0);
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    receive(&pair, &message);
    assert_int_equal(message.sender.pid, getpid());
    assert_int_equal(message.sender.uid, getuid());
    message_done(&message);
    receive(&pair, &message);
    assert_int_equal(message.sender.pid, child);
    message_done(&message);
    free_pair(&pair);
}

/* Half a message from us, the rest from a child: whose is it?  Nobody's. */
static void test_stream_refuses_a_message_of_two_processes(void **state)
{
    int ends[2], status;
    struct stream *stream;
    struct message message;
    pid_t child;

    assert_int_equal(stream_pair(ends), 0);
    assert_int_equal(stream_new(ends[0], NULL, 0, &stream), 0);
    assert_int_equal(write(ends[1], "{\"n\"", 4), 4);
    assert_int_equal(stream_receive(stream, 0), 4);
    assert_int_equal(stream_next(stream, &message), 0);
    child = fork();
    if (child == 0)
        leave(write(ends[1], ":1}", 4) == 4);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(stream_receive(stream, 0), -EBADMSG);
    stream_free(stream);
    close(ends[1]);
}

static void test_stream_wants_a_connected_unix_socket(void **state)
{
    struct stream *stream = NULL;
    const int file = open_some_file(), inet = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int datagram = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0),
        lonely = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(stream_new(-EBADF, NULL, 0, &stream), -EBADF);
    assert_int_equal(stream_new(file, NULL, 0, &stream), -ENOTSOCK);
    assert_int_equal(stream_new(inet, NULL, 0, &stream), -EPROTOTYPE);
    assert_int_equal(stream_new(datagram, NULL, 0, &stream), -EPROTOTYPE);
    assert_int_equal(stream_new(lonely, NULL, 0, &stream), -ENOTCONN);
    assert_null(stream);
    close(file);
    close(inet);
    close(datagram);
    close(lonely);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stream_keeps_descriptors_with_their_message),
        cmocka_unit_test(test_stream_flood_of_descriptors_is_closed),
        cmocka_unit_test(test_stream_reports_lost_descriptors),
        cmocka_unit_test(test_stream_queue_is_bounded),
        cmocka_unit_test(test_stream_withdraws_what_did_not_begin),
        cmocka_unit_test(test_stream_end_and_broken_pipe),
        cmocka_unit_test(test_stream_names_the_sender_of_each_message),
        cmocka_unit_test(test_stream_refuses_a_message_of_two_processes),
        cmocka_unit_test(test_stream_wants_a_connected_unix_socket),
    };

    return cmocka_run_group_tests_name("stream", tests, NULL, NULL);
}
