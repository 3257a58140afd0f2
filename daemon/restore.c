/* SPDX-License-Identifier: MIT */
#include "restore.h"

#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "placement.h"
#include "store.h"
#include "supervisor.h"
#include "translation.h"
#include "util.h"
#include "workers.h"

struct restore {
    struct daemon *daemon;
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

static int restore_table(void *userdata, const char *name, const char *context_name, uint32_t default_verdict)
{
    struct restore *restore = userdata;
    struct shared_context *context = find_context(restore, context_name);
    struct table *table = NULL;
    int r = -EBADMSG;

    if (context && registry_name_valid(name))
        r = table_new(name, context, default_verdict, &table);
    if (r >= 0)
        r = entry_new(restore->daemon->image, default_verdict, &table->entry);
    if (r >= 0)
        r = registry_add_table(&restore->daemon->registry, table);
    if (r < 0) {
        table_free(table);
        snprintf(restore->text, restore->size, "table \"%s\": %s", name, strerror(-r));
    }
    return r;
}

/* ---- programs: a few translations at once, while their rows are read ----------------------------------- */

/* A program under way. */
struct restored {
    struct restore *restore;
    struct json_object *settings;
    char name[NAME_LENGTH_MAX + 1];
};

static struct restored *restored_free(struct restored *restored)
{
    if (restored)
        json_object_put(restored->settings);
    free(restored);
    return NULL;
}

static int fail_program(struct restore *restore, const char *name, int r, const struct refusal *refusal)
{
    struct json_object *reason = json_object_object_get(refusal->parameters, "reason");

    if (restore->result >= 0)
        snprintf(restore->text, restore->size, "program \"%s\": %s%s%s", name, refusal->error ? refusal->error : "",
                 reason ? ": " : "", reason ? json_object_get_string(reason) : refusal->error ? "" : strerror(-r));
    if (restore->result >= 0)
        restore->result = r;
    return r;
}

static int enter_program(struct restored *restored, struct translation *translation)
{
    struct daemon *daemon = restored->restore->daemon;
    struct program *program;
    int r;

    r = placement_program(daemon, restored->name, translation, restored->settings, &program);
    if (r < 0)
        return r;
    r = placement(daemon, translation, program, &translation->refusal);
    if (r >= 0)
        r = registry_add_program(&daemon->registry, program);
    if (r < 0)
        program_put(program);
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
    restored->settings = json_tokener_parse(row->settings);
    strcpy(restored->name, row->name);
    if (!json_object_is_type(restored->settings, json_type_object)) {
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

static int restore_link(void *userdata, int64_t id, const char *table_name, uint32_t key, const char *program_name)
{
    struct restore *restore = userdata;
    struct program *program;
    struct table *table;
    struct link *link;
    int r;

    r = wait_for_programs(restore, 0);
    if (r < 0)
        return r;
    table = registry_table(&restore->daemon->registry, table_name);
    program = registry_program(&restore->daemon->registry, program_name);
    r = table && program ? 0 : -EBADMSG;
    if (r >= 0)
        r = link_new(id, table, key, program, &link);
    if (r >= 0) {
        r = registry_add_link(&restore->daemon->registry, link);
        if (r < 0)
            link_free(link);
    }
    if (r < 0)
        snprintf(restore->text, restore->size, "link %" PRId64 ": %s", id, strerror(-r));
    return r;
}

static int restore_worker(void *userdata, pid_t pid, uint64_t start_time, uid_t uid, const char *name)
{
    struct restore *restore = userdata;

    return workers_remember(restore->daemon->workers, pid, start_time, uid, name);
}

/* Nobody executes the image yet, so the code may be written where it is to stay: what fitted once always fits again. */
static int build_table(struct restore *restore, struct table *table)
{
    _cleanup_free_ struct dispatcher_case *cases = NULL;
    int r;

    if (!table->links)
        return 0;
    r = table_cases(table, &cases);
    if (r >= 0)
        r = entry_start(table->entry, cases, table->links);
    if (r < 0)
        snprintf(restore->text, restore->size, "table \"%s\": %s", table->name,
                 r == -ENOSPC ? "the image is full: start with a larger --text-size" : strerror(-r));
    return r;
}

int restore(struct daemon *daemon, char *text, size_t size)
{
    struct restore state = { .daemon = daemon, .text = text, .size = size };
    const struct store_reader reader = {
        restore_context, restore_table, restore_program, restore_link, restore_worker, &state,
    };
    int r, translated;

    text[0] = 0;
    r = store_read(daemon->store, &reader, &daemon->registry.next_link);
    translated = wait_for_programs(&state, 0);          /* also after a failure: they refer to `state` */
    if (r >= 0)
        r = translated;
    for (size_t i = 0; r >= 0 && i < daemon->registry.tables; i++)
        r = build_table(&state, daemon->registry.table[i]);
    if (r < 0 && !text[0])
        snprintf(text, size, "%s", store_error(daemon->store));
    for (size_t i = 0; i < state.contexts; i++)
        shared_context_put(state.context[i]);
    free(state.context);
    return r;
}
