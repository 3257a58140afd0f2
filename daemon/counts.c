/* SPDX-License-Identifier: MIT */
#include "counts.h"

#include <json-c/json.h>

/* ---- sums ---------------------------------------------------------------------------------------------- */

/* Where runs with this verdict are counted. */
static uint64_t *verdict_count(struct counts *counts, uint32_t verdict)
{
    for (unsigned i = 0; i < counts->verdicts; i++)
        if (counts->verdict[i].verdict == verdict)
            return &counts->verdict[i].count;
    if (counts->verdicts == COUNTS_VERDICTS)
        return &counts->other;
    counts->verdict[counts->verdicts].verdict = verdict;
    counts->verdict[counts->verdicts].count = 0;
    return &counts->verdict[counts->verdicts++].count;
}

void counts_add_block(struct counts *counts, const struct counter_block *block)
{
    counts->runs += block->runs;
    for (int i = 0; i < COUNTER_VERDICTS; i++)
        if (block->verdict[i].verdict && block->verdict[i].count)
            *verdict_count(counts, (uint32_t)block->verdict[i].verdict) += block->verdict[i].count;
    counts->other += block->other;
    counts->cycles += block->cycles;
    for (int i = 0; i < COUNTER_BUCKETS; i++)
        counts->bucket[i] += block->bucket[i];
}

void counts_add(struct counts *counts, const struct counts *more)
{
    struct counts nothing = counts_after(more);

    counts_advance(counts, more, &nothing);
}

struct counts counts_after(const struct counts *earlier)
{
    struct counts counts = { .verdicts = earlier->verdicts };

    for (unsigned i = 0; i < earlier->verdicts; i++)
        counts.verdict[i].verdict = earlier->verdict[i].verdict;
    return counts;
}

/* Returns whether there is anything to add. */
static bool add_increase(uint64_t *total, uint64_t now, uint64_t seen)
{
    if (now <= seen)
        return false;
    *total += now - seen;
    return true;
}

bool counts_advance(struct counts *total, const struct counts *now, struct counts *seen)
{
    bool any = add_increase(&total->runs, now->runs, seen->runs);

    for (unsigned i = 0; i < now->verdicts; i++) {
        uint64_t before = i < seen->verdicts ? seen->verdict[i].count : 0;

        if (now->verdict[i].count > before)
            any |= add_increase(verdict_count(total, now->verdict[i].verdict), now->verdict[i].count, before);
    }
    any |= add_increase(&total->timed, now->timed, seen->timed);
    any |= add_increase(&total->other, now->other, seen->other);
    any |= add_increase(&total->cycles, now->cycles, seen->cycles);
    for (int i = 0; i < COUNTER_BUCKETS; i++)
        any |= add_increase(&total->bucket[i], now->bucket[i], seen->bucket[i]);
    *seen = *now;
    return any;
}

/* ---- JSON ---------------------------------------------------------------------------------------------- */

static void add_number(struct json_object *view, const char *name, uint64_t value)
{
    json_object_object_add(view, name, json_object_new_int64((int64_t)value));
}

static uint64_t read_number(struct json_object *view, const char *name)
{
    return (uint64_t)json_object_get_int64(json_object_object_get(view, name));
}

/* Buckets up to the last that is not 0. */
static struct json_object *view_histogram(const struct counts *counts)
{
    struct json_object *histogram = json_object_new_array();
    int used = COUNTER_BUCKETS;

    while (used > 0 && counts->bucket[used - 1] == 0)
        used--;
    for (int i = 0; i < used; i++)
        json_object_array_add(histogram, json_object_new_int64((int64_t)counts->bucket[i]));
    return histogram;
}

struct json_object *counts_view(const struct counts *counts)
{
    struct json_object *view = json_object_new_object(), *verdicts = json_object_new_array();

    for (unsigned i = 0; i < counts->verdicts; i++) {
        struct json_object *verdict = json_object_new_object();

        add_number(verdict, "verdict", counts->verdict[i].verdict);
        add_number(verdict, "count", counts->verdict[i].count);
        json_object_array_add(verdicts, verdict);
    }
    add_number(view, "runs", counts->runs);
    json_object_object_add(view, "verdicts", verdicts);
    add_number(view, "other_verdicts", counts->other);
    add_number(view, "timed_runs", counts->timed);
    add_number(view, "cycles", counts->cycles);
    json_object_object_add(view, "histogram", view_histogram(counts));
    return view;
}

static size_t array_length(struct json_object *array)
{
    return json_object_is_type(array, json_type_array) ? json_object_array_length(array) : 0;
}

void counts_read(struct json_object *view, struct counts *ret)
{
    struct json_object *verdicts = json_object_object_get(view, "verdicts");
    struct json_object *histogram = json_object_object_get(view, "histogram");

    *ret = (struct counts){
        .runs = read_number(view, "runs"), .other = read_number(view, "other_verdicts"),
        .timed = read_number(view, "timed_runs"), .cycles = read_number(view, "cycles"),
    };
    for (size_t i = 0; i < array_length(verdicts); i++) {
        struct json_object *verdict = json_object_array_get_idx(verdicts, i);

        *verdict_count(ret, (uint32_t)read_number(verdict, "verdict")) += read_number(verdict, "count");
    }
    for (size_t i = 0; i < array_length(histogram) && i < COUNTER_BUCKETS; i++)
        ret->bucket[i] = (uint64_t)json_object_get_int64(json_object_array_get_idx(histogram, i));
}
