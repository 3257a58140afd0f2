/* SPDX-License-Identifier: MIT */
/*
 * What changing a table costs, by the number of its entries: many keys in one transaction, and one key after another
 * in a table that has so many.  Keys that follow one another (dense) and keys spread over all of 32 bits (sparse).
 *
 * The time of a change on an open connection, its answer included, holds a durable commit, and so depends on the disk
 * (bench/attach has that alone); the daemon's processor time does not.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <dispatchd.h>

#include "session.h"
#include "target.h"
#include "util.h"

#define ENTRIES_MAX 100000
#define EDITS 200               /* one by one */
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

static struct row measure(const char *kind, size_t entries, size_t edits)
{
    struct row row = { .kind = kind, .entries = entries };
    struct cost started = begin();

    session_attach("bench_edits", keys, entries, links);
    end(started, &row.attach_bulk);
    session_settle();
    for (size_t i = 0; i < edits; i++)
        edit(edit_index(i, entries), &row);
    divide(&row.attach, (double)edits);
    divide(&row.detach, (double)edits);
    divide(&row.replace, (double)edits);
    started = begin();
    session_detach(links, entries);
    end(started, &row.detach_bulk);
    check(0, TARGET_DEFAULT);
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

static void bench(bool quick, bool json)
{
    static const struct {
        const char *name;
        void (*fill)(void);
    } kinds[] = { { "dense", fill_dense }, { "sparse", fill_sparse } };

    if (!json)
        printf("each: answered after, and processor time of the daemon\n"
               "%-7s %7s  %19s  %19s  %19s  %19s  %19s\n", "keys", "entries", "attach all, ms", "detach all, ms",
               "attach one, us", "detach one, us", "replace one, us");
    for (size_t kind = 0; kind < ARRAY_LENGTH(kinds); kind++) {
        kinds[kind].fill();
        for (size_t entries = 10; entries <= (quick ? ENTRIES_QUICK : ENTRIES_MAX); entries *= 10) {
            struct row row = measure(kinds[kind].name, entries, quick ? EDITS_QUICK : EDITS);

            print_row(&row, json);
            if (entries == BULK_ENTRIES && !json)
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
