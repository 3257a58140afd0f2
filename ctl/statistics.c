/* SPDX-License-Identifier: MIT */
#include "statistics.h"

#include <json-c/json.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "print.h"
#include "status.h"
#include "util.h"

#define BAR_WIDTH 50

static const struct column table_columns[] = {
    { "TABLE", "table", 0 },
    { "COUNTING", "counting", 0 },
    { "RUNS", "runs", 0 },
    { "MISSES", "misses", 0 },
    { 0 },
};

static const struct column link_columns[] = {
    { "LINK", "link", 0 },
    { "TABLE", "table", 0 },
    { "KEYS", "keys", 0 },
    { "PROGRAM", "program", 0 },
    { "COUNTING", "counting", 0 },
    { "RUNS", "runs", 0 },
    { "MEAN-NS", "mean", 0 },
    { "VERDICTS", "verdicts", 0 },
    { 0 },
};

static const struct column program_columns[] = {
    { "PROGRAM", "program", 0 },
    { "RUNS", "runs", 0 },
    { "MEAN-NS", "mean", 0 },
    { "VERDICTS", "verdicts", 0 },
    { 0 },
};

static int64_t number_of(struct json_object *object, const char *name)
{
    return json_object_get_int64(json_object_object_get(object, name));
}

static double nanoseconds(struct json_object *reply, double cycles)
{
    int64_t rate = number_of(reply, "cycles_per_second");

    return rate > 0 ? cycles * 1e9 / (double)rate : 0;
}

/* ---- rows ---------------------------------------------------------------------------------------------- */

/* "1:15 2:3 other:4" */
static struct json_object *verdicts_text(struct json_object *counts)
{
    struct json_object *verdicts = json_object_object_get(counts, "verdicts"), *result;
    int64_t other = number_of(counts, "other_verdicts");
    _cleanup_free_ char *text = NULL;
    size_t length;
    FILE *out = require(open_memstream(&text, &length));

    for (size_t i = 0; i < json_object_array_length(verdicts); i++) {
        struct json_object *verdict = json_object_array_get_idx(verdicts, i);

        fprintf(out, "%s%lld:%lld", i ? " " : "", (long long)number_of(verdict, "verdict"),
                (long long)number_of(verdict, "count"));
    }
    if (other)
        fprintf(out, " other:%lld", (long long)other);
    fclose(out);
    result = json_object_new_string(length ? text : "-");
    return require(result);
}

static struct json_object *mean_text(struct json_object *reply, struct json_object *counts)
{
    int64_t timed = number_of(counts, "timed_runs");
    char text[32] = "-";

    if (timed > 0)
        snprintf(text, sizeof(text), "%.1f", nanoseconds(reply, (double)number_of(counts, "cycles")) / (double)timed);
    return require(json_object_new_string(text));
}

/* What a row shows of its counts stands beside them. */
static void show_rows(struct json_object *reply, const char *name, const struct column *columns)
{
    struct json_object *rows = json_object_object_get(reply, name);

    for (size_t i = 0; i < json_object_array_length(rows); i++) {
        struct json_object *row = json_object_array_get_idx(rows, i), *counts = json_object_object_get(row, "counts");

        if (!counts)
            continue;
        member_add(row, "runs", json_object_get(json_object_object_get(counts, "runs")));
        member_add(row, "mean", mean_text(reply, counts));
        member_add(row, "verdicts", verdicts_text(counts));
    }
    if (json_object_array_length(rows) == 0)
        return;
    print_table(columns, rows);
    putchar('\n');
}

/* ---- histograms ---------------------------------------------------------------------------------------- */

static void show_bar(int64_t count, int64_t most)
{
    int width = most > 0 ? (int)((double)count * BAR_WIDTH / (double)most + 0.5) : 0;

    printf("%12lld  ", (long long)count);
    for (int i = 0; i < width; i++)
        putchar('#');
    putchar('\n');
}

static void show_histogram(struct json_object *reply, struct json_object *link)
{
    struct json_object *histogram = json_object_object_get(json_object_object_get(link, "counts"), "histogram");
    size_t buckets = json_object_array_length(histogram);
    int64_t most = 0;

    if (buckets == 0)
        return;
    for (size_t i = 0; i < buckets; i++) {
        int64_t count = json_object_get_int64(json_object_array_get_idx(histogram, i));

        most = count > most ? count : most;
    }
    printf("link %lld, runs by time\n", (long long)number_of(link, "link"));
    for (size_t i = 0; i < buckets; i++) {
        printf("  from %10.0f ns ", nanoseconds(reply, i ? (double)(UINT64_C(1) << i) : 0));
        show_bar(json_object_get_int64(json_object_array_get_idx(histogram, i)), most);
    }
    putchar('\n');
}

void statistics_print(const struct verb *verb, struct json_object *reply, bool quiet)
{
    struct json_object *links = json_object_object_get(reply, "links");

    (void)verb;
    for (size_t i = 0; quiet && i < json_object_array_length(links); i++) {
        struct json_object *link = json_object_array_get_idx(links, i);

        printf("%lld %lld\n", (long long)number_of(link, "link"),
               (long long)number_of(json_object_object_get(link, "counts"), "runs"));
    }
    if (quiet)
        return;
    show_rows(reply, "tables", table_columns);
    show_rows(reply, "links", link_columns);
    show_rows(reply, "programs", program_columns);
    for (size_t i = 0; i < json_object_array_length(links); i++)
        show_histogram(reply, json_object_array_get_idx(links, i));
}
