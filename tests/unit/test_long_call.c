/* SPDX-License-Identifier: MIT */
/* long_call.h: one turn of one call in each pass of the event loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <event2/event.h>
#include <json-c/json.h>

#include "call.h"
#include "long_call.h"
#include "serving.h"

static struct long_calls *calls;
static char turns[64];                  /* who had one, in order, as far as there is room */
static unsigned freed;

struct work {
    struct long_call call;
    char name;
    unsigned left;
};

static bool work_turn(struct long_call *call)
{
    struct work *work = (struct work *)call;

    if (strlen(turns) < sizeof(turns) - 1)
        turns[strlen(turns)] = work->name;
    if (--work->left > 0)
        return true;
    call_reply(call->call, one("id", json_object_new_int(work->name)));
    return false;
}

static void work_free(struct long_call *call)
{
    freed++;
    free(call);
}

/* A call of a new peer that is not answered yet. */
static struct call *receive(struct fixture *fixture, struct stream **ret_peer)
{
    struct call *call;

    *ret_peer = connect_peer(fixture);
    say(*ret_peer, LATER(1));
    turn(fixture);
    call = fixture->later;
    assert_non_null(call);
    fixture->later = NULL;
    return call;
}

/* It is answered after so many turns. */
static void start(struct call *call, char name, unsigned left)
{
    static const struct long_call_kind kind = { work_turn, work_free };
    struct work *work = calloc(1, sizeof(*work));

    work->name = name;
    work->left = left;
    long_call_start(calls, &work->call, &kind, call);
    call_put(call);
}

static struct fixture *set_up(void)
{
    struct fixture *fixture = begin((struct listener_options){ 0 });

    memset(turns, 0, sizeof(turns));
    freed = 0;
    assert_int_equal(long_calls_new(fixture->base, &calls), 0);
    return fixture;
}

/* Others have their turn between: calls whose work takes long, and those whose does not. */
static void test_one_turn_in_each_pass(void **state)
{
    struct fixture *fixture = set_up();
    struct stream *peer[3], *other = connect_peer(fixture);
    struct call *call[3];
    size_t before;

    for (size_t i = 0; i < 3; i++)
        call[i] = receive(fixture, &peer[i]);
    for (size_t i = 0; i < 3; i++)
        start(call[i], (char)('a' + i), i == 0 ? 1000 : 4);
    say(other, ECHO("1"));
    while (strlen(turns) < 12) {
        before = strlen(turns);
        event_base_loop(fixture->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
        assert_in_range(strlen(turns), before, before + 1);
    }
    assert_string_equal(turns, "abcabcabcabc");
    assert_int_equal(freed, 2);
    assert_true(stream_receive(other, 0) > 0 && stream_ready(other));
    calls = long_calls_free(calls);
    assert_int_equal(freed, 3);
    hear(fixture, peer[1], "{\"parameters\":{\"id\":98}}");
    hear(fixture, peer[2], "{\"parameters\":{\"id\":99}}");
    for (size_t i = 0; i < 3; i++)
        stream_free(peer[i]);
    stream_free(other);
    end(fixture);
}

static void test_a_client_that_leaves(void **state)
{
    struct fixture *fixture = set_up();
    struct stream *peer;
    struct call *call = receive(fixture, &peer);

    start(call, 'a', 100000);
    stream_free(peer);
    event_base_loop(fixture->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    turn(fixture);
    assert_int_equal(freed, 1);
    assert_in_range(strlen(turns), 0, 1);
    calls = long_calls_free(calls);
    end(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_turn_in_each_pass),
        cmocka_unit_test(test_a_client_that_leaves),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
