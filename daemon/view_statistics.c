/* SPDX-License-Identifier: MIT */
#include "view_statistics.h"

#include <errno.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "call.h"
#include "listing.h"
#include "service.h"
#include "statistics.h"
#include "view.h"

/* An entry whose links are being gone through. */
struct entry_sum {
    struct json_object *links;          /* ids; NULL: of none */
    bool counted;
    struct counts counts;
};

/*
 * Where it is: in tables by name, in each of them in links by place, whose counters are read on the way; then in programs by
 * name.
 */
struct statistics_listing {
    struct listing listing;
    struct statistics_reading *reading;
    int64_t only_link;                  /* 0: not one link alone */
    bool one_table;                     /* `table` alone */
    bool inside;                        /* the table of this name; else behind it */
    bool tables_done;
    char table[NAME_LENGTH_MAX + 1];
    struct link place;                  /* keys, priority and id of the link that it is behind */
    struct entry_sum entry;
    char program[NAME_LENGTH_MAX + 1];
};

static struct statistics_listing *statistics_of(struct listing *listing)
{
    return (struct statistics_listing *)listing;
}

static const char *counting_name(const struct counter *counter)
{
    if (counter->counted & COUNT_HISTOGRAM)
        return "histogram";
    if (counter->counted & COUNT_TIME)
        return "time";
    return counter->counted ? "runs" : "off";
}

/* ---- links and entries ------------------------------------------------------------------------------------- */

static void add_link(struct listing *listing, const struct link *link)
{
    struct json_object *view;
    char keys[LINK_KEYS_TEXT], program[LINK_PROGRAM_TEXT];

    if (!link->counter.totals)
        return;
    view = json_object_new_object();
    link_keys_text(link, keys);
    link_program_text(link, program);
    json_object_object_add(view, "link", json_object_new_int64(link->id));
    view_add_string(view, "table", link->table->name);
    view_add_string(view, "keys", keys);
    view_add_string(view, "program", program);
    view_add_string(view, "counting", counting_name(&link->counter));
    json_object_object_add(view, "counts", counts_view(link->counter.totals));
    listing_add(listing, "links", view);
}

/* False: there is no time to read it any more. */
static bool read_counter(struct statistics_listing *at, const struct counter *counter)
{
    while (!statistics_reading_step(at->reading, counter))
        if (!listing_goes_on(&at->listing))
            return false;
    return true;
}

/* All its links were gone through. */
static void end_entry(struct statistics_listing *at)
{
    struct entry_sum *entry = &at->entry;
    struct json_object *view, *counts;
    char keys[LINK_KEYS_TEXT];

    if (entry->links && entry->counted) {
        view = json_object_new_object();
        counts = counts_view(&entry->counts);
        link_keys_text(&at->place, keys);
        view_add_string(view, "table", at->table);
        view_add_string(view, "keys", keys);
        json_object_object_add(view, "links", json_object_get(entry->links));
        view_add_int(view, "runs", entry->counts.runs);
        json_object_object_add(view, "verdicts", json_object_get(json_object_object_get(counts, "verdicts")));
        json_object_put(counts);
        listing_add(&at->listing, "entries", view);
    }
    json_object_put(entry->links);
    *entry = (struct entry_sum){ 0 };
}

/* Its counter was read: once this is so of the chain's last link, the entry's totals are as new as they are to be. */
static void pass_link(struct statistics_listing *at, const struct link *link)
{
    if (at->entry.links && !link_same_entry(link, &at->place))
        end_entry(at);
    if (!at->entry.links)
        at->entry.links = json_object_new_array();
    json_object_array_add(at->entry.links, json_object_new_int64(link->id));
    at->entry.counted = link->entry;
    if (link->entry)
        at->entry.counts = link->entry->counts;
    add_link(&at->listing, link);
    at->place = *link;
}

/* ---- tables ---------------------------------------------------------------------------------------------- */

static void enter_table(struct statistics_listing *at, const struct table *table)
{
    json_object_put(at->entry.links);           /* of a table that is gone */
    at->entry = (struct entry_sum){ 0 };
    strcpy(at->table, table->name);
    at->inside = true;
    at->place = (struct link){ .priority = INT32_MIN };
}

static void end_table(struct statistics_listing *at, const struct table *table)
{
    struct json_object *view;

    end_entry(at);
    at->inside = false;
    if (!table->totals.counted && !table->misses.totals)
        return;
    view = json_object_new_object();
    view_add_string(view, "table", table->name);
    view_add_string(view, "counting", counting_name(&table->misses));
    view_add_int(view, "runs", table->totals.counts.runs);
    view_add_int(view, "misses", table->misses.totals ? table->misses.totals->runs : 0);
    listing_add(&at->listing, "tables", view);
}

static bool fill_table(struct statistics_listing *at, const struct table *table)
{
    for (size_t i = table_links_after(table, &at->place); i < table->links; i++) {
        const struct link *link = table->link[i];

        if (!listing_goes_on(&at->listing) || !read_counter(at, &link->counter))
            return false;
        pass_link(at, link);
    }
    if (!read_counter(at, &table->misses))
        return false;
    end_table(at, table);
    return true;
}

/* The one that it is in, or the next one.  NULL: there is none any more. */
static const struct table *next_table(struct statistics_listing *at)
{
    const struct registry *registry = &at->listing.daemon->registry;
    const struct table *table = at->inside ? registry_table(registry, at->table) : NULL;
    size_t i = registry_tables_after(registry, at->table);

    if (table)
        return table;
    table = i < registry->tables && !at->one_table ? registry->table[i] : NULL;
    if (table)
        enter_table(at, table);
    return table;
}

static bool fill_tables(struct statistics_listing *at)
{
    const struct table *table;

    while (!at->tables_done && (table = next_table(at)))
        if (!fill_table(at, table))
            return false;
    at->tables_done = true;
    return true;
}

/* ---- programs -------------------------------------------------------------------------------------------- */

static void add_program(struct listing *listing, const struct program *program)
{
    struct json_object *view;

    if (!program->totals.counted)
        return;
    view = json_object_new_object();
    view_add_string(view, "program", program->name);
    json_object_object_add(view, "counts", counts_view(&program->totals.counts));
    listing_add(listing, "programs", view);
}

static bool fill_programs(struct statistics_listing *at)
{
    const struct registry *registry = &at->listing.daemon->registry;
    size_t i;

    while ((i = registry_programs_after(registry, at->program)) < registry->programs) {
        if (!listing_goes_on(&at->listing))
            return false;
        add_program(&at->listing, registry->program[i]);
        strcpy(at->program, registry->program[i]->name);
    }
    return true;
}

/* ---- the answer ------------------------------------------------------------------------------------------ */

static bool fill_link(struct statistics_listing *at)
{
    const struct link *link = registry_link(&at->listing.daemon->registry, at->only_link);

    if (link && !read_counter(at, &link->counter))
        return false;
    if (link)
        add_link(&at->listing, link);
    return true;
}

static bool fill(struct listing *listing)
{
    struct statistics_listing *at = statistics_of(listing);

    if (at->only_link)
        return fill_link(at);
    return fill_tables(at) && (at->one_table || fill_programs(at));
}

static void add_cycles(struct listing *listing)
{
    view_add_int(listing->answer, "cycles_per_second", statistics_cycles_per_second(listing->daemon->statistics));
}

static void done(struct listing *listing)
{
    struct statistics_listing *at = statistics_of(listing);

    statistics_reading_free(at->reading);
    json_object_put(at->entry.links);
}

static const struct listing_kind statistics_kind = {
    .list = { "tables", "entries", "links", "programs" }, .fill = fill, .add_members = add_cycles, .done = done,
};

/* Of what: a link, a table, or all. */
static int read_scope(const struct daemon *daemon, struct json_object *parameters, struct statistics_listing *at,
                      struct refusal *refusal)
{
    const char *name = parameter_string(parameters, "table");
    int64_t id = parameter_int(parameters, "link");
    const struct table *table = name ? registry_table(&daemon->registry, name) : NULL;

    if (name && !table)
        return refuse(refusal, -ENOENT, "UnknownTable", "s", "table", name);
    if (json_object_object_get(parameters, "link") && !registry_link(&daemon->registry, id))
        return refuse(refusal, -ENOENT, "UnknownLink", "i", "link", id);
    at->only_link = id;
    at->one_table = table;
    if (table)
        enter_table(at, table);
    return 0;
}

int view_statistics(struct daemon *daemon, struct call *call, struct refusal *refusal)
{
    struct statistics_listing *at = calloc(1, sizeof(*at));
    int r;

    if (!at)
        return refuse_memory(refusal);
    r = read_scope(daemon, call_parameters(call), at, refusal);
    if (r >= 0 && statistics_reading_new(daemon->statistics, &at->reading) < 0)
        r = refuse_memory(refusal);
    if (r < 0)
        free(at);
    else
        listing_start(daemon, &at->listing, &statistics_kind, call);
    return r;
}
