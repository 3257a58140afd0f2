/* SPDX-License-Identifier: MIT */
#include "service_list.h"

#include <stdlib.h>
#include <string.h>

#include "daemon.h"
#include "listing.h"
#include "refusal.h"
#include "service.h"
#include "shared_map.h"
#include "view.h"
#include "view_map.h"
#include "workers.h"

/* Where it is: behind the object of this name, or number. */
struct position {
    struct listing listing;
    char name[NAME_LENGTH_MAX + 1];
    int64_t number;
};

static struct position *position_of(struct listing *listing)
{
    return (struct position *)listing;
}

/* ---- by name --------------------------------------------------------------------------------------------- */

static bool fill_programs(struct listing *listing)
{
    const struct registry *registry = &listing->daemon->registry;

    for (size_t i = registry_programs_after(registry, position_of(listing)->name); i < registry->programs; i++) {
        if (!listing_goes_on(listing))
            return false;
        listing_add(listing, "programs", view_program(registry->program[i]));
        strcpy(position_of(listing)->name, registry->program[i]->name);
    }
    return true;
}

static void add_table(struct listing *listing, const struct table *table, enum table_kind kind)
{
    if (table->kind == kind && kind == TABLE_KEYS)
        listing_add(listing, "tables", view_table(&listing->daemon->registry, table));
    else if (table->kind == kind)
        listing_add(listing, "calls", view_call(listing->daemon, table));
}

static bool fill_hooks(struct listing *listing, enum table_kind kind)
{
    const struct registry *registry = &listing->daemon->registry;

    for (size_t i = registry_tables_after(registry, position_of(listing)->name); i < registry->tables; i++) {
        if (!listing_goes_on(listing))
            return false;
        add_table(listing, registry->table[i], kind);
        strcpy(position_of(listing)->name, registry->table[i]->name);
    }
    return true;
}

static bool fill_tables(struct listing *listing)
{
    return fill_hooks(listing, TABLE_KEYS);
}

static bool fill_calls(struct listing *listing)
{
    return fill_hooks(listing, TABLE_CALL);
}

static bool fill_maps(struct listing *listing)
{
    const struct registry *registry = &listing->daemon->registry;

    for (size_t i = registry_maps_after(registry, position_of(listing)->name); i < registry->maps; i++) {
        if (!listing_goes_on(listing))
            return false;
        listing_add(listing, "maps", view_map(registry->map[i]));
        strcpy(position_of(listing)->name, registry->map[i]->name);
    }
    return true;
}

/* ---- by number ------------------------------------------------------------------------------------------- */

static bool fill_links(struct listing *listing)
{
    const struct registry *registry = &listing->daemon->registry;

    for (size_t i = registry_links_after(registry, position_of(listing)->number); i < registry->links; i++) {
        if (!listing_goes_on(listing))
            return false;
        listing_add(listing, "links", view_link(registry->link[i]));
        position_of(listing)->number = registry->link[i]->id;
    }
    return true;
}

static bool add_worker(void *userdata, const struct worker_view *worker)
{
    struct listing *listing = userdata;

    if (!listing_goes_on(listing))
        return false;
    listing_add(listing, "workers", view_worker(worker));
    position_of(listing)->number = (int64_t)worker->number;
    return true;
}

static bool fill_workers(struct listing *listing)
{
    return workers_view(listing->daemon->workers, (uint64_t)position_of(listing)->number, add_worker, listing);
}

/* ---- methods --------------------------------------------------------------------------------------------- */

static void list(struct call *call, struct daemon *daemon, const struct listing_kind *kind)
{
    struct position *position = calloc(1, sizeof(*position));
    struct refusal refusal = { 0 };

    if (position) {
        listing_start(daemon, &position->listing, kind, call);
        return;
    }
    refuse_memory(&refusal);
    service_refuse(call, CONTROL_INTERFACE, &refusal);
}

void handle_list_programs(struct call *call, void *daemon)
{
    static const struct listing_kind programs = { .list = { "programs" }, .fill = fill_programs };

    list(call, daemon, &programs);
}

void handle_list_tables(struct call *call, void *daemon)
{
    static const struct listing_kind tables = { .list = { "tables" }, .fill = fill_tables };

    list(call, daemon, &tables);
}

void handle_list_calls(struct call *call, void *daemon)
{
    static const struct listing_kind calls = { .list = { "calls" }, .fill = fill_calls };

    list(call, daemon, &calls);
}

void handle_list_links(struct call *call, void *daemon)
{
    static const struct listing_kind links = { .list = { "links" }, .fill = fill_links };

    list(call, daemon, &links);
}

void handle_list_maps(struct call *call, void *daemon)
{
    static const struct listing_kind maps = { .list = { "maps" }, .fill = fill_maps };

    list(call, daemon, &maps);
}

void handle_list_workers(struct call *call, void *daemon)
{
    static const struct listing_kind workers = { .list = { "workers" }, .fill = fill_workers };

    list(call, daemon, &workers);
}
