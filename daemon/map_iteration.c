/* SPDX-License-Identifier: MIT */
/* See map_iteration.h. */
#include "map_iteration.h"

#include <errno.h>
#include <event2/event.h>
#include <json-c/json.h>
#include <stdlib.h>

#include "call.h"
#include "map_access.h"
#include "pace.h"
#include "service.h"
#include "shared_map.h"
#include "util.h"
#include "view.h"

#define TURN_ELEMENTS 256
#define TURN_BYTES (256u << 10)         /* of keys and values */
#define TURN_US 2000                    /* whatever there is, the loop has its turn again after this */
#define QUEUED_MAX (1u << 20)           /* bytes of answers that the client may leave untaken; then it is waited for, */
#define WAIT_MS 10                      /* and looked at so often */

struct map_iteration {
    LIST_ENTRY(map_iteration) entry;
    struct daemon *daemon;
    struct call *call;
    struct shared_map *map;             /* a reference */
    struct event *turn;                 /* a timer */
    struct map_cursor cursor;
    /*
     * Do it to the next element: 1; 0: there is none any more; negative: `refusal`.  elements: of this turn's answer.
     */
    int (*step)(struct map_iteration *iteration, struct json_object *elements, struct refusal *refusal);
    bool shows;                         /* an answer a turn */
    bool hex;
    uint64_t count;
};

static void iteration_free(struct map_iteration *iteration)
{
    LIST_REMOVE(iteration, entry);
    if (iteration->turn)
        event_free(iteration->turn);
    shared_map_put(iteration->map);
    call_put(iteration->call);
    free(iteration);
}

void map_iterations_forget(struct daemon *daemon)
{
    while (!LIST_EMPTY(&daemon->map_iterations)) {
        call_close(LIST_FIRST(&daemon->map_iterations)->call);
        iteration_free(LIST_FIRST(&daemon->map_iterations));
    }
}

/* ---- steps ----------------------------------------------------------------------------------------------- */

static int step_show(struct map_iteration *iteration, struct json_object *elements, struct refusal *refusal)
{
    struct json_object *element;
    int r;

    r = map_access_next(iteration->daemon, iteration->map, &iteration->cursor, iteration->hex, &element, refusal);
    if (r > 0 && element)
        json_object_array_add(elements, element);
    return r;
}

/* Who fills a queue while it is cleared does not keep it from ever being done. */
static int step_clear(struct map_iteration *iteration, struct json_object *elements, struct refusal *refusal)
{
    (void)elements;
    if (iteration->count >= iteration->map->definition.max_entries)
        return 0;
    return map_access_clear_next(iteration->daemon, iteration->map, &iteration->cursor, refusal);
}

/* ---- turns ----------------------------------------------------------------------------------------------- */

static void next_turn(struct map_iteration *iteration, unsigned ms)
{
    const struct timeval delay = { .tv_usec = (suseconds_t)ms * 1000 };

    event_add(iteration->turn, &delay);
}

static struct json_object *make_answer(const struct map_iteration *iteration, struct json_object *elements)
{
    struct json_object *answer = json_object_new_object();

    if (iteration->shows)
        json_object_object_add(answer, "elements", json_object_get(elements));
    else
        view_add_int(answer, "removed", iteration->count);
    return answer;
}

/* Some steps, and what is to be said of them. */
static void take_turn(struct map_iteration *iteration)
{
    const struct map_definition *definition = &iteration->map->definition;
    size_t size = (size_t)definition->key_size + definition->value_size, most = TURN_BYTES / (size + 1) + 1;
    int64_t begin_us = pace_now_us();
    struct json_object *elements = json_object_new_array();
    struct refusal refusal = { 0 };
    size_t steps = 0;
    int r = 1;

    while (r > 0 && steps < most && steps < TURN_ELEMENTS && pace_now_us() - begin_us < TURN_US) {
        if (!map_access_skip(iteration->map, &iteration->cursor))
            continue;
        r = iteration->step(iteration, elements, &refusal);
        iteration->count += r > 0;
        steps++;
    }
    if (r < 0)
        service_refuse(iteration->call, CONTROL_INTERFACE, &refusal);
    else if (r == 0)
        call_reply(iteration->call, make_answer(iteration, elements));
    else if (iteration->shows && steps > 0)
        call_reply_continues(iteration->call, make_answer(iteration, elements));
    json_object_put(elements);
    if (r > 0)
        next_turn(iteration, 0);
    else
        iteration_free(iteration);
}

static void on_turn(evutil_socket_t unused, short events, void *userdata)
{
    struct map_iteration *iteration = userdata;

    (void)unused, (void)events;
    if (call_is_deserted(iteration->call)) {
        call_close(iteration->call);
        iteration_free(iteration);
    } else if (call_queued(iteration->call) > QUEUED_MAX) {
        next_turn(iteration, WAIT_MS);
    } else {
        take_turn(iteration);
    }
}

/* ---- beginning ------------------------------------------------------------------------------------------- */

static int start(struct daemon *daemon, struct shared_map *map, struct call *call, const struct map_iteration *what,
                 struct refusal *refusal)
{
    struct map_iteration *iteration = malloc(sizeof(*iteration));

    if (!iteration)
        return refuse_memory(refusal);
    *iteration = *what;
    iteration->turn = evtimer_new(daemon->base, on_turn, iteration);
    if (!iteration->turn) {
        free(iteration);
        return refuse_memory(refusal);
    }
    iteration->daemon = daemon;
    iteration->call = call_get(call);
    iteration->map = shared_map_get(map);
    LIST_INSERT_HEAD(&daemon->map_iterations, iteration, entry);
    next_turn(iteration, 0);
    return 0;
}

int map_iteration_show(struct daemon *daemon, struct shared_map *map, struct call *call, bool hex, struct refusal *refusal)
{
    const struct map_iteration what = { .step = step_show, .shows = true, .hex = hex };

    return start(daemon, map, call, &what, refusal);
}

int map_iteration_clear(struct daemon *daemon, struct shared_map *map, struct call *call, struct refusal *refusal)
{
    const struct map_iteration what = { .step = step_clear };

    return start(daemon, map, call, &what, refusal);
}
