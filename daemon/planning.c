/* SPDX-License-Identifier: MIT */
#include "planning.h"

#include <errno.h>
#include <event2/event.h>
#include <json-c/json.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "change.h"
#include "log.h"
#include "pace.h"
#include "planner.h"
#include "sampling.h"
#include "statistics.h"
#include "store.h"
#include "table_code.h"
#include "util.h"
#include "view.h"

#define SAMPLERS_MAX 16                 /* of one table, that a stopped thread keeps from being released */
#define RETURN_MS 1                     /* behind the window: calls that were in the sampler have written their keys */
#define SLICE_US 3000                   /* of reading keys, before others have their turn */
#define FREQUENCIES_MAX 64              /* hottest entries that are stored and shown */

struct planned {
    struct planner_answer answer;
    double expected_ns;                 /* of the plan that stands, under the last sample */
    size_t keys;                        /* in the last sample that was large enough; 0: none was */
    struct sampling sampling;
    uint32_t key[PLANNING_KEYS];        /* of that sample */
    size_t kept;                        /* of them */
};

enum phase { WAITING, OPEN, RETURNING, READING };

struct planning {
    struct daemon *daemon;
    struct event *timer;
    unsigned interval_ms;
    size_t next;                        /* index of the table to look at */
    enum phase phase;                   /* of the window of `table` */
    char table[NAME_LENGTH_MAX + 1];    /* by name: it may be gone when the window closes */
    struct sample sample;
};

static void sleep_ms(struct planning *planning, unsigned ms)
{
    const struct timeval delay = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

    event_add(planning->timer, &delay);
}

static struct planned *planned_of(struct table *table)
{
    if (table->planned)
        return table->planned;
    table->planned = calloc(1, sizeof(*table->planned));
    if (table->planned)
        table->planned->sampling = SAMPLING_FIRST;
    return table->planned;
}

/* ---- planning a table ---------------------------------------------------------------------------------- */

static struct json_object *view_hot(const struct dispatcher_plan *plan)
{
    struct json_object *hot = json_object_new_array();

    for (unsigned i = 0; i < plan->hot; i++)
        json_object_array_add(hot, json_object_new_int64(plan->hot_key[i]));
    return hot;
}

static int compare_samples(const void *first, const void *second)
{
    const struct link *a = *(struct link *const *)first, *b = *(struct link *const *)second;

    return a->samples != b->samples ? (a->samples < b->samples ? 1 : -1) : (a->id > b->id) - (a->id < b->id);
}

/* The first links of the hottest entries, hottest first; returns how many.  The array is the caller's. */
static size_t hottest(const struct table *table, struct link ***ret)
{
    struct link **link = calloc(table->links + 1, sizeof(struct link *));
    size_t links = 0;

    *ret = link;
    if (!link)
        return 0;
    for (size_t i = 0; i < table->links; i++)
        if (table->link[i]->samples > 0 && (i == 0 || !link_same_entry(table->link[i - 1], table->link[i])))
            link[links++] = table->link[i];
    qsort(link, links, sizeof(struct link *), compare_samples);
    return links < FREQUENCIES_MAX ? links : FREQUENCIES_MAX;
}

static struct json_object *plan_json(const struct table *table)
{
    struct json_object *json = json_object_new_object(), *weights = json_object_new_array();
    _cleanup_free_ struct link **link = NULL;
    size_t links = hottest(table, &link);

    for (size_t i = 0; i < links; i++) {
        struct json_object *weight = json_object_new_array();

        json_object_array_add(weight, json_object_new_int64(link[i]->id));
        json_object_array_add(weight, json_object_new_int64(link[i]->samples));
        json_object_array_add(weights, weight);
    }
    view_add_string(json, "shape", dispatcher_shape_name(table->plan.shape));
    json_object_object_add(json, "hot", view_hot(&table->plan));
    view_add_int(json, "links", table->sampled_links);
    json_object_object_add(json, "weights", weights);
    return json;
}

/* A plan is worth no synchronised write: after a power failure it is made anew. */
static void store_plan(struct daemon *daemon, const struct table *table)
{
    struct json_object *json = plan_json(table);
    int r;

    r = store_begin_unsynchronised(daemon->store);
    if (r >= 0)
        r = store_set_plan(daemon->store, table->name, json_object_to_json_string_ext(json, JSON_C_TO_STRING_PLAIN));
    if (store_end_unsynchronised(daemon->store, r) < 0)
        log_line(LOG_WARNING, "table \"%s\": its plan was not stored: %s", table->name, store_error(daemon->store));
    json_object_put(json);
}

/* How often each entry came, to all its links; these are in the order of the cases. */
static void set_samples(struct table *table, const struct table_dispatcher *code, const uint32_t *samples)
{
    size_t link = 0;

    for (size_t i = 0; i < code->dispatcher.count; i++)
        for (size_t j = 0; j < code->cases[i].targets; j++)
            table->link[link++]->samples = samples[i];
}

static void use_samples(struct table *table)
{
    for (size_t i = 0; i < table->links; i++)
        table->link[i]->weight = table->link[i]->samples;
}

/* False where the new code finds no room, or memory: the old one stays, with all that it was made for. */
static bool apply(struct daemon *daemon, struct table *table, const struct dispatcher_plan *plan)
{
    _cleanup_free_ uint32_t *weight = calloc(table->links + 1, sizeof(*weight));
    const struct dispatcher_plan before = table->plan;
    const size_t sampled_links = table->sampled_links;

    if (!weight)
        return false;
    for (size_t i = 0; i < table->links; i++)
        weight[i] = table->link[i]->weight;
    use_samples(table);
    table->plan = *plan;
    table->sampled_links = table->links;
    if (change_rebuild(daemon, table) >= 0) {
        store_plan(daemon, table);
        return true;
    }
    table->plan = before;
    table->sampled_links = sampled_links;
    for (size_t i = 0; i < table->links; i++)
        table->link[i]->weight = weight[i];
    return false;
}

/* Plan by the sample, unless it is too small to say anything. */
static void plan_table(struct planning *planning, struct table *table)
{
    const size_t keys = planning->sample.keys;
    const struct registry *registry = &planning->daemon->registry;
    _cleanup_(table_dispatcher_done) struct table_dispatcher code = { 0 };
    _cleanup_free_ uint32_t *samples = calloc(table->links + 1, sizeof(*samples));
    const struct planner_answer *answer;
    struct planner_question question = {
        .key = planning->sample.key, .keys = keys, .no_indirect = table_no_indirect(registry, table),
        .current = &table->plan,
    };

    if (!samples || keys < PLANNER_SAMPLE_MIN || table_dispatcher(registry, table, &code) < 0)
        return;
    question.cases = code.cases;
    question.count = code.dispatcher.count;
    if (planner_plan(&question, &table->planned->answer, samples) < 0)
        return;
    answer = &table->planned->answer;
    table->planned->keys = keys;
    table->planned->kept = keys < PLANNING_KEYS ? keys : PLANNING_KEYS;
    memcpy(table->planned->key, planning->sample.key, table->planned->kept * sizeof(uint32_t));
    set_samples(table, &code, samples);
    table->planned->expected_ns = answer->current_cost;
    if (answer->change && apply(planning->daemon, table, &answer->plan))
        table->planned->expected_ns = answer->cost[answer->plan.shape];
}

/* ---- windows ------------------------------------------------------------------------------------------- */

/* More keys than one, somebody who may call, and neither code that is on its way elsewhere nor many samplers that wait. */
static bool is_plannable(const struct table *table)
{
    return table->kind == TABLE_KEYS && table->links > 1 && table->workers > 0 && !entry_unsettled(table->entry) &&
        !table->overwritten && table->samplers < SAMPLERS_MAX;
}

static struct table *pick(struct planning *planning)
{
    const struct registry *registry = &planning->daemon->registry;

    for (size_t i = 0; i < registry->tables; i++) {
        struct table *table = registry->table[planning->next++ % registry->tables];

        if ((!table->planned || sampling_turn(&table->planned->sampling)) && is_plannable(table))
            return table;
    }
    return NULL;
}

static void open_window(struct planning *planning)
{
    struct table *table = pick(planning);

    if (!table || !planned_of(table)) {
        sleep_ms(planning, planning->interval_ms);
        return;
    }
    if (change_sample(planning->daemon, table, true) < 0) {
        sleep_ms(planning, planning->interval_ms);
        return;
    }
    strcpy(planning->table, table->name);
    planning->phase = OPEN;
    sleep_ms(planning, table->planned->sampling.window_ms);
}

/* The table may be gone, or new code may have taken the sampler's place. */
static int take_out(struct planning *planning)
{
    struct table *table = registry_table(&planning->daemon->registry, planning->table);

    return table && entry_sampled(table->entry) ? change_sample(planning->daemon, table, false) : 0;
}

/* Its keys would be taken for those of other tables, so there are no more windows. */
static bool sampler_stays(const struct planning *planning)
{
    const struct table *table = registry_table(&planning->daemon->registry, planning->table);

    return table && table->overwritten && entry_sampled(table->entry);
}

static void close_window(struct planning *planning)
{
    if (take_out(planning) < 0) {
        if (sampler_stays(planning))
            return;
        sleep_ms(planning, SAMPLING_WINDOW_MAX);        /* there is no memory: try again */
        return;
    }
    planning->phase = RETURNING;
    sleep_ms(planning, RETURN_MS);
}

/* All keys are there. */
static void end_window(struct planning *planning)
{
    struct table *table = registry_table(&planning->daemon->registry, planning->table);

    planning->phase = WAITING;
    if (!table || !table->planned)
        return;
    sampling_adapt(&table->planned->sampling, planning->sample.keys);
    plan_table(planning, table);
}

/* A slice. */
static void read_keys(struct planning *planning)
{
    int64_t begin_us = pace_now_us();
    struct timeval delay;
    bool more;

    if (planning->phase == RETURNING) {
        sample_begin(&planning->sample);
        statistics_samples_begin(planning->daemon->statistics);
        planning->phase = READING;
    }
    do
        more = statistics_samples_step(planning->daemon->statistics, &planning->sample);
    while (more && pace_now_us() - begin_us < SLICE_US);
    if (!more)
        end_window(planning);
    delay = pace_delay(begin_us, more ? 0 : planning->interval_ms * INT64_C(1000));
    event_add(planning->timer, &delay);
}

static void on_timer(evutil_socket_t descriptor, short events, void *userdata)
{
    struct planning *planning = userdata;

    (void)descriptor, (void)events;
    switch (planning->phase) {
    case WAITING:
        open_window(planning);
        break;
    case OPEN:
        close_window(planning);
        break;
    case RETURNING:
    case READING:
        read_keys(planning);
        break;
    }
}

int planning_new(struct daemon *daemon, unsigned interval_ms, struct planning **ret)
{
    _cleanup_free_ struct planning *planning = calloc(1, sizeof(*planning));

    if (!planning)
        return -ENOMEM;
    planning->daemon = daemon;
    planning->interval_ms = interval_ms;
    planning->timer = event_new(daemon->base, -1, 0, on_timer, planning);
    if (!planning->timer)
        return -ENOMEM;
    if (interval_ms > 0)
        sleep_ms(planning, interval_ms);
    *ret = TAKE_POINTER(planning);
    return 0;
}

struct planning *planning_free(struct planning *planning)
{
    if (!planning)
        return NULL;
    if (planning->phase == OPEN)
        take_out(planning);
    event_free(planning->timer);
    free(planning);
    return NULL;
}

/* ---- the database, the API ----------------------------------------------------------------------------- */

static void restore_hot(struct dispatcher_plan *plan, struct json_object *hot)
{
    if (!json_object_is_type(hot, json_type_array))
        return;
    for (size_t i = 0; i < json_object_array_length(hot) && plan->hot < DISPATCHER_HOT_MAX; i++)
        plan->hot_key[plan->hot++] = (uint32_t)json_object_get_int64(json_object_array_get_idx(hot, i));
}

/* Of the entry whose first link is this one. */
static void set_entry_samples(struct table *table, int64_t id, uint32_t samples)
{
    struct link *const *chain;

    for (size_t i = 0; i < table->links; i++)
        if (table->link[i]->id == id)
            for (size_t links = table_chain(table, table->link[i], &chain); links > 0; links--)
                chain[links - 1]->samples = samples;
}

static void restore_weights(struct table *table, struct json_object *weights)
{
    if (!json_object_is_type(weights, json_type_array))
        return;
    for (size_t i = 0; i < json_object_array_length(weights); i++) {
        struct json_object *weight = json_object_array_get_idx(weights, i);
        int64_t id = json_object_get_int64(json_object_array_get_idx(weight, 0));

        set_entry_samples(table, id, (uint32_t)json_object_get_int64(json_object_array_get_idx(weight, 1)));
    }
}

void planning_restore(struct table *table, const char *text)
{
    struct json_object *json = json_tokener_parse(text), *shape = json_object_object_get(json, "shape");
    struct dispatcher_plan plan = { 0 };

    if (json_object_is_type(shape, json_type_string) &&
        dispatcher_shape_find(json_object_get_string(shape), &plan.shape)) {
        restore_hot(&plan, json_object_object_get(json, "hot"));
        restore_weights(table, json_object_object_get(json, "weights"));
        use_samples(table);
        table->plan = plan;
        table->sampled_links = (size_t)json_object_get_int64(json_object_object_get(json, "links"));
    }
    json_object_put(json);
}

size_t planning_sample(const struct table *table, const uint32_t **ret)
{
    if (!table->planned)
        return 0;
    *ret = table->planned->key;
    return table->planned->kept;
}

static struct json_object *view_frequencies(const struct table *table)
{
    struct json_object *frequencies = json_object_new_array();
    _cleanup_free_ struct link **link = NULL;
    size_t links = hottest(table, &link);
    char keys[LINK_KEYS_TEXT];

    for (size_t i = 0; i < links; i++) {
        struct json_object *frequency = json_object_new_object();

        link_keys_text(link[i], keys);
        view_add_string(frequency, "keys", keys);
        view_add_int(frequency, "samples", link[i]->samples);
        json_object_array_add(frequencies, frequency);
    }
    return frequencies;
}

static struct json_object *view_costs(const struct planner_answer *answer)
{
    struct json_object *costs = json_object_new_array();

    for (unsigned shape = 0; shape < PLANNER_SHAPES; shape++) {
        struct json_object *cost;

        if (!isfinite(answer->cost[shape]))
            continue;
        cost = json_object_new_object();
        view_add_string(cost, "shape", dispatcher_shape_name(shape));
        json_object_object_add(cost, "expected_ns", json_object_new_double(answer->cost[shape]));
        json_object_array_add(costs, cost);
    }
    return costs;
}

struct json_object *planning_view(const struct daemon *daemon, const struct table *table)
{
    static const struct planned nothing = { .answer.reason = "no keys were sampled yet: by the number of entries" },
                                earlier = { .answer.reason = "the plan of an earlier sample" };
    const struct planned *planned = table->planned && table->planned->keys ? table->planned
                                  : table->sampled_links ? &earlier : &nothing;
    const char *reason = table->overwritten ? "something else wrote into its code: it stays as it is until a restart"
                                            : planned->answer.reason;
    bool no_indirect = table_no_indirect(&daemon->registry, table);
    struct json_object *view = json_object_new_object();

    view_add_string(view, "table", table->name);
    view_add_string(view, "shape", dispatcher_shape_name(entry_shape(table->entry)));
    view_add_string(view, "policy", no_indirect ? "no_indirect" : "any");
    view_add_string(view, "reason", reason);
    json_object_object_add(view, "hot_keys", view_hot(&table->plan));
    view_add_int(view, "sampled", planned->keys);
    json_object_object_add(view, "misses", json_object_new_double(planned->answer.misses));
    json_object_object_add(view, "distinct", json_object_new_double(planned->answer.distinct));
    json_object_object_add(view, "frequencies", view_frequencies(table));
    json_object_object_add(view, "costs", planned->keys ? view_costs(&planned->answer) : json_object_new_array());
    if (planned->keys)
        json_object_object_add(view, "expected_ns", json_object_new_double(planned->expected_ns));
    return view;
}
