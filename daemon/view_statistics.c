/* SPDX-License-Identifier: MIT */
#include "view_statistics.h"

#include <errno.h>
#include <json-c/json.h>
#include <string.h>

#include "service.h"
#include "statistics.h"
#include "view.h"

/* The lists of a reply. */
struct lists {
    struct json_object *tables, *entries, *links, *programs;
};

static const char *counting_name(const struct counter *counter)
{
    if (counter->counted & COUNT_HISTOGRAM)
        return "histogram";
    if (counter->counted & COUNT_TIME)
        return "time";
    return counter->counted ? "runs" : "off";
}

/* ---- links and entries --------------------------------------------------------------------------------- */

static void add_link(struct json_object *list, const struct link *link)
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
    json_object_array_add(list, view);
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

/* A chain of `links` links. */
static void add_entry(struct json_object *list, struct link *const *link, size_t links)
{
    struct json_object *view, *counts, *ids;
    struct counts sum = { 0 };
    char keys[LINK_KEYS_TEXT];

    if (!link[0]->counter.totals)
        return;
    ids = json_object_new_array();
    for (size_t i = 0; i < links; i++) {
        json_object_array_add(ids, json_object_new_int64(link[i]->id));
        if (link[i]->counter.totals)
            add_verdicts(&sum, link[i], i + 1 == links);
    }
    view = json_object_new_object();
    counts = counts_view(&sum);
    link_keys_text(link[0], keys);
    view_add_string(view, "table", link[0]->table->name);
    view_add_string(view, "keys", keys);
    json_object_object_add(view, "links", ids);
    view_add_int(view, "runs", link[0]->counter.totals->runs);
    json_object_object_add(view, "verdicts", json_object_get(json_object_object_get(counts, "verdicts")));
    json_object_put(counts);
    json_object_array_add(list, view);
}

/* ---- tables and programs ------------------------------------------------------------------------------- */

static void add_table(struct lists *lists, const struct table *table)
{
    struct json_object *view;
    bool counted = table->misses.totals;
    uint64_t runs = 0;

    for (size_t i = 0; i < table->links;) {
        struct link *const *chain;
        size_t links = table_chain(table, table->link[i], &chain);

        if (chain[0]->counter.totals)
            runs += chain[0]->counter.totals->runs;
        add_entry(lists->entries, chain, links);
        i += links;
    }
    for (size_t i = 0; i < table->links; i++) {
        add_link(lists->links, table->link[i]);
        counted |= table->link[i]->counter.totals != NULL;
    }
    if (!counted)
        return;
    view = json_object_new_object();
    view_add_string(view, "table", table->name);
    view_add_string(view, "counting", counting_name(&table->misses));
    view_add_int(view, "runs", runs);
    view_add_int(view, "misses", table->misses.totals ? table->misses.totals->runs : 0);
    json_object_array_add(lists->tables, view);
}

static void add_program(struct json_object *list, const struct program *program)
{
    struct json_object *view;
    struct counts sum = { 0 };
    bool counted = false;

    for (size_t i = 0; i < program->links; i++)
        if (program->link[i]->counter.totals) {
            counts_add(&sum, program->link[i]->counter.totals);
            counted = true;
        }
    if (!counted)
        return;
    view = json_object_new_object();
    view_add_string(view, "program", program->name);
    json_object_object_add(view, "counts", counts_view(&sum));
    json_object_array_add(list, view);
}

/* ---- the reply ----------------------------------------------------------------------------------------- */

static void fill_all(const struct registry *registry, struct lists *lists)
{
    for (size_t i = 0; i < registry->tables; i++)
        add_table(lists, registry->table[i]);
    for (size_t i = 0; i < registry->programs; i++)
        add_program(lists->programs, registry->program[i]);
}

static void mark_table(struct statistics *statistics, const struct table *table)
{
    statistics_mark(statistics, &table->misses);
    for (size_t i = 0; i < table->links; i++)
        statistics_mark(statistics, &table->link[i]->counter);
}

static int fill(const struct daemon *daemon, struct json_object *parameters, struct lists *lists,
                struct refusal *refusal)
{
    const struct registry *registry = &daemon->registry;
    struct statistics *statistics = daemon->statistics;
    const char *name = parameter_string(parameters, "table");
    int64_t id = parameter_int(parameters, "link");
    const struct table *table = name ? registry_table(registry, name) : NULL;
    const struct link *link = registry_link(registry, id);

    if (name && !table)
        return refuse(refusal, -ENOENT, "UnknownTable", "s", "table", name);
    if (json_object_object_get(parameters, "link") && !link)
        return refuse(refusal, -ENOENT, "UnknownLink", "i", "link", id);
    if (link) {
        statistics_mark(statistics, &link->counter);
        statistics_read_marked(statistics);
        add_link(lists->links, link);
    } else if (table) {
        mark_table(statistics, table);
        statistics_read_marked(statistics);
        add_table(lists, table);
    } else {
        statistics_read(statistics);
        fill_all(registry, lists);
    }
    return 0;
}

int view_statistics(struct daemon *daemon, struct json_object *parameters, struct json_object **ret,
                    struct refusal *refusal)
{
    struct json_object *reply = json_object_new_object();
    struct lists lists = {
        json_object_new_array(), json_object_new_array(), json_object_new_array(), json_object_new_array(),
    };
    int r;

    json_object_object_add(reply, "tables", lists.tables);
    json_object_object_add(reply, "entries", lists.entries);
    json_object_object_add(reply, "links", lists.links);
    json_object_object_add(reply, "programs", lists.programs);
    view_add_int(reply, "cycles_per_second", statistics_cycles_per_second(daemon->statistics));
    r = fill(daemon, parameters, &lists, refusal);
    if (r < 0)
        json_object_put(reply);
    else
        *ret = reply;
    return r;
}
