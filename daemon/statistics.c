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
#include "daemon.h"
#include "dispatcher.h"
#include "lines.h"
#include "log.h"
#include "pace.h"
#include "store.h"
#include "util.h"

#define READ_INTERVAL_US 1000000
#define CALIBRATION_US 2000

struct counted_lines {
    LIST_ENTRY(counted_lines) entry;
    struct statistics *statistics;
    const struct lines *lines;
    struct counts seen[COUNTERS_MAX];   /* by place: the sum over all lines when it was last read */
    uint64_t position[DD_LINES_MAX];    /* of each line's sample ring */
};

/* Who has a place. */
struct place {
    struct counter *counter;    /* NULL: nobody */
    int64_t link;               /* 0: the misses of `table` */
    const char *table;
    bool fresh;                 /* what is counted there was not looked at yet, and is not this counter's */
};

struct statistics {
    struct daemon *daemon;
    struct event *timer;
    int64_t start_us;                           /* at the same time: */
    uint64_t start_cycles;
    LIST_HEAD(, counted_lines) lines;
    struct place place[COUNTERS_MAX];
    size_t used;                                /* no place from this one on is anybody's */
    bool has_fresh;                             /* some are */
    struct counter_block block[COUNTERS_MAX];   /* of one line, as it is read */
    struct counts now[COUNTERS_MAX];            /* sums over the lines of one worker */
};

static size_t place_index(uint32_t place)
{
    return (place - COUNTERS_BLOCKS) / sizeof(struct counter_block);
}

static uint32_t index_place(size_t index)
{
    return (uint32_t)(COUNTERS_BLOCKS + index * sizeof(struct counter_block));
}

/* ---- reading ------------------------------------------------------------------------------------------- */

/* Sum up all places over all lines.  A line that cannot be read counts nothing. */
static void sum_lines(struct counted_lines *lines)
{
    struct statistics *statistics = lines->statistics;
    uint32_t used = lines_used(lines->lines);

    for (size_t i = 0; i < statistics->used; i++)
        statistics->now[i] = counts_after(&lines->seen[i]);
    for (uint32_t line = lines_next_counted(lines->lines, 0); line < used;
         line = lines_next_counted(lines->lines, line + 1)) {
        if (lines_read_counters(lines->lines, line, index_place(0), statistics->block,
                                statistics->used * sizeof(struct counter_block)) < 0)
            continue;
        for (size_t i = 0; i < statistics->used; i++)
            if (statistics->place[i].counter && statistics->block[i].runs)
                counts_add_block(&statistics->now[i], &statistics->block[i]);
    }
}

/*
 * The blocks do not say how many runs were timed: all, while timing is on, but of a native that may block.  They are
 * read whenever that changes.
 */
static void advance_counter(struct counter *counter, const struct counts *now, struct counts *seen)
{
    uint64_t before = counter->totals->runs;
    bool timed = (counter->counted & (COUNT_TIME | COUNT_HISTOGRAM)) && now->cycles > seen->cycles;

    if (!counts_advance(counter->totals, now, seen))
        return;
    counter->changed = true;
    if (timed)
        counter->totals->timed += counter->totals->runs - before;
}

/* What has come since the last time. */
static void advance(struct counted_lines *lines)
{
    struct statistics *statistics = lines->statistics;

    sum_lines(lines);
    for (size_t i = 0; i < statistics->used; i++) {
        const struct place *place = &statistics->place[i];

        if (place->fresh)
            lines->seen[i] = statistics->now[i];
        else if (place->counter)
            advance_counter(place->counter, &statistics->now[i], &lines->seen[i]);
    }
}

/* Whatever is there is old. */
static void skip(struct counted_lines *lines)
{
    sum_lines(lines);
    for (size_t i = 0; i < lines->statistics->used; i++)
        if (lines->statistics->place[i].counter)
            lines->seen[i] = lines->statistics->now[i];
}

void statistics_read(struct statistics *statistics)
{
    struct counted_lines *lines;

    LIST_FOREACH(lines, &statistics->lines, entry)
        advance(lines);
    for (size_t i = 0; i < statistics->used; i++)
        statistics->place[i].fresh = false;
    statistics->has_fresh = false;
}

void statistics_prepare(struct statistics *statistics)
{
    if (statistics->has_fresh)
        statistics_read(statistics);
}

/* ---- the database -------------------------------------------------------------------------------------- */

static char *counter_text(const struct counter *counter)
{
    struct json_object *view = counter->totals ? counts_view(counter->totals) : json_object_new_object();
    char *text;

    json_object_object_add(view, "place", json_object_new_int64(counter->counted ? counter->place : 0));
    json_object_object_add(view, "counted", json_object_new_int64(counter->counted));
    json_object_object_add(view, "inherited", json_object_new_int64(counter->inherited));
    text = strdup(json_object_to_json_string_ext(view, JSON_C_TO_STRING_PLAIN));
    json_object_put(view);
    return text;
}

int counter_store(struct store *store, const struct counter *counter, int64_t link, const char *table)
{
    _cleanup_free_ char *text = counter_text(counter);

    if (!text)
        return -ENOMEM;
    return link ? store_set_counters(store, link, text) : store_set_misses(store, table, text);
}

static void store_places(struct statistics *statistics)
{
    struct store *store = statistics->daemon->store;
    int r;

    r = store_begin_unsynchronised(store);
    for (size_t i = 0; r >= 0 && i < statistics->used; i++) {
        const struct place *place = &statistics->place[i];

        if (place->counter && place->counter->changed)
            r = counter_store(store, place->counter, place->link, place->table);
    }
    r = store_end_unsynchronised(store, r);
    if (r < 0) {
        log_line(LOG_WARNING, "totals of statistics were not stored: %s", store_error(store));
        return;
    }
    for (size_t i = 0; i < statistics->used; i++)
        if (statistics->place[i].counter)
            statistics->place[i].counter->changed = false;
}

static bool has_changed(const struct statistics *statistics)
{
    for (size_t i = 0; i < statistics->used; i++)
        if (statistics->place[i].counter && statistics->place[i].counter->changed)
            return true;
    return false;
}

void statistics_store(struct statistics *statistics)
{
    statistics_read(statistics);
    if (has_changed(statistics))
        store_places(statistics);
}

/* ---- counters ------------------------------------------------------------------------------------------ */

static int find_free(const struct statistics *statistics, size_t *ret)
{
    for (size_t i = 0; i < COUNTERS_MAX; i++)
        if (!statistics->place[i].counter) {
            *ret = i;
            return 0;
        }
    return -ENOSPC;
}

static void read_later(struct statistics *statistics, int64_t begin_us)
{
    const struct timeval delay = pace_delay(begin_us, READ_INTERVAL_US);

    event_add(statistics->timer, &delay);
}

static void start_reading(struct statistics *statistics)
{
    if (!event_pending(statistics->timer, EV_TIMEOUT, NULL))
        read_later(statistics, pace_now_us());
}

static int take_place(struct statistics *statistics, size_t index, const struct place *place)
{
    struct counter *counter = place->counter;

    if (!counter->totals)
        counter->totals = calloc(1, sizeof(*counter->totals));
    if (!counter->totals)
        return -ENOMEM;
    counter->place = index_place(index);
    statistics->place[index] = *place;
    if (statistics->used <= index)
        statistics->used = index + 1;
    statistics->has_fresh |= place->fresh;
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

void counter_release(struct statistics *statistics, struct counter *counter)
{
    if (!counter->place)
        return;
    statistics->place[place_index(counter->place)] = (struct place){ 0 };
    counter->place = 0;
    while (statistics->used > 0 && !statistics->place[statistics->used - 1].counter)
        statistics->used--;
    if (statistics->used == 0)
        event_del(statistics->timer);
}

/* A place that is written in the database: it is one, and nobody else's. */
static bool place_is_free(const struct statistics *statistics, int64_t place)
{
    size_t index;

    if (place < COUNTERS_BLOCKS || place >= DD_LINE_COUNTERS_SIZE)
        return false;
    index = place_index((uint32_t)place);
    return index < COUNTERS_MAX && index_place(index) == place && !statistics->place[index].counter;
}

int counter_restore(struct statistics *statistics, const char *text, int64_t link, const char *table,
                    struct counter *counter)
{
    struct json_object *view = json_tokener_parse(text);
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
    if (r >= 0 && counter->counted)
        r = take_place(statistics, place_index((uint32_t)place), &wanted);
    json_object_put(view);
    return r;
}

/* ---- samples ------------------------------------------------------------------------------------------- */

/* The newest keys of a line's ring, those that were not there the last time. */
static size_t line_samples(struct counted_lines *lines, uint32_t line, uint32_t *ret, size_t size)
{
    struct sample_ring ring;
    uint64_t position = lines->position[line], fresh;

    /* Most have none: look at the position alone first. */
    if (lines_read_counters(lines->lines, line, 0, &ring.position, sizeof(ring.position)) < 0 ||
        ring.position == position || lines_read_counters(lines->lines, line, 0, &ring, sizeof(ring)) < 0)
        return 0;
    lines->position[line] = ring.position;
    fresh = ring.position - position;
    if (fresh > SAMPLE_KEYS)
        fresh = SAMPLE_KEYS;
    if (fresh > size)
        fresh = size;
    for (uint64_t i = 0; i < fresh; i++)
        ret[i] = ring.key[(ring.position - 1 - i) % SAMPLE_KEYS];
    return (size_t)fresh;
}

size_t statistics_samples(struct statistics *statistics, uint32_t *ret, size_t size)
{
    struct counted_lines *lines;
    size_t count = 0;

    LIST_FOREACH(lines, &statistics->lines, entry)
        for (uint32_t line = lines_next_counted(lines->lines, 0); line < lines_used(lines->lines);
             line = lines_next_counted(lines->lines, line + 1))
            count += line_samples(lines, line, ret + count, size - count);
    return count;
}

/* ---- workers ------------------------------------------------------------------------------------------- */

/* What one place had been read to: [place, link, table, counts]. */
static void restore_seen(struct counted_lines *lines, struct json_object *row)
{
    struct json_object *counts = json_object_array_get_idx(row, 3);
    const char *table = json_object_get_string(json_object_array_get_idx(row, 2));
    int64_t index = json_object_get_int64(json_object_array_get_idx(row, 0));
    const struct place *place;

    if (index < 0 || (size_t)index >= lines->statistics->used)
        return;
    if (!table || !json_object_is_type(counts, json_type_object))
        return;
    place = &lines->statistics->place[index];
    if (place->counter && place->link == json_object_get_int64(json_object_array_get_idx(row, 1)) &&
        !strcmp(place->table, table))
        counts_read(counts, &lines->seen[index]);
}

/* Only if they are the same lines, and the place is still that of the same counter. */
static void restore_lines(struct counted_lines *lines, const char *text)
{
    struct json_object *json = json_tokener_parse(text), *rows = json_object_object_get(json, "places");
    uint64_t inode = (uint64_t)json_object_get_int64(json_object_object_get(json, "inode"));

    if (inode == lines_inode(lines->lines) && json_object_is_type(rows, json_type_array))
        for (size_t i = 0; i < json_object_array_length(rows); i++)
            if (json_object_is_type(json_object_array_get_idx(rows, i), json_type_array))
                restore_seen(lines, json_object_array_get_idx(rows, i));
    json_object_put(json);
}

static struct json_object *seen_row(size_t index, const struct place *place, const struct counts *seen)
{
    struct json_object *row = json_object_new_array();

    json_object_array_add(row, json_object_new_int64((int64_t)index));
    json_object_array_add(row, json_object_new_int64(place->link));
    json_object_array_add(row, json_object_new_string(place->table));
    json_object_array_add(row, counts_view(seen));
    return row;
}

char *counted_lines_text(const struct counted_lines *lines)
{
    const struct statistics *statistics = lines->statistics;
    struct json_object *json, *rows;
    char *text;

    if (statistics->used == 0)
        return NULL;
    json = json_object_new_object();
    rows = json_object_new_array();
    for (size_t i = 0; i < statistics->used; i++)
        if (statistics->place[i].counter)
            json_object_array_add(rows, seen_row(i, &statistics->place[i], &lines->seen[i]));
    json_object_object_add(json, "inode", json_object_new_int64((int64_t)lines_inode(lines->lines)));
    json_object_object_add(json, "places", rows);
    text = strdup(json_object_to_json_string_ext(json, JSON_C_TO_STRING_PLAIN));
    json_object_put(json);
    return text;
}

int counted_lines_new(struct statistics *statistics, const struct lines *lines, bool fresh, const char *text,
                      struct counted_lines **ret)
{
    struct counted_lines *counted = calloc(1, sizeof(*counted));

    if (!counted)
        return -ENOMEM;
    counted->statistics = statistics;
    counted->lines = lines;
    if (!fresh) {
        skip(counted);
        for (uint32_t line = lines_next_counted(lines, 0); line < lines_used(lines);
             line = lines_next_counted(lines, line + 1))
            line_samples(counted, line, NULL, 0);
        restore_lines(counted, text);
    }
    LIST_INSERT_HEAD(&statistics->lines, counted, entry);
    *ret = counted;
    return 0;
}

struct counted_lines *counted_lines_free(struct counted_lines *lines)
{
    if (!lines)
        return NULL;
    advance(lines);
    LIST_REMOVE(lines, entry);
    free(lines);
    return NULL;
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

static void on_timer(evutil_socket_t descriptor, short events, void *statistics)
{
    int64_t begin_us = pace_now_us();

    (void)descriptor, (void)events;
    statistics_store(statistics);
    read_later(statistics, begin_us);
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
