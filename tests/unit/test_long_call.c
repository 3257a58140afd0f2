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

/* The call of a new peer that is answered after so many turns. */
static struct stream *start(struct fixture *fixture, char name, unsigned left)
{
    static const struct long_call_kind kind = { work_turn, work_free };
    struct stream *peer = connect_peer(fixture);
    struct work *work = calloc(1, sizeof(*work));

    say(peer, LATER(1));
    while (!fixture->later)
        event_base_loop(fixture->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    work->name = name;
    work->left = left;
    long_call_start(calls, &work->call, &kind, fixture->later);
    fixture->later = call_put(fixture->later);
    return peer;
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
    struct stream *first = start(fixture, 'a', 1000000), *second = start(fixture, 'b', 50);
    struct stream *third = start(fixture, 'c', 50), *other = connect_peer(fixture);
    size_t before;

    memset(turns, 0, sizeof(turns));
    say(other, ECHO("1"));
    while (strlen(turns) < 12) {
        before = strlen(turns);
        event_base_loop(fixture->base, EVLOOP_NONBLOCK);
        assert_in_range(strlen(turns), before, before + 1);
    }
    for (size_t i = 3; turns[i]; i++)
        assert_int_equal(turns[i], turns[i - 3]);
    assert_int_equal(freed, 0);
    hear(fixture, other, ECHOED("1"));
    hear(fixture, second, "{\"parameters\":{\"id\":98}}");
    hear(fixture, third, "{\"parameters\":{\"id\":99}}");
    assert_int_equal(freed, 2);
    calls = long_calls_free(calls);
    assert_int_equal(freed, 3);
    stream_free(first);
    stream_free(second);
    stream_free(third);
    stream_free(other);
    end(fixture);
}

static void test_a_client_that_leaves(void **state)
{
    struct fixture *fixture = set_up();
    struct stream *peer = start(fixture, 'a', 1000000);

    stream_free(peer);
    turn(fixture);
    assert_int_equal(freed, 1);
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
