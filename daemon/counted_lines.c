/* SPDX-License-Identifier: MIT */
#include "counted_lines.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher.h"
#include "lines.h"
#include "registry.h"
#include "sampling.h"
#include "util.h"

/* ---- places ------------------------------------------------------------------------------------------------- */

size_t place_index(uint32_t place)
{
    return (place - COUNTERS_BLOCKS) / sizeof(struct counter_block);
}

uint32_t index_place(size_t index)
{
    return (uint32_t)(COUNTERS_BLOCKS + index * sizeof(struct counter_block));
}

size_t places_chunk_end(const struct places *places, size_t chunk)
{
    size_t end = (chunk + 1) * PLACES_CHUNK;

    return end < places->used ? end : places->used;
}

/* ---- reading ------------------------------------------------------------------------------------------------ */

/* What a place was read to; NULL: to 0. */
static struct counts *seen_of(const struct counted_lines *lines, size_t index)
{
    struct counts *chunk = lines->seen[index / PLACES_CHUNK];

    return chunk ? &chunk[index % PLACES_CHUNK] : NULL;
}

/* The same, to be changed.  NULL: no memory. */
static struct counts *want_seen(struct counted_lines *lines, size_t index)
{
    struct counts **chunk = &lines->seen[index / PLACES_CHUNK];

    if (!*chunk)
        *chunk = calloc(PLACES_CHUNK, sizeof(**chunk));
    return seen_of(lines, index);
}

/* Sum up a chunk of places over all lines.  A line that cannot be read counts nothing. */
static void sum_lines(struct counted_lines *lines, size_t chunk)
{
    struct places *places = lines->places;
    size_t first = chunk * PLACES_CHUNK, count = places_chunk_end(places, chunk) - first;
    size_t offset = index_place(first), size = count * sizeof(struct counter_block);
    uint32_t used = lines_used(lines->lines);

    for (size_t i = 0; i < count; i++) {
        const struct counts *seen = seen_of(lines, first + i);

        places->now[i] = seen ? counts_after(seen) : (struct counts){ 0 };
    }
    for (uint32_t line = lines_next_counted(lines->lines, 0, offset, size); line < used;
         line = lines_next_counted(lines->lines, line + 1, offset, size)) {
        if (lines_read_counters(lines->lines, line, offset, places->block, size) < 0)
            continue;
        for (size_t i = 0; i < count; i++)
            if (places->place[first + i].counter && places->block[i].runs)
                counts_add_block(&places->now[i], &places->block[i]);
    }
}

/*
 * The blocks do not say how many runs were timed: all, while timing is on, but of a native that may block.  They are
 * read whenever that changes.
 */
static void advance_counter(struct places *places, const struct place *place, const struct counts *now,
                            struct counts *seen)
{
    struct counter *counter = place->counter;
    bool timed = (counter->counted & (COUNT_TIME | COUNT_HISTOGRAM)) && now->cycles > seen->cycles;
    struct counts news = { 0 };

    if (!counts_advance(&news, now, seen))
        return;
    if (timed)
        news.timed = news.runs;
    counts_add(counter->totals, &news);
    counter->changed = true;
    if (place->link)
        totals_add(CONTAINER_OF(counter, struct link, counter), &news, &places->changed);
}

/* old: whatever is there is not to be counted. */
static void advance(struct counted_lines *lines, size_t chunk, bool old)
{
    struct places *places = lines->places;

    sum_lines(lines, chunk);
    for (size_t i = chunk * PLACES_CHUNK; i < places_chunk_end(places, chunk); i++) {
        const struct place *place = &places->place[i];
        const struct counts *now = &places->now[i % PLACES_CHUNK];
        struct counts *seen = seen_of(lines, i);

        if (!place->counter || (!seen && now->runs == 0))
            continue;
        seen = want_seen(lines, i);
        if (!seen)
            continue;
        if (old || place->fresh)
            *seen = *now;
        else
            advance_counter(places, place, now, seen);
    }
}

static void advance_all(struct counted_lines *lines, bool old)
{
    for (size_t chunk = 0; chunk * PLACES_CHUNK < lines->places->used; chunk++)
        advance(lines, chunk, old);
}

void counted_lines_advance(struct counted_lines *lines, size_t chunk)
{
    advance(lines, chunk, false);
}

/* ---- samples ------------------------------------------------------------------------------------------------ */

/* The keys of a line's ring that were not there the last time.  sample: NULL: they are nobody's. */
static void line_samples(struct counted_lines *lines, uint32_t line, struct sample *sample)
{
    uint64_t position = lines->position[line];
    struct sample_ring ring;

    /* Most have none: look at the position alone first. */
    if (lines_read_counters(lines->lines, line, 0, &ring.position, sizeof(ring.position)) < 0 ||
        ring.position == position || lines_read_counters(lines->lines, line, 0, &ring, sizeof(ring)) < 0)
        return;
    lines->position[line] = ring.position;
    if (sample)
        sample_add(sample, &ring, ring.position - position);
}

bool counted_lines_sample(struct counted_lines *lines, uint32_t *line, struct sample *sample)
{
    *line = lines_next_counted(lines->lines, *line, 0, sizeof(struct sample_ring));
    if (*line < lines_used(lines->lines))
        line_samples(lines, (*line)++, sample);
    return *line < lines_used(lines->lines);
}

/* ---- for the next daemon ------------------------------------------------------------------------------------ */

/* What one place had been read to: [place, link, table, counts]. */
static void restore_seen(struct counted_lines *lines, struct json_object *row)
{
    struct json_object *counts = json_object_array_get_idx(row, 3);
    const char *table = json_object_get_string(json_object_array_get_idx(row, 2));
    int64_t index = json_object_get_int64(json_object_array_get_idx(row, 0));
    const struct place *place;

    if (index < 0 || (size_t)index >= lines->places->used)
        return;
    if (!table || !json_object_is_type(counts, json_type_object))
        return;
    place = &lines->places->place[index];
    if (place->counter && place->link == json_object_get_int64(json_object_array_get_idx(row, 1)) &&
        !strcmp(place->table, table) && want_seen(lines, (size_t)index))
        counts_read(counts, seen_of(lines, (size_t)index));
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
    json_object_array_add(row, seen && seen->runs ? counts_view(seen) : json_object_new_object());
    return row;
}

char *counted_lines_text(const struct counted_lines *lines)
{
    const struct places *places = lines->places;
    struct json_object *json, *rows;
    char *text;

    if (places->used == 0)
        return NULL;
    json = json_object_new_object();
    rows = json_object_new_array();
    for (size_t i = 0; i < places->used; i++)
        if (places->place[i].counter)
            json_object_array_add(rows, seen_row(i, &places->place[i], seen_of(lines, i)));
    json_object_object_add(json, "inode", json_object_new_int64((int64_t)lines_inode(lines->lines)));
    json_object_object_add(json, "places", rows);
    text = strdup(json_object_to_json_string_ext(json, JSON_C_TO_STRING_PLAIN));
    json_object_put(json);
    return text;
}

/* ---- life --------------------------------------------------------------------------------------------------- */

int counted_lines_new(struct places *places, const struct lines *lines, bool fresh, const char *text,
                      struct counted_lines **ret)
{
    struct counted_lines *counted = calloc(1, sizeof(*counted));
    uint32_t line = 0;

    if (!counted)
        return -ENOMEM;
    counted->places = places;
    counted->lines = lines;
    if (!fresh) {
        advance_all(counted, true);
        while (counted_lines_sample(counted, &line, NULL))
            ;
        restore_lines(counted, text);
    }
    *ret = counted;
    return 0;
}

struct counted_lines *counted_lines_free(struct counted_lines *lines)
{
    if (!lines)
        return NULL;
    advance_all(lines, false);
    for (size_t chunk = 0; chunk < PLACES_CHUNKS; chunk++)
        free(lines->seen[chunk]);
    free(lines);
    return NULL;
}
