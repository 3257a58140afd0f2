/* SPDX-License-Identifier: MIT */
/*
 * What changing a table costs, by the number of its entries: many keys in one transaction, and one key after another
 * in a table that has so many.  Keys that follow one another (dense) and keys spread over all of 32 bits (sparse); a
 * dense table that is counted, and one where a second link comes before another (chain), which cost new code.
 *
 * The time of a change on an open connection, its answer included, holds a durable commit, and so depends on the disk
 * (bench/attach has that alone); the daemon's processor time does not.
 */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <dispatchd.h>

#include "session.h"
#include "target.h"
#include "util.h"

#define ENTRIES_MAX 100000
#define EDITS 200               /* one by one */
#define REBUILDS 20             /* likewise, where each costs new code, in tables of so many at most: */
#define REBUILT_MAX 10000
#define BULK_ENTRIES 10000
#define BULK_GOAL_MS 200
#define ENTRIES_QUICK 100        /* the most, and how many edits, for --quick */
#define EDITS_QUICK 3

DD_TABLE(bench_edits, struct bench_context, TARGET_DEFAULT, DD_READ(value))

static uint32_t keys[ENTRIES_MAX];
static int64_t links[ENTRIES_MAX];

/* ---- keys ---------------------------------------------------------------------------------------------- */

static void fill_dense(void)
{
    for (uint32_t i = 0; i < ENTRIES_MAX; i++)
        keys[i] = i;
}

/* An odd factor: no key comes twice. */
static void fill_sparse(void)
{
    for (uint32_t i = 0; i < ENTRIES_MAX; i++)
        keys[i] = i * 2654435769u;
}

/* A number of every part of the table, in no order. */
static size_t edit_index(size_t edit, size_t entries)
{
    return edit * 7919 % entries;
}

/* ---- measuring ----------------------------------------------------------------------------------------- */

struct cost {
    double wall_ns, daemon_ns;
};

struct kind {
    const char *name;
    void (*fill)(void);
    bool counted;               /* the table is */
    bool chain;                 /* what is edited is a second link, before that which the key has */
};

struct row {
    const char *kind;
    size_t entries;
    struct cost attach_bulk, detach_bulk;       /* of all entries */
    struct cost attach, detach, replace;        /* of one */
};

static struct cost begin(void)
{
    return (struct cost){ (double)now_ns(), (double)session_daemon_ns() };
}

static void end(struct cost started, struct cost *cost)
{
    struct cost now = begin();

    cost->wall_ns += now.wall_ns - started.wall_ns;
    cost->daemon_ns += now.daemon_ns - started.daemon_ns;
}

static void check(size_t index, uint32_t expected)
{
    struct bench_context context = { 0 };

    if (bench_edits(keys[index], &context) != expected)
        die("a change was answered, and this worker does not see it");
}

static bool is_rebuilt(const struct kind *kind)
{
    return kind->counted || kind->chain;
}

static void count(const char *counting)
{
    struct json_object *parameters = json_object_new_object();

    json_object_object_add(parameters, "table", json_object_new_string("bench_edits"));
    json_object_object_add(parameters, "counting", json_object_new_string(counting));
    json_object_put(session_call("SetStatistics", parameters, -EBADF));
}

/* A verdict that it does not return is all that it proceeds on, as else the link behind it would never run. */
static int64_t attach_before(uint32_t key)
{
    struct json_object *parameters = json_object_new_object(), *proceed = json_object_new_array(), *reply;
    int64_t link;

    json_object_array_add(proceed, json_object_new_int64(TARGET_VERDICT(TARGETS)));
    json_object_object_add(parameters, "table", json_object_new_string("bench_edits"));
    json_object_object_add(parameters, "key", json_object_new_int64(key));
    json_object_object_add(parameters, "program", json_object_new_string("bench_0"));
    json_object_object_add(parameters, "priority", json_object_new_int64(-1));
    json_object_object_add(parameters, "proceed_on", proceed);
    reply = session_call("Attach", parameters, -EBADF);
    link = json_object_get_int64(json_object_object_get(reply, "link"));
    json_object_put(reply);
    return link;
}

/* A second link before the key's, another program in its place, and out again. */
static void edit_chain(size_t index, struct row *row)
{
    struct cost started = begin();
    int64_t link = attach_before(keys[index]);

    end(started, &row->attach);
    check(index, TARGET_VERDICT(0));
    started = begin();
    session_replace(link, 1);
    end(started, &row->replace);
    check(index, TARGET_VERDICT(1));
    started = begin();
    session_detach(&link, 1);
    end(started, &row->detach);
    check(index, TARGET_VERDICT(keys[index] % TARGETS));
}

/* In and out again, and another program in its place. */
static void edit(size_t index, struct row *row)
{
    struct cost started = begin();

    session_detach(&links[index], 1);
    end(started, &row->detach);
    check(index, TARGET_DEFAULT);
    started = begin();
    session_attach("bench_edits", &keys[index], 1, &links[index]);
    end(started, &row->attach);
    check(index, TARGET_VERDICT(keys[index] % TARGETS));
    started = begin();
    session_replace(links[index], (keys[index] + 1) % TARGETS);
    end(started, &row->replace);
    check(index, TARGET_VERDICT((keys[index] + 1) % TARGETS));
}

static void divide(struct cost *cost, double by)
{
    cost->wall_ns /= by;
    cost->daemon_ns /= by;
}

static struct row measure(const struct kind *kind, size_t entries, bool quick)
{
    size_t edits = quick ? EDITS_QUICK : is_rebuilt(kind) ? REBUILDS : EDITS;
    struct row row = { .kind = kind->name, .entries = entries };
    struct cost started;

    if (kind->counted)
        count("runs");
    started = begin();

    session_attach("bench_edits", keys, entries, links);
    end(started, &row.attach_bulk);
    session_settle();
    for (size_t i = 0; i < edits; i++)
        (kind->chain ? edit_chain : edit)(edit_index(i, entries), &row);
    divide(&row.attach, (double)edits);
    divide(&row.detach, (double)edits);
    divide(&row.replace, (double)edits);
    started = begin();
    session_detach(links, entries);
    end(started, &row.detach_bulk);
    check(0, TARGET_DEFAULT);
    if (kind->counted)
        count("off");
    return row;
}

/* ---- output -------------------------------------------------------------------------------------------- */

static void print_row(const struct row *row, bool json)
{
    const struct {
        const char *name;
        struct cost cost;
        double unit;            /* nanoseconds */
    } columns[] = {
        { "attach_all_ms", row->attach_bulk, 1e6 },
        { "detach_all_ms", row->detach_bulk, 1e6 },
        { "attach_us", row->attach, 1e3 },
        { "detach_us", row->detach, 1e3 },
        { "replace_us", row->replace, 1e3 },
    };

    printf(json ? "{\"keys\":\"%s\",\"entries\":%zu" : "%-7s %7zu", row->kind, row->entries);
    for (size_t i = 0; i < ARRAY_LENGTH(columns); i++) {
        double wall = columns[i].cost.wall_ns / columns[i].unit;
        double processor = columns[i].cost.daemon_ns / columns[i].unit;

        if (json)
            printf(",\"%s\":%.2f,\"daemon_%s\":%.2f", columns[i].name, wall, columns[i].name, processor);
        else
            printf("  %9.1f %9.1f", wall, processor);
    }
    puts(json ? "}" : "");
    fflush(stdout);
}

static void print_goal(double ms)
{
    printf("%d entries at once: %.0f ms, the goal is %d ms: %s\n", BULK_ENTRIES, ms, BULK_GOAL_MS,
           ms <= BULK_GOAL_MS ? "reached" : "missed");
}

static size_t most_entries(const struct kind *kind, bool quick)
{
    if (quick)
        return ENTRIES_QUICK;
    return is_rebuilt(kind) ? REBUILT_MAX : ENTRIES_MAX;
}

static void bench(bool quick, bool json)
{
    static const struct kind kinds[] = {
        { "dense", fill_dense, false, false },
        { "sparse", fill_sparse, false, false },
        { "counted", fill_dense, true, false },
        { "chain", fill_dense, false, true },
    };

    if (!json)
        printf("each: answered after, and processor time of the daemon\n"
               "%-7s %7s  %19s  %19s  %19s  %19s  %19s\n", "keys", "entries", "attach all, ms", "detach all, ms",
               "attach one, us", "detach one, us", "replace one, us");
    for (size_t kind = 0; kind < ARRAY_LENGTH(kinds); kind++) {
        kinds[kind].fill();
        for (size_t entries = 10; entries <= most_entries(&kinds[kind], quick); entries *= 10) {
            struct row row = measure(&kinds[kind], entries, quick);

            print_row(&row, json);
            if (entries == BULK_ENTRIES && !is_rebuilt(&kinds[kind]) && !json)
                print_goal(row.attach_bulk.wall_ns / 1e6);
        }
    }
}

int main(int argc, char **argv)
{
    struct session_options options = { 0 };
    bool json = session_read_options(argc, argv,
                                     "Usage: bench/edits --daemon PROGRAM [--directory DIR] [--quick] [--json]\n"
                                     "What changing a table of 10 to 100,000 entries costs.",
                                     &options);

    session_open(&options);
    session_load(TARGETS);
    bench(options.quick, json);
    return 0;
}
