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
    struct counts verdicts;
    bool counted;                       /* its first link is */
    uint64_t runs;
};

/*
 * Where it is: in tables by name, in each of them in links by place; then in programs by name, in each of them in links by
 * id.  Sums are made on the way.
 */
struct statistics_listing {
    struct listing listing;
    struct statistics_reading *reading;
    int64_t only_link;                  /* 0: not one link alone */
    bool one_table;                     /* `table` alone */
    bool inside;                        /* the table, or program, of this name; else behind it */
    bool tables_done;
    char table[NAME_LENGTH_MAX + 1];
    struct link place;                  /* keys, priority and id of the link that it is behind */
    bool table_counted;
    uint64_t table_runs;
    struct entry_sum entry;
    char program[NAME_LENGTH_MAX + 1];
    int64_t program_link;
    bool program_counted;
    struct counts program_sum;
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

static bool proceeds_on(const struct link *link, uint32_t verdict)
{
    for (unsigned i = 0; i < link->proceeds; i++)
        if (link->proceed[i] == verdict)
            return true;
    return false;
}

/* The verdicts that a link gave for the hook: those that the next one does not run after. */
static void add_verdicts(struct counts *sum, const struct link *link, bool last)
{
    struct counts final = { 0 };

    for (unsigned i = 0; i < link->counter.totals->verdicts; i++) {
        uint32_t verdict = link->counter.totals->verdict[i].verdict;

        if (!last && proceeds_on(link, verdict))
            continue;
        final.verdict[final.verdicts].verdict = verdict;
        final.verdict[final.verdicts++].count = link->counter.totals->verdict[i].count;
    }
    counts_add(sum, &final);
}

/* False: there is no time to read it any more. */
static bool read_counter(struct statistics_listing *at, const struct counter *counter)
{
    while (!statistics_reading_step(at->reading, counter))
        if (!listing_goes_on(&at->listing))
            return false;
    return true;
}

static void begin_entry(struct entry_sum *entry, const struct link *first)
{
    *entry = (struct entry_sum){ .links = json_object_new_array(), .counted = first->counter.totals != NULL };
    if (entry->counted)
        entry->runs = first->counter.totals->runs;
}

/* All its links were gone through. */
static void end_entry(struct statistics_listing *at)
{
    struct entry_sum *entry = &at->entry;
    struct json_object *view, *counts;
    char keys[LINK_KEYS_TEXT];

    if (entry->links && entry->counted) {
        view = json_object_new_object();
        counts = counts_view(&entry->verdicts);
        link_keys_text(&at->place, keys);
        view_add_string(view, "table", at->table);
        view_add_string(view, "keys", keys);
        json_object_object_add(view, "links", json_object_get(entry->links));
        view_add_int(view, "runs", entry->runs);
        json_object_object_add(view, "verdicts", json_object_get(json_object_object_get(counts, "verdicts")));
        json_object_put(counts);
        listing_add(&at->listing, "entries", view);
        at->table_runs += entry->runs;
    }
    json_object_put(entry->links);
    *entry = (struct entry_sum){ 0 };
}

/* last: of its chain. */
static void pass_link(struct statistics_listing *at, const struct link *link, bool last)
{
    if (at->entry.links && !link_same_entry(link, &at->place))
        end_entry(at);
    if (!at->entry.links)
        begin_entry(&at->entry, link);
    json_object_array_add(at->entry.links, json_object_new_int64(link->id));
    if (link->counter.totals)
        add_verdicts(&at->entry.verdicts, link, last);
    add_link(&at->listing, link);
    at->table_counted |= link->counter.totals != NULL;
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
    at->table_counted = table->misses.totals != NULL;
    at->table_runs = 0;
}

static void end_table(struct statistics_listing *at, const struct table *table)
{
    struct json_object *view;

    end_entry(at);
    at->inside = false;
    if (!at->table_counted)
        return;
    view = json_object_new_object();
    view_add_string(view, "table", table->name);
    view_add_string(view, "counting", counting_name(&table->misses));
    view_add_int(view, "runs", at->table_runs);
    view_add_int(view, "misses", table->misses.totals ? table->misses.totals->runs : 0);
    listing_add(&at->listing, "tables", view);
}

static bool fill_table(struct statistics_listing *at, const struct table *table)
{
    for (size_t i = table_links_after(table, &at->place); i < table->links; i++) {
        const struct link *link = table->link[i];

        if (!listing_goes_on(&at->listing) || !read_counter(at, &link->counter))
            return false;
        pass_link(at, link, i + 1 == table->links || !link_same_entry(table->link[i + 1], link));
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

static void end_program(struct statistics_listing *at)
{
    struct json_object *view;

    at->inside = false;
    if (!at->program_counted)
        return;
    view = json_object_new_object();
    view_add_string(view, "program", at->program);
    json_object_object_add(view, "counts", counts_view(&at->program_sum));
    listing_add(&at->listing, "programs", view);
}

static bool fill_program(struct statistics_listing *at, const struct program *program)
{
    for (size_t i = program_links_after(program, at->program_link); i < program->links; i++) {
        const struct counts *totals = program->link[i]->counter.totals;

        if (!listing_goes_on(&at->listing))
            return false;
        if (totals)
            counts_add(&at->program_sum, totals);
        at->program_counted |= totals != NULL;
        at->program_link = program->link[i]->id;
    }
    end_program(at);
    return true;
}

static const struct program *next_program(struct statistics_listing *at)
{
    const struct registry *registry = &at->listing.daemon->registry;
    const struct program *program = at->inside ? registry_program(registry, at->program) : NULL;
    size_t i = registry_programs_after(registry, at->program);

    if (program || i == registry->programs)
        return program;
    program = registry->program[i];
    strcpy(at->program, program->name);
    at->inside = true;
    at->program_link = 0;
    at->program_counted = false;
    at->program_sum = (struct counts){ 0 };
    return program;
}

static bool fill_programs(struct statistics_listing *at)
{
    const struct program *program;

    while ((program = next_program(at)))
        if (!listing_goes_on(&at->listing) || !fill_program(at, program))
            return false;
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
