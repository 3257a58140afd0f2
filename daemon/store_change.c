/* SPDX-License-Identifier: MIT */
/* What is written: operations of a transaction, what was measured, workers.  See store.h. */
#include <assert.h>
#include <errno.h>
#include <time.h>

#include "store_internal.h"

/* ---- operations ---------------------------------------------------------------------------------------- */

int store_add_context(struct store *store, const struct context *context)
{
    int r;

    r = store_run(store, ADD_CONTEXT, "si", context->name, (int64_t)context->size);
    if (r >= 0)
        r = store_run(store, REMOVE_FIELDS, "s", context->name);
    for (uint32_t i = 0; r >= 0 && i < context->fields; i++) {
        const struct context_field *field = &context->field[i];

        r = store_run(store, ADD_FIELD, "ssiii", context->name, field->name, (int64_t)field->offset,
                      (int64_t)field->size,
                (int64_t)field->rights);
    }
    return r;
}

int store_add_program(struct store *store, const struct store_program *program, const uint8_t digest[32])
{
    _cleanup_statement_ sqlite3_stmt *statement = NULL;
    int r;

    r = statement_get(store, ADD_PROGRAM, &statement);
    if (r >= 0)
        r = statement_bind_text(statement, 1, program->name);
    if (r >= 0)
        r = statement_bind_text(statement, 2, program->context);
    if (r >= 0)
        r = store_error_of(sqlite3_bind_blob(statement, 3, digest, 32, SQLITE_STATIC));
    if (r >= 0)
        r = store_error_of(sqlite3_bind_blob64(statement, 4, program->object, program->size, SQLITE_STATIC));
    if (r >= 0)
        r = statement_bind_text(statement, 5, program->function);
    if (r >= 0)
        r = statement_bind_text(statement, 6, program->settings);
    if (r >= 0)
        r = statement_bind_integer(statement, 7, program->uid);
    return r < 0 ? r : statement_run(statement);
}

int store_remove_program(struct store *store, const char *name)
{
    return store_run(store, REMOVE_PROGRAM, "s", name);
}

/* From parameter `index` on; returns the next one's, or a negative errno. */
static int bind_definition(sqlite3_stmt *statement, int index, const struct map_definition *definition)
{
    const uint32_t number[] = {
        definition->kind, definition->key_size, definition->value_size, definition->max_entries, definition->flags,
    };

    for (size_t i = 0; i < ARRAY_LENGTH(number); i++) {
        int r = statement_bind_integer(statement, index++, number[i]);

        if (r < 0)
            return r;
    }
    return index;
}

static int bind_map(sqlite3_stmt *statement, const struct store_map *map)
{
    int index, r;

    r = statement_bind_integer(statement, 1, map->number);
    if (r >= 0)
        r = statement_bind_text(statement, 2, map->name);
    if (r >= 0)
        r = bind_definition(statement, 3, &map->definition);
    if (r >= 0)
        r = bind_definition(statement, r, &map->inner);
    if (r < 0)
        return r;
    index = r;
    r = statement_bind_blob(statement, index, map->key_type, map->key_type_size);
    if (r >= 0)
        r = statement_bind_blob(statement, index + 1, map->value_type, map->value_type_size);
    if (r >= 0)
        r = statement_bind_integer(statement, index + 2, map->uid);
    if (r >= 0)
        r = statement_bind_integer(statement, index + 3, (int64_t)map->seed);
    if (r >= 0 && map->size > 0)
        r = statement_bind_integer(statement, index + 4, (int64_t)map->offset);
    if (r >= 0 && map->size > 0)
        r = statement_bind_integer(statement, index + 5, (int64_t)map->size);
    return r;
}

int store_add_map(struct store *store, const struct store_map *map)
{
    _cleanup_statement_ sqlite3_stmt *statement = NULL;
    int r;

    r = statement_get(store, ADD_MAP, &statement);
    if (r >= 0)
        r = bind_map(statement, map);
    return r < 0 ? r : statement_run(statement);
}

int store_move_map(struct store *store, uint32_t number, uint64_t offset, uint64_t size)
{
    return store_run(store, MOVE_MAP, "iii", (int64_t)number, (int64_t)offset, (int64_t)size);
}

int store_remove_map(struct store *store, uint32_t number)
{
    return store_run(store, REMOVE_MAP, "i", (int64_t)number);
}

int store_set_inner(struct store *store, uint32_t outer, const void *key, size_t key_size, uint32_t inner)
{
    _cleanup_statement_ sqlite3_stmt *statement = NULL;
    int r;

    r = statement_get(store, inner ? SET_INNER : UNSET_INNER, &statement);
    if (r >= 0)
        r = statement_bind_integer(statement, 1, outer);
    if (r >= 0)
        r = statement_bind_blob(statement, 2, key, key_size);
    if (r >= 0 && inner)
        r = statement_bind_integer(statement, 3, inner);
    return r < 0 ? r : statement_run(statement);
}

int store_add_native(struct store *store, const struct store_native *native)
{
    return store_run(store, ADD_NATIVE, "ssi", native->name, native->prototype, (int64_t)native->may_block);
}

int store_add_table(struct store *store, const struct store_table *table)
{
    return store_run(store, ADD_TABLE, "ssissi", table->name, table->context, (int64_t)table->default_verdict,
                     table->kind, table->prototype, (int64_t)table->uid);
}

int store_change_table(struct store *store, const struct store_table *table, const char *context)
{
    int r;

    r = store_run(store, CHANGE_TABLE, "ssiss", table->name, table->context, (int64_t)table->default_verdict,
                  table->kind, table->prototype);
    return r < 0 ? r : store_run(store, PRUNE_CONTEXT, "s", context);
}

int store_remove_table(struct store *store, const char *name, const char *context)
{
    int r;

    r = store_run(store, REMOVE_TABLE, "s", name);
    return r < 0 ? r : store_run(store, PRUNE_CONTEXT, "s", context);
}

int store_set_policy(struct store *store, const char *table, const char *policy)
{
    return store_run(store, SET_POLICY, "ss", table, policy);
}

int store_set_value(struct store *store, const char *table, bool has_value, uint64_t value)
{
    return store_run(store, SET_VALUE, has_value ? "si" : "sn", table, (int64_t)value);
}

int store_set_plan(struct store *store, const char *table, const char *plan)
{
    return store_run(store, SET_PLAN, "ss", table, plan);
}

int store_add_link(struct store *store, const struct store_link *link)
{
    if (link->otherwise)
        return store_run(store, ADD_LINK, "isnnisss", link->id, link->table, (int64_t)link->priority, link->proceed_on,
                   link->program, link->native);
    return store_run(store, ADD_LINK, "isiiisss", link->id, link->table, (int64_t)link->first, (int64_t)link->last,
               (int64_t)link->priority, link->proceed_on, link->program, link->native);
}

int store_replace_link(struct store *store, int64_t id, const char *program, const char *native)
{
    return store_run(store, REPLACE_LINK, "iss", id, program, native);
}

int store_set_counters(struct store *store, int64_t link, const char *counters)
{
    return store_run(store, SET_COUNTERS, "is", link, counters);
}

int store_set_misses(struct store *store, const char *table, const char *counters)
{
    return store_run(store, SET_MISSES, "ss", table, counters);
}

int store_set_table_totals(struct store *store, const char *table, const char *totals)
{
    return store_run(store, SET_TABLE_TOTALS, "ss", table, totals);
}

int store_set_program_totals(struct store *store, const char *program, const char *totals)
{
    return store_run(store, SET_PROGRAM_TOTALS, "ss", program, totals);
}

int store_remove_link(struct store *store, int64_t id)
{
    return store_run(store, REMOVE_LINK, "i", id);
}

int store_audit(struct store *store, uid_t uid, pid_t pid, const char *operation, const char *object)
{
    return store_run(store, AUDIT, "iiiss", (int64_t)time(NULL), (int64_t)uid, (int64_t)pid, operation, object);
}

static int forget_program(struct store *store, const char *name, uid_t uid, pid_t pid, int64_t *ret_links)
{
    int64_t links;
    int r;

    r = store_run(store, REMOVE_LINKS_OF, "s", name);
    links = sqlite3_changes64(store->database);
    if (r >= 0)
        r = store_remove_program(store, name);
    if (r >= 0 && sqlite3_changes64(store->database) == 0)
        return -ENOENT;
    if (r >= 0)
        r = store_audit(store, uid, pid, "forget_program", name);
    if (r >= 0)
        *ret_links = links;
    return r;
}

int store_forget_program(struct store *store, const char *name, uid_t uid, pid_t pid, int64_t *ret_links)
{
    int r;

    r = store_begin(store);
    if (r >= 0)
        r = forget_program(store, name, uid, pid, ret_links);
    if (r >= 0)
        r = store_commit(store);
    if (r < 0)
        store_rollback(store);
    return r;
}

int store_prune_audit(struct store *store)
{
    return store_run(store, PRUNE_AUDIT, "");
}

/* ---- workers ------------------------------------------------------------------------------------------- */

/*
 * Written, but not waited for: the kernel has it, and that survives this process.  NORMAL and not OFF: a checkpoint
 * that falls due here must be synchronised, as it carries changes that were acknowledged.
 */
static int begin_unsynchronised(struct store *store)
{
    assert(sqlite3_get_autocommit(store->database));
    return store_execute(store, "PRAGMA synchronous = NORMAL");
}

static void end_unsynchronised(struct store *store)
{
    store_execute(store, "PRAGMA synchronous = FULL");
}

int store_set_counted(struct store *store, pid_t worker, const char *counted)
{
    return store_run(store, SET_COUNTED, "is", (int64_t)worker, counted);
}

int store_begin_unsynchronised(struct store *store)
{
    int r;

    r = begin_unsynchronised(store);
    return r < 0 ? r : store_begin(store);
}

int store_end_unsynchronised(struct store *store, int result)
{
    int r = result < 0 ? result : store_commit(store);

    if (r < 0)
        store_rollback(store);
    end_unsynchronised(store);
    return r;
}

int store_add_worker(struct store *store, pid_t pid, uint64_t start_time, uid_t uid, const char *name)
{
    int r;

    r = begin_unsynchronised(store);
    if (r >= 0)
        r = store_run(store, ADD_WORKER, "iiis", (int64_t)pid, (int64_t)start_time, (int64_t)uid, name);
    end_unsynchronised(store);
    return r;
}

int store_remove_worker(struct store *store, pid_t pid)
{
    int r;

    r = begin_unsynchronised(store);
    if (r >= 0)
        r = store_run(store, REMOVE_WORKER, "i", (int64_t)pid);
    end_unsynchronised(store);
    return r;
}
