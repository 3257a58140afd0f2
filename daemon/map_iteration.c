/* SPDX-License-Identifier: MIT */
/* See map_iteration.h. */
#include "map_iteration.h"

#include <json-c/json.h>
#include <stdlib.h>

#include "call.h"
#include "long_call.h"
#include "map_access.h"
#include "service.h"
#include "shared_map.h"
#include "util.h"
#include "view.h"

#define TURN_ELEMENTS 256
#define TURN_BYTES (256u << 10)         /* of keys and values */

struct map_iteration {
    struct long_call work;
    struct daemon *daemon;
    struct shared_map *map;             /* a reference */
    struct map_cursor cursor;
    /*
     * Do it to the next element: 1; 0: there is none any more; negative: `refusal`.  elements: of this turn's answer.
     */
    int (*step)(struct map_iteration *iteration, struct json_object *elements, struct refusal *refusal);
    bool shows;                         /* an answer a turn */
    bool hex;
    uint64_t count;
};

static void iteration_free(struct long_call *work)
{
    struct map_iteration *iteration = (struct map_iteration *)work;

    shared_map_put(iteration->map);
    free(iteration);
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
static bool take_turn(struct long_call *work)
{
    struct map_iteration *iteration = (struct map_iteration *)work;
    const struct map_definition *definition = &iteration->map->definition;
    size_t size = (size_t)definition->key_size + definition->value_size, most = TURN_BYTES / (size + 1) + 1;
    struct json_object *elements = json_object_new_array();
    struct refusal refusal = { 0 };
    size_t steps = 0;
    int r = 1;

    while (r > 0 && steps < most && steps < TURN_ELEMENTS && long_call_goes_on(work)) {
        if (!map_access_skip(iteration->map, &iteration->cursor))
            continue;
        r = iteration->step(iteration, elements, &refusal);
        iteration->count += r > 0;
        steps++;
    }
    if (r < 0)
        service_refuse(work->call, CONTROL_INTERFACE, &refusal);
    else if (r == 0)
        call_reply(work->call, make_answer(iteration, elements));
    else if (iteration->shows && steps > 0)
        call_reply_continues(work->call, make_answer(iteration, elements));
    json_object_put(elements);
    return r > 0;
}

/* ---- beginning ------------------------------------------------------------------------------------------- */

static int start(struct daemon *daemon, struct shared_map *map, struct call *call, const struct map_iteration *what,
                 struct refusal *refusal)
{
    static const struct long_call_kind kind = { take_turn, iteration_free };
    struct map_iteration *iteration = malloc(sizeof(*iteration));

    if (!iteration)
        return refuse_memory(refusal);
    *iteration = *what;
    iteration->daemon = daemon;
    iteration->map = shared_map_get(map);
    long_call_start(daemon->long_calls, &iteration->work, &kind, call);
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
