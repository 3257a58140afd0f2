/* SPDX-License-Identifier: MIT */
/* Operation statistics: count what a link, or all of a table, does; or no longer. */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "change.h"
#include "statistics.h"

/* What one operation did to one counter. */
struct switched {
    int64_t link;               /* 0: the table's misses */
    unsigned before, inherited; /* what was counted */
    bool placed;                /* it got its place now */
    bool holds;                 /* it counts in the counter's `releases` */
};

/* NULL: the link was detached meanwhile, or the table was declared anew. */
static struct counter *find_counter(const struct daemon *daemon, const struct operation *operation, int64_t id)
{
    struct table *table = registry_table(&daemon->registry, operation->table_name);
    struct link *link = registry_link(&daemon->registry, id);

    if (id)
        return link ? &link->counter : NULL;
    return table == operation->table ? &table->misses : NULL;
}

static int refuse_place(int r, struct refusal *refusal)
{
    if (r == -ENOSPC)
        return refuse(refusal, r, "LimitExceeded", "si", "limit",
                      "links and tables that are counted (or count misses alone)", "maximum", (int64_t)COUNTERS_MAX);
    return refuse_memory(refusal);
}

/* A counter that is switched off keeps its place until no thread counts there. */
static int switch_counter(struct daemon *daemon, struct operation *operation, struct counter *counter, int64_t link,
                          struct refusal *refusal)
{
    bool had_place = counter->place != 0;
    int r = operation->counted ? counter_place(daemon->statistics, counter, link, operation->table->name) : 0;

    if (r < 0)
        return refuse_place(r, refusal);
    operation->switched[operation->switches++] = (struct switched){
        .link = link, .before = counter->counted, .inherited = counter->inherited,
        .placed = counter->place && !had_place, .holds = counter->place != 0,
    };
    counter->counted = operation->counted;
    counter->inherited = operation->misses ? counter->inherited : operation->counted;
    counter->releases += counter->place != 0;
    return 0;
}

static void undo_statistics(struct daemon *daemon, struct operation *operation)
{
    while (operation->switches > 0) {
        const struct switched *switched = &operation->switched[--operation->switches];
        struct counter *counter = find_counter(daemon, operation, switched->link);

        assert(counter);                /* later operations are undone already */
        counter->counted = switched->before;
        counter->inherited = switched->inherited;
        counter->releases -= switched->holds;
        if (switched->placed)
            counter_release(daemon->statistics, counter);
    }
}

/* The table, and its link if one is named. */
static int find_scope(struct daemon *daemon, struct operation *operation, struct refusal *refusal)
{
    struct link *link = registry_link(&daemon->registry, operation->link_id);

    if (operation->link_id && !link)
        return refuse(refusal, -ENOENT, "UnknownLink", "i", "link", operation->link_id);
    operation->link = link;
    operation->table = link ? link->table : registry_table(&daemon->registry, operation->table_name);
    if (!operation->table)
        return refuse(refusal, -ENOENT, "UnknownTable", "s", "table", operation->table_name);
    snprintf(operation->table_name, sizeof(operation->table_name), "%s", operation->table->name);
    return 0;
}

/* What ran so far ran with what was counted then. */
static void read_before(struct daemon *daemon, const struct operation *operation)
{
    if (operation->link) {
        statistics_mark(daemon->statistics, &operation->link->counter);
    } else {
        statistics_mark(daemon->statistics, &operation->table->misses);
        for (size_t i = 0; i < operation->table->links && !operation->misses; i++)
            statistics_mark(daemon->statistics, &operation->table->link[i]->counter);
    }
    statistics_read_marked(daemon->statistics);
}

static int check_statistics(struct daemon *daemon, struct operation *operation, struct refusal *refusal)
{
    int r;

    r = find_scope(daemon, operation, refusal);
    if (r < 0)
        return r;
    operation->switched = calloc(operation->table->links + 1, sizeof(*operation->switched));
    if (!operation->switched)
        return refuse_memory(refusal);
    read_before(daemon, operation);
    if (operation->link)
        return switch_counter(daemon, operation, &operation->link->counter, operation->link_id, refusal);
    r = switch_counter(daemon, operation, &operation->table->misses, 0, refusal);
    for (size_t i = 0; r >= 0 && i < operation->table->links && !operation->misses; i++) {
        struct link *link = operation->table->link[i];

        r = switch_counter(daemon, operation, &link->counter, link->id, refusal);
    }
    if (r < 0)
        undo_statistics(daemon, operation);
    return r;
}

static int store_statistics(struct daemon *daemon, const struct operation *operation)
{
    int r = 0;

    for (size_t i = 0; r >= 0 && i < operation->switches; i++) {
        int64_t link = operation->switched[i].link;
        const struct counter *counter = find_counter(daemon, operation, link);

        if (counter)                    /* not detached by the same change */
            r = counter_store(daemon->store, counter, link, operation->table_name);
    }
    return r;
}

static void read_last(struct daemon *daemon, const struct operation *operation)
{
    for (size_t i = 0; i < operation->switches; i++) {
        const struct counter *counter = find_counter(daemon, operation, operation->switched[i].link);

        if (counter)
            statistics_mark(daemon->statistics, counter);
    }
    statistics_read_marked(daemon->statistics);
    statistics_store_changed(daemon->statistics);
}

/* No thread counts any more because of what was switched off here: somebody else may have switched it on again. */
static void release_statistics(struct daemon *daemon, struct operation *operation)
{
    if (!operation->counted)
        read_last(daemon, operation);
    for (size_t i = 0; i < operation->switches; i++) {
        struct counter *counter = find_counter(daemon, operation, operation->switched[i].link);

        if (!counter || !operation->switched[i].holds)
            continue;
        counter->releases--;
        if (!counter->counted && counter->releases == 0)
            counter_release(daemon->statistics, counter);
    }
}

static void describe_statistics(const struct operation *operation, char *text, size_t size)
{
    if (operation->link_id)
        snprintf(text, size, "link %" PRId64 " %s", operation->link_id, operation->counted ? "on" : "off");
    else
        snprintf(text, size, "%s %s", operation->table_name, operation->counted ? "on" : "off");
}

void operation_count_link(struct daemon *daemon, struct link *link)
{
    unsigned counted = link->table->misses.inherited;

    totals_join(link);
    if (counted && counter_place(daemon->statistics, &link->counter, link->id, link->table->name) >= 0)
        link->counter.counted = counted;
}

int operation_store_counters(struct daemon *daemon, const struct link *link)
{
    return link->counter.counted || link->entry ? counter_store(daemon->store, &link->counter, link->id, NULL) : 0;
}

/* Links that were never counted have not stored it yet. */
int operation_store_entry(struct daemon *daemon, const struct link *left)
{
    struct link *const *chain;

    return left->entry && table_chain(left->table, left, &chain) > 0 ? operation_store_counters(daemon, chain[0]) : 0;
}

const struct operation_kind operation_statistics = {
    .name = "statistics",
    .check = check_statistics,
    .store = store_statistics,
    .undo = undo_statistics,
    .release = release_statistics,
    .describe = describe_statistics,
};
