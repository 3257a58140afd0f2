/* SPDX-License-Identifier: MIT */
#include "totals.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>

#include "registry.h"
#include "statistics.h"
#include "store.h"

/* ---- entries ------------------------------------------------------------------------------------------- */

static void share(struct entry_totals *totals, struct link *link)
{
    if (link->entry)
        return;
    totals->references++;
    link->entry = totals;
}

/* All links of a chain have the same, or none has any. */
static struct entry_totals *totals_of_chain(const struct link *link)
{
    struct link *const *chain;
    size_t links = table_chain(link->table, link, &chain);

    for (size_t i = 0; i < links && i < 2; i++)         /* one of these is another link, if there is one */
        if (chain[i]->entry)
            return chain[i]->entry;
    return NULL;
}

static void take_ends(const struct link *link)
{
    struct link *const *chain;
    size_t links = table_chain(link->table, link, &chain);

    if (links == 0 || !link->entry)
        return;
    link->entry->first = chain[0];
    link->entry->last = chain[links - 1];
}

static int new_entry(struct link *link)
{
    struct entry_totals *totals = calloc(1, sizeof(*totals));
    struct link *const *chain;
    size_t links = table_chain(link->table, link, &chain);

    if (!totals)
        return -ENOMEM;
    for (size_t i = 0; i < links; i++)
        share(totals, chain[i]);
    take_ends(link);
    return 0;
}

void totals_join(struct link *link)
{
    struct entry_totals *totals = totals_of_chain(link);

    link->credited = link->program;
    if (totals)
        share(totals, link);
}

static void set_counted(struct link *link)
{
    link->table->totals.counted = true;
    if (link->program)
        link->program->totals.counted = true;
}

int totals_begin(struct link *link)
{
    int r = link->entry ? 0 : new_entry(link);

    if (r >= 0)
        set_counted(link);
    return r;
}

/* ---- adding -------------------------------------------------------------------------------------------- */

static bool proceeds_on(const struct link *link, uint32_t verdict)
{
    for (unsigned i = 0; i < link->proceeds; i++)
        if (link->proceed[i] == verdict)
            return true;
    return false;
}

/* What of a link's counts is its entry's. */
static struct counts of_entry(const struct link *link, const struct counts *news)
{
    struct counts part = { .runs = link == link->entry->first ? news->runs : 0 };

    for (unsigned i = 0; i < news->verdicts; i++)
        if (link == link->entry->last || !proceeds_on(link, news->verdict[i].verdict)) {
            part.verdict[part.verdicts].verdict = news->verdict[i].verdict;
            part.verdict[part.verdicts++].count = news->verdict[i].count;
        }
    return part;
}

static void enter(struct totals *totals, struct totals_list *changed)
{
    if (!totals->changed)
        LIST_INSERT_HEAD(changed, totals, entry);
    totals->changed = true;
}

static void add(struct totals *totals, const struct counts *news, struct totals_list *changed)
{
    totals->counted = true;
    counts_add(&totals->counts, news);
    enter(totals, changed);
}

static void add_to_table(struct link *link, const struct counts *part, struct totals_list *changed)
{
    const struct counts runs = { .runs = part->runs };

    if (part->runs)
        add(&link->table->totals, &runs, changed);
}

void totals_add(struct link *link, const struct counts *news, struct totals_list *changed)
{
    struct counts part = of_entry(link, news);

    counts_add(&link->entry->counts, &part);
    add_to_table(link, &part, changed);
    if (link->credited)
        add(&link->credited->totals, news, changed);
}

/* ---- when code changes --------------------------------------------------------------------------------- */

/* It was not detached. */
static bool is_attached(const struct link *link)
{
    size_t behind = table_links_after(link->table, link);

    return behind > 0 && link->table->link[behind - 1] == link;
}

void totals_mark_moves(struct statistics *statistics, const struct link *link)
{
    struct link *const *chain;
    size_t links = table_chain(link->table, link, &chain);

    if (!is_attached(link) || link->credited != link->program)
        statistics_mark(statistics, &link->counter);
    for (size_t i = 0; link->entry && i < links; i++)
        if ((i == 0) != (chain[i] == link->entry->first) || (i == links - 1) != (chain[i] == link->entry->last))
            statistics_mark(statistics, &chain[i]->counter);
}

void totals_move(struct link *link)
{
    take_ends(link);
    if (!is_attached(link))
        return;
    link->credited = link->program;
    if (link->counter.totals)
        set_counted(link);
}

void totals_withdraw(struct link *link)
{
    if (link->entry && (link->entry->first == link || link->entry->last == link))
        take_ends(link);
}

void totals_hand_over(struct totals *from, struct totals *to, struct totals_list *changed)
{
    to->counts = from->counts;
    to->counted = from->counted;
    if (from->changed)
        enter(to, changed);
    totals_done(from);
    from->changed = from->counted = false;
}

/* ---- the database -------------------------------------------------------------------------------------- */

int totals_store(struct store *store, const struct totals *totals)
{
    struct json_object *view = totals->counted ? counts_view(&totals->counts) : json_object_new_object();
    const char *text = json_object_to_json_string_ext(view, JSON_C_TO_STRING_PLAIN);
    int r = totals->program ? store_set_program_totals(store, totals->program, text)
                            : store_set_table_totals(store, totals->table, text);

    json_object_put(view);
    return r;
}

void totals_restore(const char *text, struct totals *totals)
{
    struct json_object *view = json_tokener_parse(text);

    totals->of_links = json_object_object_get(view, "of_links");
    totals->counted = json_object_object_get(view, "runs");
    counts_read(view, &totals->counts);
    json_object_put(view);
}

int entry_totals_restore(struct json_object *view, struct link *link)
{
    struct counts stored, before;
    int r = link->entry ? 0 : new_entry(link);

    if (r < 0)
        return r;
    counts_read(view, &stored);
    before = link->entry->counts;
    counts_advance(&link->entry->counts, &stored, &before);     /* of each number the larger one */
    return 0;
}

/* What a database that had totals of links only is taken to say. */
static void add_restored(struct link *link, struct totals_list *changed)
{
    const struct counts *counts = link->counter.totals;
    struct counts part;

    if (!counts)
        return;
    part = of_entry(link, counts);
    if (link->table->totals.of_links) {
        counts_add(&link->entry->counts, &part);
        add_to_table(link, &part, changed);
    }
    if (link->program && link->program->totals.of_links)
        add(&link->program->totals, counts, changed);
}

void totals_restored(struct registry *registry, struct totals_list *changed)
{
    for (size_t i = 0; i < registry->links; i++)
        totals_move(registry->link[i]);
    for (size_t i = 0; i < registry->links; i++)
        add_restored(registry->link[i], changed);
    for (size_t i = 0; i < registry->tables; i++)
        if (registry->table[i]->totals.of_links)
            enter(&registry->table[i]->totals, changed);
    for (size_t i = 0; i < registry->programs; i++)
        if (registry->program[i]->totals.of_links)
            enter(&registry->program[i]->totals, changed);
}
