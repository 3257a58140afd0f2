/* SPDX-License-Identifier: MIT */
#include "restore.h"

#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "table_prototype.h"
#include "log.h"
#include "map_row.h"
#include "placement.h"
#include "planning.h"
#include "statistics.h"
#include "store.h"
#include "supervisor.h"
#include "table_code.h"
#include "target.h"
#include "translation.h"
#include "util.h"
#include "workers.h"

/* A map whose memory is elsewhere than its row says. */
struct moved {
    struct shared_map *map;
    LIST_ENTRY(moved) entry;
};

struct restore {
    struct daemon *daemon;
    LIST_HEAD(, moved) moved;
    struct shared_context **context;    /* all of the database's, a reference each */
    size_t contexts;
    int result;                         /* of the first program that failed, `text` says why */
    char *text;
    size_t size;
};

static struct shared_context *find_context(const struct restore *restore, const char *name)
{
    for (size_t i = 0; i < restore->contexts; i++)
        if (!strcmp(restore->context[i]->description->name, name))
            return restore->context[i];
    return NULL;
}

static int restore_context(void *userdata, struct context *context)
{
    struct restore *restore = userdata;
    struct shared_context **larger;
    int r;

    larger = reallocarray(restore->context, restore->contexts + 1, sizeof(*larger));
    if (!larger) {
        context_free(context);
        return -ENOMEM;
    }
    restore->context = larger;
    r = shared_context_new(context, &restore->context[restore->contexts]);
    if (r < 0)
        context_free(context);
    else
        restore->contexts++;
    return r;
}

/* ---- maps: first, since they are where they were ------------------------------------------------------- */

static int fail_map(struct restore *restore, const char *name, int r, const struct refusal *refusal)
{
    snprintf(restore->text, restore->size, "map \"%s\": %s", name, refusal->error ? refusal->error : strerror(-r));
    return r;
}

static int restore_map(void *userdata, const struct store_map *row)
{
    _cleanup_(refusal_done) struct refusal refusal = { 0 };
    struct restore *restore = userdata;
    struct shared_map *map;
    struct moved *moved;
    bool is_moved;
    int r;

    r = map_row_restore(&restore->daemon->registry, row, &map, &is_moved, &refusal);
    if (r < 0)
        return fail_map(restore, row->name, r, &refusal);
    if (!is_moved)
        return 0;
    moved = calloc(1, sizeof(*moved));
    if (!moved)
        return -ENOMEM;
    moved->map = map;
    LIST_INSERT_HEAD(&restore->moved, moved, entry);
    log_line(LOG_WARNING, "map \"%s\" is empty: this dispatchd keeps such maps otherwise", row->name);
    return 0;
}

static int restore_inner(void *userdata, uint32_t outer, const void *key, size_t key_size, uint32_t inner)
{
    struct restore *restore = userdata;
    int r = map_row_restore_inner(&restore->daemon->registry, outer, key, key_size, inner);

    if (r < 0)
        snprintf(restore->text, restore->size, "map number %u in map number %u: %s", inner, outer, strerror(-r));
    return r;
}

/* From here on memory is given out that no map has. */
static int restore_maps_end(void *userdata)
{
    struct restore *restore = userdata;

    return arena_hold(restore->daemon->arena);
}

/* Once all was read: rows of what was moved. */
static int store_moved(struct restore *restore)
{
    struct store *store = restore->daemon->store;
    struct moved *moved;
    int r;

    if (LIST_EMPTY(&restore->moved))
        return 0;
    r = store_begin(store);
    LIST_FOREACH(moved, &restore->moved, entry)
        if (r >= 0)
            r = store_move_map(store, moved->map->number, moved->map->memory, moved->map->size);
    if (r >= 0)
        r = store_commit(store);
    if (r < 0)
        store_rollback(store);
    return r;
}

/* ---- tables -------------------------------------------------------------------------------------------- */

/* What a static call needs before its code can be made. */
static int prepare_call(struct daemon *daemon, const struct store_table *row, struct table *table)
{
    struct prototype prototype;

    if (table->kind == TABLE_KEYS)
        return 0;
    if (prototype_read(row->prototype, &prototype) < 0)
        return -EBADMSG;
    strcpy(table->prototype, prototype.text);
    return target_stub(daemon, table, NULL, &table->default_code);
}

static int restore_table(void *userdata, const struct store_table *row)
{
    struct restore *restore = userdata;
    struct shared_context *context = find_context(restore, row->context);
    struct table *table = NULL;
    int r = -EBADMSG;

    if (context && registry_name_valid(row->name))
        r = table_new(row->name, strcmp(row->kind, "call") ? TABLE_KEYS : TABLE_CALL, context, row->default_verdict,
                      &table);
    if (r >= 0)
        r = prepare_call(restore->daemon, row, table);
    if (r >= 0)
        r = entry_new(restore->daemon->image, row->default_verdict, &table->entry);
    if (r >= 0)
        r = registry_add_table(&restore->daemon->registry, table);
    if (r < 0) {
        table_free(table);
        snprintf(restore->text, restore->size, "table \"%s\": %s", row->name, strerror(-r));
        return r;
    }
    table->uid = row->uid;
    table->has_value = row->has_value;
    if (table->has_value)
        table->value = call_value_convert(table, row->value);       /* it may be from when all were 32 bits */
    r = counter_restore(restore->daemon->statistics, row->misses, 0, table->name, &table->misses);
    if (r < 0) {
        snprintf(restore->text, restore->size, "table \"%s\", its counted misses: %s", row->name, strerror(-r));
        return r;
    }
    totals_restore(row->totals, &table->totals);
    table->no_indirect = !strcmp(row->policy, "no-indirect");
    return 0;
}

/* ---- programs: a few translations at once, while their rows are read ----------------------------------- */

/* A program under way. */
struct restored {
    struct restore *restore;
    struct json_object *settings;
    uid_t uid;
    char name[NAME_LENGTH_MAX + 1];
    char *totals;
};

static struct restored *restored_free(struct restored *restored)
{
    if (restored)
        json_object_put(restored->settings);
    if (restored)
        free(restored->totals);
    free(restored);
    return NULL;
}

static int fail_program(struct restore *restore, const char *name, int r, const struct refusal *refusal)
{
    struct json_object *reason = json_object_object_get(refusal->parameters, "reason");

    if (restore->result >= 0)
        snprintf(restore->text, restore->size,
                 "program \"%s\": %s%s%.600s; unload it with the dispatchd that loaded it, or give this one"
                 " --forget-program %s", name, refusal->error ? refusal->error : "", reason ? ": " : "",
                 reason ? json_object_get_string(reason) : refusal->error ? "" : strerror(-r), name);
    if (restore->result >= 0)
        restore->result = r;
    return r;
}

static int enter_program(struct restored *restored, struct translation *translation)
{
    struct daemon *daemon = restored->restore->daemon;
    struct refusal *refusal = &translation->refusal;
    struct program *program;
    uint64_t created;
    int r;

    r = placement_program(daemon, restored->name, translation, restored->settings, restored->uid, &program);
    if (r < 0)
        return r;
    r = placement_maps(daemon, translation, program, &created, refusal);
    if (r >= 0 && created) {            /* every program's maps are in the database before it is */
        placement_withdraw(program, created);
        r = -EBADMSG;
    }
    if (r >= 0)
        r = placement(daemon, translation, program, refusal);
    if (r >= 0)
        r = registry_add_program(&daemon->registry, program);
    if (r < 0)
        program_put(program);
    else
        totals_restore(restored->totals, &program->totals);
    return r;
}

static void on_translated(struct translation *translation, void *userdata)
{
    struct restored *restored = userdata;
    int r = translation->result;

    supervisor_starting(translations_patience(restored->restore->daemon->translations), "restoring programs");
    if (r >= 0)
        r = enter_program(restored, translation);
    if (r < 0)
        fail_program(restored->restore, restored->name, r, &translation->refusal);
    translation_free(translation);
    restored_free(restored);
}

/* Until at most so many are under way. */
static int wait_for_programs(struct restore *restore, size_t most)
{
    struct daemon *daemon = restore->daemon;

    while (translations_pending(daemon->translations) > most)
        if (event_base_loop(daemon->base, EVLOOP_ONCE) != 0)
            return -EIO;
    return restore->result;
}

static int new_restored(struct restore *restore, const struct store_program *row, struct restored **ret)
{
    struct restored *restored;

    if (!registry_name_valid(row->name))
        return -EBADMSG;
    restored = calloc(1, sizeof(*restored));
    if (!restored)
        return -ENOMEM;
    restored->restore = restore;
    restored->uid = row->uid;
    restored->settings = json_tokener_parse(row->settings);
    restored->totals = strdup(row->totals);
    strcpy(restored->name, row->name);
    if (!restored->totals || !json_object_is_type(restored->settings, json_type_object)) {
        restored_free(restored);
        return -EBADMSG;
    }
    *ret = restored;
    return 0;
}

static int start_program(struct restore *restore, const struct store_program *row, struct refusal *refusal)
{
    struct translation_options options = {
        .program = row->name, .object = row->object, .object_size = row->size,
        .function = *row->function ? row->function : NULL, .context = find_context(restore, row->context),
        .done = on_translated,
    };
    struct translation *translation;
    struct restored *restored;
    int r;

    if (!options.context)
        return -EBADMSG;
    r = new_restored(restore, row, &restored);
    if (r < 0)
        return r;
    options.settings = restored->settings;
    options.userdata = restored;
    r = translation_start(restore->daemon->translations, &options, &translation, refusal);
    if (r < 0)
        restored_free(restored);
    return r;
}

static int restore_program(void *userdata, const struct store_program *row)
{
    _cleanup_(refusal_done) struct refusal refusal = { 0 };
    struct restore *restore = userdata;
    int r;

    r = wait_for_programs(restore, 2 * TRANSLATIONS_RUNNING_MAX);
    if (r < 0)
        return r;
    r = start_program(restore, row, &refusal);
    return r < 0 ? fail_program(restore, row->name, r, &refusal) : 0;
}

/* ---- links, workers ------------------------------------------------------------------------------------ */

static int restore_native(void *userdata, const struct store_native *row)
{
    struct restore *restore = userdata;
    struct native native = { .may_block = row->may_block }, *known;
    int r = -EBADMSG;

    if (registry_name_valid(row->name) && strlen(row->prototype) <= PROTOTYPE_LENGTH_MAX) {
        strcpy(native.name, row->name);
        strcpy(native.prototype, row->prototype);
        r = registry_add_native(&restore->daemon->registry, &native, &known);
    }
    if (r < 0)
        snprintf(restore->text, restore->size, "native \"%s\": %s", row->name, strerror(-r));
    return r;
}

/* The program or native of the row. */
static int find_target(const struct restore *restore, const struct store_link *row, struct link *link)
{
    const struct registry *registry = &restore->daemon->registry;
    struct prototype prototype;

    if (row->program) {
        link->program = registry_program(registry, row->program);
        return link->program ? 0 : -EBADMSG;
    }
    table_prototype(link->table, &prototype);
    link->native = registry_native(registry, row->native, prototype.text);
    if (!link->native || (link->native->may_block && link->proceeds > 0))
        return -EBADMSG;
    return target_stub(restore->daemon, link->table, link->native, &link->native_code);
}

/* What the row says, as attach would have asked for it. */
static int find_link(const struct restore *restore, const struct store_link *row, struct link *ret)
{
    const struct registry *registry = &restore->daemon->registry;
    struct json_object *proceed_on;
    int r = -EBADMSG;

    *ret = (struct link){
        .id = row->id, .otherwise = row->otherwise, .first = row->first, .last = row->last, .priority = row->priority,
        .table = registry_table(registry, row->table),
    };
    if (!ret->table || ret->first > ret->last || table_overlap(ret->table, ret))
        return -EBADMSG;
    proceed_on = json_tokener_parse(row->proceed_on);
    if (json_object_is_type(proceed_on, json_type_array))
        r = link_read_proceed(ret, proceed_on);
    json_object_put(proceed_on);
    return r < 0 ? r : find_target(restore, row, ret);
}

static int restore_link(void *userdata, const struct store_link *row)
{
    struct restore *restore = userdata;
    struct link wanted, *link;
    int r;

    r = wait_for_programs(restore, 0);
    if (r < 0)
        return r;
    r = find_link(restore, row, &wanted);
    if (r >= 0)
        r = link_new(&wanted, &link);
    if (r >= 0) {
        r = registry_add_link(&restore->daemon->registry, link);
        if (r < 0)
            link_free(link);
    }
    if (r >= 0)
        totals_join(link);
    if (r >= 0)
        r = counter_restore(restore->daemon->statistics, row->counters, row->id, link->table->name, &link->counter);
    if (r < 0)
        snprintf(restore->text, restore->size, "link %" PRId64 ": %s", row->id, strerror(-r));
    return r;
}

static int restore_plan(void *userdata, const char *name, const char *plan)
{
    struct restore *restore = userdata;
    struct table *table = registry_table(&restore->daemon->registry, name);

    if (table)
        planning_restore(table, plan);
    return 0;
}

static int restore_worker(void *userdata, pid_t pid, uint64_t start_time, uid_t uid, const char *name,
                          const char *counted)
{
    struct restore *restore = userdata;

    return workers_remember(restore->daemon->workers, pid, start_time, uid, name, counted);
}

/* Nobody executes the image yet, so the code may be written where it is to stay: what fitted once always fits again. */
static int build_table(struct restore *restore, struct table *table)
{
    _cleanup_(table_dispatcher_done) struct table_dispatcher code = { 0 };
    int r;

    if (!table->links && !table->misses.counted && table->kind == TABLE_KEYS)
        return 0;
    r = table_dispatcher(&restore->daemon->registry, table, &code);
    if (r >= 0)
        r = entry_start(table->entry, &code.dispatcher);
    if (r >= 0)
        table->plan = code.dispatcher.plan;
    if (r < 0)
        snprintf(restore->text, restore->size, "table \"%s\": %s", table->name,
                 r == -ENOSPC ? "the image is full: start with a larger --text-size" : strerror(-r));
    return r;
}

int restore(struct daemon *daemon, char *text, size_t size)
{
    struct restore state = { .daemon = daemon, .text = text, .size = size };
    const struct store_reader reader = {
        restore_context, restore_map, restore_inner, restore_maps_end, restore_table, restore_program, restore_native,
        restore_link, restore_plan, restore_worker, &state,
    };
    struct moved *moved;
    uint32_t next_map = 0;
    int r, translated;

    text[0] = 0;
    r = store_read(daemon->store, &reader, &daemon->registry.next_link, &next_map);
    if (next_map > daemon->registry.next_map)
        daemon->registry.next_map = next_map;
    translated = wait_for_programs(&state, 0);          /* also after a failure: they refer to `state` */
    if (r >= 0)
        r = translated;
    for (size_t i = 0; r >= 0 && i < daemon->registry.tables; i++)
        r = build_table(&state, daemon->registry.table[i]);
    if (r >= 0)
        statistics_restored(daemon->statistics);
    if (r >= 0)
        r = store_moved(&state);
    while ((moved = LIST_FIRST(&state.moved))) {
        LIST_REMOVE(moved, entry);
        free(moved);
    }
    if (r < 0 && !text[0])
        snprintf(text, size, "%s", store_error(daemon->store));
    for (size_t i = 0; i < state.contexts; i++)
        shared_context_put(state.context[i]);
    free(state.context);
    return r;
}
