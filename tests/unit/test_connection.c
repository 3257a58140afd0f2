/* SPDX-License-Identifier: MIT */
/* Connections of a server: peers that go away, limits, draining, adopting. */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "process.h"
#include "serving.h"
#include "util.h"

/* ---- peers that go away -------------------------------------------------------------------------------- */

static void test_peer_vanishes_during_a_call(void **state)
{
    struct fixture *fixture = begin((struct listener_options){0});
    struct stream *peer = connect_peer(fixture);

    say(peer, LATER(1));
    turn(fixture);
    stream_free(peer);
    turn(fixture);
    assert_non_null(fixture->later);
    assert_string_equal(call_method(fixture->later), "org.example.Test.Later");
    assert_int_equal(call_peer(fixture->later)->pid, getpid());
    call_reply(fixture->later, one("id", json_object_new_int(1)));
    assert_null(call_connection(fixture->later));
    assert_int_equal(fixture->closed, 1);
    fixture->later = call_put(fixture->later);
    assert_string_equal(fixture->log, "");
    end(fixture);
}

static void test_server_is_freed_during_a_call(void **state)
{
    struct fixture *fixture = begin((struct listener_options){0});
    struct stream *peer = connect_peer(fixture);

    say(peer, LATER(1));
    turn(fixture);
    fixture->server = server_free(fixture->server);
    assert_null(call_connection(fixture->later));
    answer_later(fixture);
    hear_end(fixture, peer);
    stream_free(peer);
    end(fixture);
}

static void test_connection_is_closed_during_a_call(void **state)
{
    struct fixture *fixture = begin((struct listener_options){0});
    struct stream *peer = connect_peer(fixture);

    say(peer, LATER(1));
    turn(fixture);
    connection_close(call_connection(fixture->later), "a test");
    assert_non_null(strstr(fixture->log, "closed: a test"));
    fixture->later = call_put(fixture->later);      /* without an answer: no second line */
    assert_int_equal(fixture->logged, 1);
    hear_end(fixture, peer);
    stream_free(peer);
    end(fixture);
}

/* A peer that shut down its sending side (`nc -N`) still gets its answers. */
static void test_half_closed_peer_is_answered(void **state)
{
    struct fixture *fixture = begin((struct listener_options){0});
    struct stream *peer = connect_peer(fixture);

    say(peer, ECHO("1"));
    say(peer, ECHO("2"));
    shutdown(stream_descriptor(peer), SHUT_WR);
    hear(fixture, peer, ECHOED("1"));
    hear(fixture, peer, ECHOED("2"));
    hear_end(fixture, peer);
    assert_string_equal(fixture->log, "");
    stream_free(peer);
    end(fixture);
}

static void test_end_in_the_middle_of_a_message_is_logged(void **state)
{
    struct fixture *fixture = begin((struct listener_options){0});
    struct stream *peer = connect_peer(fixture);

    assert_int_equal(send(stream_descriptor(peer), "{\"me", 4, 0), 4);
    stream_free(peer);
    turn(fixture);
    assert_int_equal(fixture->closed, 1);
    assert_non_null(strstr(fixture->log, "in the middle of a message"));
    end(fixture);
}

/* ---- limits -------------------------------------------------------------------------------------------- */

static void expect_limit(const char *call, struct message_limits limits, const char *limit, int maximum)
{
    struct fixture *fixture = begin((struct listener_options){.limits = limits});
    struct stream *peer = connect_peer(fixture);
    char answer[200];

    say(peer, call);
    snprintf(answer, sizeof answer,
             "{\"error\":\"org.example.Test.LimitExceeded\",\"parameters\":{\"limit\":\"%s\",\"maximum\":%d}}",
             limit, maximum);
    hear(fixture, peer, answer);
    hear_end(fixture, peer);
    assert_int_equal(fixture->logged, 1);
    assert_non_null(strstr(fixture->log, limit));
    stream_free(peer);
    end(fixture);
}

static void test_message_limits_are_named(void **state)
{
    char *text = malloc(200002);

    expect_limit("{\"a\":[[[1]]]}", (struct message_limits){.depth = 3}, "depth", 3);
    expect_limit("{\"a\":[1,2,3]}", (struct message_limits){.values = 3}, "values", 3);
    expect_limit(ECHO("a long text"), (struct message_limits){.bytes = 50}, "bytes", 50);
    memset(text, ' ', 200000);      /* longer than one read: the end is never seen */
    text[200000] = '\0';
    expect_limit(text, (struct message_limits){.bytes = 1000}, "bytes", 1000);
    free(text);
}

static void test_too_many_descriptors_are_named(void **state)
{
    struct fixture *fixture = begin((struct listener_options){.limits = {.descriptors = 2}});
    struct stream *peer = connect_peer(fixture);
    struct json_object *call = one("method", json_object_new_string("org.example.Test.Take"));

    assert_int_equal(stream_queue(peer, call, (int[]){0, 0, 0}, 3), 0);
    assert_int_equal(stream_send(peer), 0);
    hear(fixture, peer, "{\"error\":\"org.example.Test.LimitExceeded\",\"parameters\":{\"limit\":\"descriptors\",\"maximum\":2}}");
    hear_end(fixture, peer);
    json_object_put(call);
    stream_free(peer);
    end(fixture);
}

static void test_what_is_no_message_closes_with_a_line(void **state)
{
    static const struct {
        const char *text, *line;
    } cases[] = {
        {"", "not one JSON object"},
        {"GET / HTTP/1.1\r\n", "not one JSON object"},
        {"[]", "not one JSON object"},
        {"{\"method\":\"\xff\"}", "not UTF-8"},
        {"{\"method\":\"org.example.Test.Echo\",\"parameters\":{\"text\":\"a\\u0000b\"}}", "not one JSON object"},
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct fixture *fixture = begin((struct listener_options){0});
        struct stream *peer = connect_peer(fixture);

        say(peer, cases[i].text);
        hear_end(fixture, peer);
        assert_int_equal(fixture->logged, 1);
        assert_non_null(strstr(fixture->log, cases[i].line));
        assert_non_null(strstr(fixture->log, "test socket: connection of pid "));
        stream_free(peer);
        end(fixture);
    }
}

static void test_answers_before_garbage_are_sent(void **state)
{
    struct fixture *fixture = begin((struct listener_options){0});
    struct stream *peer = connect_peer(fixture);

    say(peer, ECHO("1"));
    say(peer, "garbage");
    say(peer, ECHO("2"));
    hear(fixture, peer, ECHOED("1"));
    hear_end(fixture, peer);
    assert_int_equal(fixture->logged, 1);
    stream_free(peer);
    end(fixture);
}

static void test_connections_are_limited(void **state)
{
    struct listener_options both[] = {{.connections = 3}, {.connections_per_uid = 3}};
    static const char *const names[] = {"connections", "connections_per_uid"};

    for (size_t i = 0; i < ARRAY_LENGTH(both); i++) {
        struct fixture *fixture = begin(both[i]);
        struct stream *peers[4];
        char answer[200];

        for (int j = 0; j < 4; j++)
            peers[j] = connect_peer(fixture);
        assert_int_equal(fixture->opened, 3);
        snprintf(answer, sizeof answer,
                 "{\"error\":\"org.example.Test.LimitExceeded\",\"parameters\":{\"limit\":\"%s\",\"maximum\":3}}",
                 names[i]);
        hear(fixture, peers[3], answer);
        hear_end(fixture, peers[3]);
        assert_int_equal(fixture->logged, 1);
        assert_non_null(strstr(fixture->log, "limit of 3 "));
        stream_free(peers[0]);
        stream_free(peers[3]);
        turn(fixture);
        peers[0] = connect_peer(fixture);       /* there is room again */
        say(peers[0], ECHO("x"));
        hear(fixture, peers[0], ECHOED("x"));
        for (int j = 0; j < 3; j++)
            stream_free(peers[j]);
        end(fixture);
    }
}

/* A peer that reads nothing: calls are not dispatched for it, answers do not pile up. */
static void test_peer_that_does_not_read_gets_no_work_done(void **state)
{
    struct fixture *fixture = begin((struct listener_options){0});
    struct stream *peer = connect_peer(fixture);
    char *text = malloc(100001), *call = malloc(100200);

    memset(text, 'x', 100000);
    text[100000] = '\0';
    sprintf(call, ECHO("%s"), text);
    for (int i = 0; i < 50; i++)
        (void)stream_send(peer), (void)send(stream_descriptor(peer), call, strlen(call) + 1, MSG_DONTWAIT),
        turn(fixture);
    assert_int_equal(fixture->closed, 0);       /* 5 MB of answers are not there: they were never made */
    assert_string_equal(fixture->log, "");
    stream_free(peer);
    free(text);
    free(call);
    turn(fixture);
    end(fixture);
}

static void test_answers_that_pile_up_close(void **state)
{
    struct fixture *fixture = begin((struct listener_options){.queue_bytes = 1000000});
    struct stream *peer = connect_peer(fixture);

    say(peer, "{\"method\":\"org.example.Test.Stream\",\"parameters\":{\"count\":100,\"bytes\":100000},\"more\":true}");
    turn(fixture);
    assert_int_equal(fixture->closed, 1);
    assert_int_equal(fixture->logged, 1);
    assert_non_null(strstr(fixture->log, "does not read its answers"));
    stream_free(peer);
    end(fixture);
}

static void run_until_closed(struct fixture *fixture)
{
    while (fixture->closed == 0)
        assert_int_equal(event_base_loop(fixture->base, EVLOOP_ONCE), 0);
}

static void test_stalled_peers_are_closed(void **state)
{
    struct fixture *fixture = begin((struct listener_options){.stall_ms = 20});
    struct stream *peer = connect_peer(fixture);

    assert_int_equal(send(stream_descriptor(peer), "{\"method\"", 9, 0), 9);
    run_until_closed(fixture);
    assert_non_null(strstr(fixture->log, "does not finish a message"));
    hear_end(fixture, peer);
    stream_free(peer);
    end(fixture);

    fixture = begin((struct listener_options){.stall_ms = 20});
    peer = connect_peer(fixture);
    say(peer, "{\"method\":\"org.example.Test.Stream\",\"parameters\":{\"count\":1,\"bytes\":4000000},\"more\":true}");
    run_until_closed(fixture);
    assert_non_null(strstr(fixture->log, "does not read its answers"));
    stream_free(peer);
    end(fixture);
}

/* Being idle, or waiting for a slow answer, is no stall. */
static void test_idle_peers_are_not_stalled(void **state)
{
    struct fixture *fixture = begin((struct listener_options){.stall_ms = 1});
    struct stream *idle = connect_peer(fixture), *waiting = connect_peer(fixture);

    say(waiting, LATER(1));
    turn(fixture);
    usleep(5000);
    turn(fixture);
    assert_int_equal(fixture->closed, 0);
    answer_later(fixture);
    hear(fixture, waiting, "{\"parameters\":{\"id\":1}}");
    say(idle, ECHO("x"));
    hear(fixture, idle, ECHOED("x"));
    stream_free(idle);
    stream_free(waiting);
    end(fixture);
}

static void test_accepting_pauses_without_descriptors(void **state)
{
    struct fixture *fixture = begin((struct listener_options){0});
    const int raw = connect_raw(fixture);
    struct rlimit old, tight;
    struct stream *peer;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    tight = (struct rlimit){(rlim_t)raw + 1, old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    for (int i = 0; i < 1000; i++)
        event_base_loop(fixture->base, EVLOOP_NONBLOCK);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_int_equal(fixture->opened, 0);
    assert_in_range(fixture->logged, 1, 10);        /* not a thousand times */
    assert_non_null(strstr(fixture->log, "accepting paused"));
    assert_int_equal(stream_new(connect_raw(fixture), NULL, 0, &peer), 0);
    while (fixture->opened == 0)        /* until the pause is over (valgrind loses the first connection) */
        assert_int_equal(event_base_loop(fixture->base, EVLOOP_ONCE), 0);
    say(peer, ECHO("x"));
    hear(fixture, peer, ECHOED("x"));
    stream_free(peer);
    close(raw);
    end(fixture);
}

/* ---- draining and adopting ----------------------------------------------------------------------------- */

static void test_drain_dispatches_what_is_there(void **state)
{
    struct fixture *fixture = begin((struct listener_options){0});
    struct stream *peer = connect_peer(fixture);
    char expected[8000] = "", call[200];

    assert_int_equal(connection_drain(fixture->connection), 0);
    for (int i = 0; i < 100; i++) {
        snprintf(call, sizeof call, NOTIFY("%d"), i);
        say(peer, call);
        sprintf(expected + strlen(expected), "%d:0 ", i);
    }
    assert_int_equal(connection_drain(fixture->connection), 0);
    assert_string_equal(fixture->notes, expected);
    stream_free(peer);
    end(fixture);
}

static void test_drain_says_what_it_could_not_do(void **state)
{
    struct fixture *fixture = begin((struct listener_options){0});
    struct stream *peer = connect_peer(fixture);

    say(peer, NOTIFY("a"));
    say(peer, LATER(1));
    assert_int_equal(connection_drain(fixture->connection), 0);     /* nothing waits behind the call */
    say(peer, NOTIFY("b"));
    assert_int_equal(connection_drain(fixture->connection), -EBUSY);
    assert_string_equal(fixture->notes, "a:0 ");
    answer_later(fixture);
    assert_int_equal(connection_drain(fixture->connection), 0);
    assert_string_equal(fixture->notes, "a:0 b:0 ");
    stream_free(peer);
    end(fixture);
}

/* A peer that sends faster than we dispatch does not keep us: the bound is what was there at the beginning. */
static void test_drain_is_bounded(void **state)
{
    struct fixture *fixture = begin((struct listener_options){0});
    struct stream *peer = connect_peer(fixture);

    fixture->again = stream_descriptor(peer);
    say(peer, NOTIFY("a"));
    assert_int_equal(connection_drain(fixture->connection), 0);
    assert_string_equal(fixture->notes, "a:0 again:0 ");
    fixture->again = 0;
    stream_free(peer);
    end(fixture);
}

/* A handler that drains, as one that waits for a grace period does: its own connection stays in order. */
static void test_drain_inside_a_handler(void **state)
{
    struct fixture *fixture = begin((struct listener_options){0});
    struct stream *peer = connect_peer(fixture);

    fixture->drained = 1;
    say(peer, NOTIFY("a"));
    say(peer, NOTIFY("b"));
    turn(fixture);
    assert_int_equal(fixture->drained, -EBUSY);
    assert_string_equal(fixture->notes, "a:0 b:0 ");
    stream_free(peer);
    end(fixture);
}

/* What was said before the end is dispatched first, and the end is seen at once. */
static void test_drain_sees_the_end(void **state)
{
    struct fixture *fixture = begin((struct listener_options){0});
    struct stream *peer = connect_peer(fixture);

    say(peer, NOTIFY("a"));
    stream_free(peer);
    assert_int_equal(connection_drain(fixture->connection), -ENOTCONN);
    assert_string_equal(fixture->notes, "a:0 ");
    assert_int_equal(fixture->closed, 1);
    end(fixture);
}

/* A hostile worker that does not read its answers must not keep its other messages from being seen. */
static void test_drain_goes_on_behind_unread_answers(void **state)
{
    struct fixture *fixture = begin((struct listener_options){0});
    struct stream *peer = connect_peer(fixture);

    say(peer, "{\"method\":\"org.example.Test.Stream\",\"parameters\":{\"count\":1,\"bytes\":1000000},\"more\":true}");
    turn(fixture);
    say(peer, NOTIFY("a"));
    turn(fixture);
    assert_string_equal(fixture->notes, "");
    assert_int_equal(connection_drain(fixture->connection), 0);
    assert_string_equal(fixture->notes, "a:0 ");
    stream_free(peer);
    end(fixture);
}

/* As for fork: the pair is made and sent before the child is; the child's first message says who it is. */
static void test_adopted_connection_knows_the_sender(void **state)
{
    struct fixture *fixture = begin((struct listener_options){.pass_credentials = true});
    struct connection *connection;
    char expected[64];
    int pair[2], status;
    pid_t child;

    assert_int_equal(stream_pair(pair), 0);
    child = fork();
    if (child == 0)
        leave(send(pair[1], NOTIFY("child"), sizeof NOTIFY("child"), 0) > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(send(pair[1], NOTIFY("parent"), sizeof NOTIFY("parent"), 0), sizeof NOTIFY("parent"));
    close(pair[1]);

    assert_int_equal(connection_adopt(fixture->listener, pair[0], fixture, &connection), 0);
    assert_int_equal(fixture->opened, 1);
    assert_ptr_equal(connection_userdata(connection), fixture);
    assert_int_equal(connection_peer(connection)->pid, getpid());
    assert_int_equal(connection_drain(connection), -ENOTCONN);
    snprintf(expected, sizeof expected, "child:%d parent:%d ", (int)child, (int)getpid());
    assert_string_equal(fixture->notes, expected);
    end(fixture);
}

static void test_accepted_connection_knows_the_sender(void **state)
{
    struct fixture *fixture = begin((struct listener_options){.pass_credentials = true});
    const int raw = connect_raw(fixture);
    char expected[64];

    /* Sent before it was accepted. */
    assert_int_equal(send(raw, NOTIFY("x"), sizeof NOTIFY("x"), 0), sizeof NOTIFY("x"));
    turn(fixture);
    snprintf(expected, sizeof expected, "x:%d ", (int)getpid());
    assert_string_equal(fixture->notes, expected);
    close(raw);
    end(fixture);
}

/* What is not adopted stays the caller's. */
static void expect_not_adopted(struct fixture *fixture, int descriptor, int r)
{
    struct connection *connection = NULL;

    assert_int_equal(connection_adopt(fixture->listener, descriptor, NULL, &connection), r);
    assert_null(connection);
    assert_int_equal(close(descriptor), 0);
}

static void test_adopting_what_is_no_connection(void **state)
{
    struct fixture *fixture = begin((struct listener_options){.connections = 1});
    struct connection *connection = NULL;
    int ends[2];

    expect_not_adopted(fixture, dup(fixture->file), -ENOTSOCK);
    expect_not_adopted(fixture, socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), -ENOTCONN);
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends), 0);
    expect_not_adopted(fixture, ends[0], -EPROTOTYPE);
    close(ends[1]);
    assert_int_equal(fixture->opened, 0);

    assert_int_equal(stream_pair(ends), 0);
    assert_int_equal(connection_adopt(fixture->listener, ends[0], NULL, &connection), 0);
    close(ends[1]);
    assert_int_equal(stream_pair(ends), 0);
    expect_not_adopted(fixture, ends[0], -EUSERS);
    close(ends[1]);
    end(fixture);
}

/* The owner may refuse a connection: it is closed, without `closed`; an adopted one goes back. */
static void test_owner_refuses_a_connection(void **state)
{
    struct fixture *fixture = begin((struct listener_options){0});
    struct stream *peer;
    int ends[2];

    fixture->refuse = -EACCES;
    peer = connect_peer(fixture);
    hear_end(fixture, peer);
    stream_free(peer);
    assert_int_equal(stream_pair(ends), 0);
    expect_not_adopted(fixture, ends[0], -EACCES);
    close(ends[1]);
    assert_int_equal(fixture->opened, 0);
    assert_int_equal(fixture->closed, 0);
    assert_int_equal(fixture->logged, 1);
    end(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_peer_vanishes_during_a_call),
        cmocka_unit_test(test_server_is_freed_during_a_call),
        cmocka_unit_test(test_connection_is_closed_during_a_call),
        cmocka_unit_test(test_half_closed_peer_is_answered),
        cmocka_unit_test(test_end_in_the_middle_of_a_message_is_logged),
        cmocka_unit_test(test_message_limits_are_named),
        cmocka_unit_test(test_too_many_descriptors_are_named),
        cmocka_unit_test(test_what_is_no_message_closes_with_a_line),
        cmocka_unit_test(test_answers_before_garbage_are_sent),
        cmocka_unit_test(test_connections_are_limited),
        cmocka_unit_test(test_peer_that_does_not_read_gets_no_work_done),
        cmocka_unit_test(test_answers_that_pile_up_close),
        cmocka_unit_test(test_stalled_peers_are_closed),
        cmocka_unit_test(test_idle_peers_are_not_stalled),
        cmocka_unit_test(test_accepting_pauses_without_descriptors),
        cmocka_unit_test(test_drain_dispatches_what_is_there),
        cmocka_unit_test(test_drain_says_what_it_could_not_do),
        cmocka_unit_test(test_drain_is_bounded),
        cmocka_unit_test(test_drain_inside_a_handler),
        cmocka_unit_test(test_drain_sees_the_end),
        cmocka_unit_test(test_drain_goes_on_behind_unread_answers),
        cmocka_unit_test(test_adopted_connection_knows_the_sender),
        cmocka_unit_test(test_accepted_connection_knows_the_sender),
        cmocka_unit_test(test_adopting_what_is_no_connection),
        cmocka_unit_test(test_owner_refuses_a_connection),
    };

    return cmocka_run_group_tests_name("connection", tests, NULL, NULL);
}
