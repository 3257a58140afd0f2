/* SPDX-License-Identifier: MIT */
#include "statistics.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "architecture.h"
#include "counted_lines.h"
#include "daemon.h"
#include "log.h"
#include "pace.h"
#include "registry.h"
#include "store.h"
#include "util.h"

#define READ_INTERVAL_US 1000000
#define SLICE_US 3000           /* of reading, before others have their turn */
#define CALIBRATION_US 2000

_Static_assert(COUNTERS_MAX >= LINKS_MAX + TABLES_MAX, "all there are can be counted");

/* A reading in parts. */
struct statistics_reading {
    LIST_ENTRY(statistics_reading) entry;
    struct statistics *statistics;
    size_t chunk;                               /* what it reads next, */
    struct counted_lines *lines;                /* and of whom; NULL: of all */
    bool done[PLACES_CHUNKS];
};

struct statistics {
    struct daemon *daemon;
    struct event *timer;
    int64_t start_us;                           /* at the same time: */
    uint64_t start_cycles;
    LIST_HEAD(, counted_lines) lines;
    struct places places;
    size_t free_from;                           /* none before this one is nobody's */
    bool marked[PLACES_CHUNKS];                 /* to be read by statistics_read_marked() */
    LIST_HEAD(, statistics_reading) readings;
    struct statistics_reading timed;            /* the timer's */
    struct counted_lines *sampled;              /* whose sample rings are read next; NULL: nobody's, */
    uint32_t sampled_line;                      /* from this one on */
    bool reading;                               /* it is in the middle of the places */
};

/* ---- reading ------------------------------------------------------------------------------------------- */

static void read_chunk(struct statistics *statistics, size_t chunk)
{
    struct counted_lines *lines;

    LIST_FOREACH(lines, &statistics->lines, entry)
        counted_lines_advance(lines, chunk);
    for (size_t i = chunk * PLACES_CHUNK; i < places_chunk_end(&statistics->places, chunk); i++)
        statistics->places.place[i].fresh = false;
    statistics->marked[chunk] = false;
}

void statistics_mark(struct statistics *statistics, const struct counter *counter)
{
    if (counter->place)
        statistics->marked[place_index(counter->place) / PLACES_CHUNK] = true;
}

void statistics_read_marked(struct statistics *statistics)
{
    for (size_t chunk = 0; chunk * PLACES_CHUNK < statistics->places.used; chunk++)
        if (statistics->marked[chunk])
            read_chunk(statistics, chunk);
}

void statistics_read(struct statistics *statistics)
{
    for (size_t chunk = 0; chunk * PLACES_CHUNK < statistics->places.used; chunk++)
        read_chunk(statistics, chunk);
}

int statistics_reading_new(struct statistics *statistics, struct statistics_reading **ret)
{
    struct statistics_reading *reading = calloc(1, sizeof(*reading));

    if (!reading)
        return -ENOMEM;
    reading->statistics = statistics;
    reading->chunk = PLACES_CHUNKS;
    LIST_INSERT_HEAD(&statistics->readings, reading, entry);
    *ret = reading;
    return 0;
}

struct statistics_reading *statistics_reading_free(struct statistics_reading *reading)
{
    if (reading)
        LIST_REMOVE(reading, entry);
    free(reading);
    return NULL;
}

bool statistics_reading_step(struct statistics_reading *reading, const struct counter *counter)
{
    size_t chunk = counter->place ? place_index(counter->place) / PLACES_CHUNK : 0;

    if (!counter->place || reading->done[chunk])
        return true;
    if (reading->chunk != chunk) {
        reading->chunk = chunk;
        reading->lines = LIST_FIRST(&reading->statistics->lines);
    }
    if (reading->lines) {
        counted_lines_advance(reading->lines, chunk);
        reading->lines = LIST_NEXT(reading->lines, entry);
    }
    reading->done[chunk] = !reading->lines;
    return reading->done[chunk];
}

/* ---- the database -------------------------------------------------------------------------------------- */

/* entry: NULL: none. */
static char *counter_text(const struct counter *counter, const struct entry_totals *entry)
{
    struct json_object *view = counter->totals ? counts_view(counter->totals) : json_object_new_object();
    char *text;

    json_object_object_add(view, "place", json_object_new_int64(counter->counted ? counter->place : 0));
    json_object_object_add(view, "counted", json_object_new_int64(counter->counted));
    json_object_object_add(view, "inherited", json_object_new_int64(counter->inherited));
    if (entry)
        json_object_object_add(view, "entry", counts_view(&entry->counts));
    text = strdup(json_object_to_json_string_ext(view, JSON_C_TO_STRING_PLAIN));
    json_object_put(view);
    return text;
}

int counter_store(struct store *store, const struct counter *counter, int64_t link, const char *table)
{
    const struct entry_totals *entry = link ? CONTAINER_OF(counter, const struct link, counter)->entry : NULL;
    _cleanup_free_ char *text = counter_text(counter, entry);

    if (!text)
        return -ENOMEM;
    return link ? store_set_counters(store, link, text) : store_set_misses(store, table, text);
}

static bool has_changed(const struct statistics *statistics, size_t first, size_t end)
{
    for (size_t i = first; i < end; i++)
        if (statistics->places.place[i].counter && statistics->places.place[i].counter->changed)
            return true;
    return false;
}

static int store_counters(struct statistics *statistics, size_t first, size_t end)
{
    int r = 0;

    for (size_t i = first; r >= 0 && i < end; i++) {
        const struct place *place = &statistics->places.place[i];

        if (place->counter && place->counter->changed)
            r = counter_store(statistics->daemon->store, place->counter, place->link, place->table);
    }
    return r;
}

static int store_totals(struct statistics *statistics)
{
    const struct totals *totals;
    int r = 0;

    LIST_FOREACH(totals, &statistics->places.changed, entry)
        if (r >= 0)
            r = totals_store(statistics->daemon->store, totals);
    return r;
}

static void set_stored(struct statistics *statistics, size_t first, size_t end)
{
    struct totals *totals;

    for (size_t i = first; i < end; i++)
        if (statistics->places.place[i].counter)
            statistics->places.place[i].counter->changed = false;
    while ((totals = LIST_FIRST(&statistics->places.changed))) {
        totals_done(totals);
        totals->changed = false;
    }
}

/* The totals of these places, and of what has links.  What cannot be written stays changed. */
static void store_places(struct statistics *statistics, size_t first, size_t end)
{
    struct store *store = statistics->daemon->store;
    int r;

    if (LIST_EMPTY(&statistics->places.changed) && !has_changed(statistics, first, end))
        return;
    r = store_begin_unsynchronised(store);
    if (r >= 0)
        r = store_counters(statistics, first, end);
    if (r >= 0)
        r = store_totals(statistics);
    r = store_end_unsynchronised(store, r);
    if (r < 0)
        log_line(LOG_WARNING, "totals of statistics were not stored: %s", store_error(store));
    else
        set_stored(statistics, first, end);
}

void statistics_store_totals(struct statistics *statistics)
{
    store_places(statistics, 0, 0);
}

static int store_all(struct statistics *statistics)
{
    const struct registry *registry = &statistics->daemon->registry;
    int r = store_totals(statistics);

    for (size_t i = 0; r >= 0 && i < registry->links; i++)
        if (registry->link[i]->counter.totals)
            r = counter_store(statistics->daemon->store, &registry->link[i]->counter, registry->link[i]->id, NULL);
    return r;
}

void statistics_restored(struct statistics *statistics)
{
    struct store *store = statistics->daemon->store;
    int r;

    totals_restored(&statistics->daemon->registry, &statistics->places.changed);
    if (LIST_EMPTY(&statistics->places.changed))
        return;
    r = store_begin_unsynchronised(store);
    if (r >= 0)
        r = store_all(statistics);
    if (store_end_unsynchronised(store, r) < 0)
        log_line(LOG_WARNING, "totals of statistics were not stored: %s", store_error(store));
    else
        set_stored(statistics, 0, 0);
}

struct totals_list *statistics_changed_totals(struct statistics *statistics)
{
    return &statistics->places.changed;
}

void statistics_store_changed(struct statistics *statistics)
{
    store_places(statistics, 0, statistics->places.used);
}

/* ---- counters ------------------------------------------------------------------------------------------ */

static int find_free(struct statistics *statistics, size_t *ret)
{
    for (size_t i = statistics->free_from; i < COUNTERS_MAX; i++)
        if (!statistics->places.place[i].counter) {
            *ret = statistics->free_from = i;
            return 0;
        }
    return -ENOSPC;
}

static void read_later(struct statistics *statistics, int64_t begin_us, int64_t interval_us)
{
    const struct timeval delay = pace_delay(begin_us, interval_us);

    event_add(statistics->timer, &delay);
}

static void start_reading(struct statistics *statistics)
{
    if (!event_pending(statistics->timer, EV_TIMEOUT, NULL))
        read_later(statistics, pace_now_us(), READ_INTERVAL_US);
}

static int take_place(struct statistics *statistics, size_t index, const struct place *place)
{
    struct counter *counter = place->counter;

    if (!counter->totals)
        counter->totals = calloc(1, sizeof(*counter->totals));
    if (!counter->totals || (place->link && totals_begin(CONTAINER_OF(counter, struct link, counter)) < 0))
        return -ENOMEM;
    counter->place = index_place(index);
    statistics->places.place[index] = *place;
    if (statistics->places.used <= index)
        statistics->places.used = index + 1;
    statistics->marked[index / PLACES_CHUNK] |= place->fresh;
    start_reading(statistics);
    return 0;
}

int counter_place(struct statistics *statistics, struct counter *counter, int64_t link, const char *table)
{
    const struct place place = { counter, link, table, .fresh = true };
    size_t index;
    int r;

    if (counter->place)
        return 0;
    r = find_free(statistics, &index);
    return r < 0 ? r : take_place(statistics, index, &place);
}

void counter_hand_over(struct statistics *statistics, struct counter *from, struct counter *to, const char *table)
{
    *to = *from;
    *from = (struct counter){ 0 };
    if (!to->place)
        return;
    statistics->places.place[place_index(to->place)].counter = to;
    statistics->places.place[place_index(to->place)].table = table;
}

void counter_release(struct statistics *statistics, struct counter *counter)
{
    size_t index;

    if (!counter->place)
        return;
    index = place_index(counter->place);
    statistics->places.place[index] = (struct place){ 0 };
    if (index < statistics->free_from)
        statistics->free_from = index;
    counter->place = 0;
    while (statistics->places.used > 0 && !statistics->places.place[statistics->places.used - 1].counter)
        statistics->places.used--;
    if (statistics->places.used == 0)
        event_del(statistics->timer);
}

/* A place that is written in the database: it is one, and nobody else's. */
static bool place_is_free(const struct statistics *statistics, int64_t place)
{
    size_t index;

    if (place < COUNTERS_BLOCKS || place >= DD_LINE_COUNTERS_SIZE)
        return false;
    index = place_index((uint32_t)place);
    return index < COUNTERS_MAX && index_place(index) == place && !statistics->places.place[index].counter;
}

int counter_restore(struct statistics *statistics, const char *text, int64_t link, const char *table,
                    struct counter *counter)
{
    struct json_object *view = json_tokener_parse(text), *entry = json_object_object_get(view, "entry");
    int64_t place = json_object_get_int64(json_object_object_get(view, "place"));
    const struct place wanted = { counter, link, table, .fresh = false };
    int r = 0;

    *counter = (struct counter){
        .counted = (unsigned)json_object_get_int(json_object_object_get(view, "counted")),
        .inherited = (unsigned)json_object_get_int(json_object_object_get(view, "inherited")),
    };
    if (!json_object_is_type(view, json_type_object) || (counter->counted && !place_is_free(statistics, place)))
        r = -EBADMSG;
    if (r >= 0 && json_object_object_get(view, "runs")) {
        counter->totals = calloc(1, sizeof(*counter->totals));
        if (counter->totals)
            counts_read(view, counter->totals);
        else
            r = -ENOMEM;
    }
    if (r >= 0 && link && (entry || counter->totals))
        r = entry_totals_restore(entry, CONTAINER_OF(counter, struct link, counter));
    if (r >= 0 && counter->counted)
        r = take_place(statistics, place_index((uint32_t)place), &wanted);
    json_object_put(view);
    return r;
}

/* ---- samples ------------------------------------------------------------------------------------------- */

void statistics_samples_begin(struct statistics *statistics)
{
    statistics->sampled = LIST_FIRST(&statistics->lines);
    statistics->sampled_line = 0;
}

static void sample_next_lines(struct statistics *statistics)
{
    statistics->sampled = LIST_NEXT(statistics->sampled, entry);
    statistics->sampled_line = 0;
}

bool statistics_samples_step(struct statistics *statistics, struct sample *sample)
{
    if (!statistics->sampled)
        return false;
    if (!counted_lines_sample(statistics->sampled, &statistics->sampled_line, sample))
        sample_next_lines(statistics);
    return statistics->sampled;
}

/* ---- workers ------------------------------------------------------------------------------------------- */

int statistics_add_lines(struct statistics *statistics, const struct lines *lines, bool fresh, const char *text,
                         struct counted_lines **ret)
{
    int r = counted_lines_new(&statistics->places, lines, fresh, text, ret);

    if (r < 0)
        return r;
    LIST_INSERT_HEAD(&statistics->lines, *ret, entry);
    return 0;
}

struct counted_lines *statistics_remove_lines(struct statistics *statistics, struct counted_lines *lines)
{
    struct statistics_reading *reading;

    if (!lines)
        return NULL;
    if (lines == statistics->sampled)
        sample_next_lines(statistics);
    LIST_FOREACH(reading, &statistics->readings, entry)
        if (reading->lines == lines)
            reading->lines = LIST_NEXT(lines, entry);
    LIST_REMOVE(lines, entry);
    return counted_lines_free(lines);
}

/* ---- life ---------------------------------------------------------------------------------------------- */

/* The longer ago the start, the better; at first it waits until that is long enough for three digits. */
uint64_t statistics_cycles_per_second(const struct statistics *statistics)
{
    int64_t elapsed_us;
    uint64_t cycles;

    do {
        elapsed_us = pace_now_us() - statistics->start_us;
        cycles = architecture_native()->read_cycles() - statistics->start_cycles;
    } while (elapsed_us < CALIBRATION_US);
    return (uint64_t)((double)cycles * 1e6 / (double)elapsed_us);
}

/* Read a chunk of one worker, and store it when it was that of the last.  false: all was read. */
static bool read_next(struct statistics *statistics)
{
    struct statistics_reading *timed = &statistics->timed;

    if (timed->chunk * PLACES_CHUNK >= statistics->places.used)
        return false;
    if (timed->lines) {
        counted_lines_advance(timed->lines, timed->chunk);
        timed->lines = LIST_NEXT(timed->lines, entry);
    }
    if (!timed->lines) {
        store_places(statistics, timed->chunk * PLACES_CHUNK, places_chunk_end(&statistics->places, timed->chunk));
        timed->chunk++;
        timed->lines = LIST_FIRST(&statistics->lines);
    }
    return true;
}

/* A slice.  Those of one reading follow on each other as pace.h says. */
static void on_timer(evutil_socket_t descriptor, short events, void *userdata)
{
    struct statistics *statistics = userdata;
    int64_t begin_us = pace_now_us();
    bool more;

    (void)descriptor, (void)events;
    if (!statistics->reading) {
        statistics->timed.chunk = 0;
        statistics->timed.lines = LIST_FIRST(&statistics->lines);
    }
    do
        more = read_next(statistics);
    while (more && pace_now_us() - begin_us < SLICE_US);
    statistics->reading = more;
    read_later(statistics, begin_us, more ? 0 : READ_INTERVAL_US);
}

int statistics_new(struct daemon *daemon, struct statistics **ret)
{
    _cleanup_free_ struct statistics *statistics = calloc(1, sizeof(*statistics));

    if (!statistics)
        return -ENOMEM;
    statistics->daemon = daemon;
    statistics->start_us = pace_now_us();
    statistics->start_cycles = architecture_native()->read_cycles();
    LIST_INIT(&statistics->lines);
    LIST_INIT(&statistics->places.changed);
    LIST_INIT(&statistics->readings);
    LIST_INSERT_HEAD(&statistics->readings, &statistics->timed, entry);
    statistics->timer = event_new(daemon->base, -1, 0, on_timer, statistics);
    if (!statistics->timer)
        return -ENOMEM;
    *ret = TAKE_POINTER(statistics);
    return 0;
}

struct statistics *statistics_free(struct statistics *statistics)
{
    if (!statistics)
        return NULL;
    assert(LIST_EMPTY(&statistics->lines));
    event_free(statistics->timer);
    free(statistics);
    return NULL;
}
