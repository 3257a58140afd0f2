/* SPDX-License-Identifier: MIT */
#include "long_call.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>

#include "call.h"
#include "pace.h"

#define WAIT_MS 10                              /* calls whose clients do not read are looked at so often */

struct long_calls {
    TAILQ_HEAD(, long_call) list;               /* the first that can have a turn has the next one */
    struct event *timer;
    int64_t begin_us;                           /* of the turn */
};

static void end(struct long_call *work)
{
    struct call *call = work->call;

    TAILQ_REMOVE(&work->calls->list, work, entry);
    work->kind->free(work);
    call_put(call);
}

static struct long_call *find_ready(const struct long_calls *calls)
{
    struct long_call *work;

    TAILQ_FOREACH(work, &calls->list, entry)
        if (call_queued(work->call) <= LONG_CALL_QUEUED_MAX)
            return work;
    return NULL;
}

static void turn_later(struct long_calls *calls)
{
    const struct timeval delay = { .tv_usec = find_ready(calls) ? 0 : WAIT_MS * 1000 };

    if (!TAILQ_EMPTY(&calls->list))
        event_add(calls->timer, &delay);
}

static void take_turn(struct long_calls *calls, struct long_call *work)
{
    TAILQ_REMOVE(&calls->list, work, entry);
    TAILQ_INSERT_TAIL(&calls->list, work, entry);
    calls->begin_us = pace_now_us();
    if (call_is_deserted(work->call)) {
        call_close(work->call);
        end(work);
    } else if (!work->kind->turn(work)) {
        end(work);
    }
}

static void on_timer(evutil_socket_t unused, short events, void *userdata)
{
    struct long_calls *calls = userdata;
    struct long_call *work = find_ready(calls);

    (void)unused, (void)events;
    if (work)
        take_turn(calls, work);
    turn_later(calls);
}

bool long_call_goes_on(const struct long_call *work)
{
    return pace_now_us() - work->calls->begin_us < LONG_CALL_TURN_US;
}

void long_call_start(struct long_calls *calls, struct long_call *work, const struct long_call_kind *kind,
                     struct call *call)
{
    work->kind = kind;
    work->calls = calls;
    work->call = call_get(call);
    TAILQ_INSERT_TAIL(&calls->list, work, entry);
    turn_later(calls);
}

int long_calls_new(struct event_base *base, struct long_calls **ret)
{
    struct long_calls *calls = calloc(1, sizeof(*calls));

    if (!calls)
        return -ENOMEM;
    TAILQ_INIT(&calls->list);
    calls->timer = evtimer_new(base, on_timer, calls);
    if (!calls->timer) {
        free(calls);
        return -ENOMEM;
    }
    *ret = calls;
    return 0;
}

struct long_calls *long_calls_free(struct long_calls *calls)
{
    if (!calls)
        return NULL;
    while (!TAILQ_EMPTY(&calls->list)) {
        call_close(TAILQ_FIRST(&calls->list)->call);
        end(TAILQ_FIRST(&calls->list));
    }
    event_free(calls->timer);
    free(calls);
    return NULL;
}
