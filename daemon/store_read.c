/* SPDX-License-Identifier: MIT */
/* What is read, at start.  See store.h. */
#include <errno.h>
#include <stdio.h>

#include "store_internal.h"

/* ---- reading it all ------------------------------------------------------------------------------------ */

/* Call `row` for each row of a statement that is bound. */
static int for_each_row(struct store *store, sqlite3_stmt *statement,
                        int (*row)(struct store *store, sqlite3_stmt *statement, const struct store_reader *reader),
                        const struct store_reader *reader)
{
    int code, r;

    while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
        r = row(store, statement, reader);
        if (r < 0)
            return r;
    }
    return store_error_of(code);
}

static int read_rows(struct store *store, enum statement which,
                     int (*row)(struct store *store, sqlite3_stmt *statement, const struct store_reader *reader),
                     const struct store_reader *reader)
{
    _cleanup_statement_ sqlite3_stmt *statement = NULL;
    int r;

    r = statement_get(store, which, &statement);
    return r < 0 ? r : for_each_row(store, statement, row, reader);
}

static const char *text_of(sqlite3_stmt *statement, int column)
{
    const char *text = (const char *)sqlite3_column_text(statement, column);

    return text ? text : "";
}

static int read_fields(struct store *store, const char *context, struct context_field *field, uint32_t *ret_fields)
{
    _cleanup_statement_ sqlite3_stmt *statement = NULL;
    uint32_t fields = 0;
    int code, r;

    r = statement_get(store, READ_FIELDS, &statement);
    if (r >= 0)
        r = statement_bind_text(statement, 1, context);
    if (r < 0)
        return r;
    while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
        if (fields == CONTEXT_FIELDS_MAX)
            return -EBADMSG;
        snprintf(field[fields].name, sizeof(field[fields].name), "%s", text_of(statement, 0));
        field[fields].offset = (uint32_t)sqlite3_column_int64(statement, 1);
        field[fields].size = (uint32_t)sqlite3_column_int64(statement, 2);
        field[fields].rights = (enum context_rights)sqlite3_column_int(statement, 3);
        fields++;
    }
    *ret_fields = fields;
    return store_error_of(code);
}

static int read_context(struct store *store, sqlite3_stmt *statement, const struct store_reader *reader)
{
    struct context_field field[CONTEXT_FIELDS_MAX];
    struct context *context;
    uint32_t fields;
    int r;

    r = read_fields(store, text_of(statement, 0), field, &fields);
    if (r >= 0)
        r = context_new(text_of(statement, 0), (uint32_t)sqlite3_column_int64(statement, 1), field, fields, &context,
                        NULL);
    return r < 0 ? r : reader->context(reader->userdata, context);
}

static struct map_definition definition_of(sqlite3_stmt *statement, int column)
{
    return (struct map_definition){
        .kind = (uint32_t)sqlite3_column_int64(statement, column),
        .key_size = (uint32_t)sqlite3_column_int64(statement, column + 1),
        .value_size = (uint32_t)sqlite3_column_int64(statement, column + 2),
        .max_entries = (uint32_t)sqlite3_column_int64(statement, column + 3),
        .flags = (uint32_t)sqlite3_column_int64(statement, column + 4),
    };
}

static int read_map(struct store *store, sqlite3_stmt *statement, const struct store_reader *reader)
{
    const struct store_map map = {
        .number = (uint32_t)sqlite3_column_int64(statement, 0), .name = text_of(statement, 1),
        .definition = definition_of(statement, 2), .inner = definition_of(statement, 7),
        .key_type = sqlite3_column_blob(statement, 12), .key_type_size = (size_t)sqlite3_column_bytes(statement, 12),
        .value_type = sqlite3_column_blob(statement, 13),
        .value_type_size = (size_t)sqlite3_column_bytes(statement, 13),
        .uid = (uid_t)sqlite3_column_int64(statement, 14), .seed = (uint64_t)sqlite3_column_int64(statement, 15),
        .offset = (uint64_t)sqlite3_column_int64(statement, 16), .size = (uint64_t)sqlite3_column_int64(statement, 17),
    };

    return reader->map(reader->userdata, &map);
}

static int read_inner(struct store *store, sqlite3_stmt *statement, const struct store_reader *reader)
{
    return reader->inner(reader->userdata, (uint32_t)sqlite3_column_int64(statement, 0),
                         sqlite3_column_blob(statement, 1),
                         (size_t)sqlite3_column_bytes(statement, 1), (uint32_t)sqlite3_column_int64(statement, 2));
}

static int read_native(struct store *store, sqlite3_stmt *statement, const struct store_reader *reader)
{
    const struct store_native native = {
        .name = text_of(statement, 0), .prototype = text_of(statement, 1),
        .may_block = sqlite3_column_int(statement, 2) != 0,
    };

    return reader->native(reader->userdata, &native);
}

static int read_table(struct store *store, sqlite3_stmt *statement, const struct store_reader *reader)
{
    const struct store_table table = {
        .name = text_of(statement, 0), .context = text_of(statement, 1),
        .default_verdict = (uint32_t)sqlite3_column_int64(statement, 2), .kind = text_of(statement, 3),
        .prototype = text_of(statement, 4), .policy = text_of(statement, 5),
        .has_value = sqlite3_column_type(statement, 6) != SQLITE_NULL,
        .value = (uint64_t)sqlite3_column_int64(statement, 6), .misses = text_of(statement, 7),
        .uid = (uid_t)sqlite3_column_int64(statement, 8), .totals = text_of(statement, 9),
    };

    return reader->table(reader->userdata, &table);
}

static int read_program(struct store *store, sqlite3_stmt *statement, const struct store_reader *reader)
{
    const struct store_program program = {
        .name = text_of(statement, 0), .context = text_of(statement, 1), .object = sqlite3_column_blob(statement, 2),
        .size = (size_t)sqlite3_column_bytes(statement, 2), .function = text_of(statement, 3),
        .settings = text_of(statement, 4), .uid = (uid_t)sqlite3_column_int64(statement, 5),
        .totals = text_of(statement, 6),
    };

    return reader->program(reader->userdata, &program);
}

static int read_link(struct store *store, sqlite3_stmt *statement, const struct store_reader *reader)
{
    const struct store_link link = {
        .id = sqlite3_column_int64(statement, 0), .table = text_of(statement, 1),
        .otherwise = sqlite3_column_type(statement, 2) == SQLITE_NULL,
        .first = (uint32_t)sqlite3_column_int64(statement, 2), .last = (uint32_t)sqlite3_column_int64(statement, 3),
        .priority = sqlite3_column_int(statement, 4), .proceed_on = text_of(statement, 5),
        .program = (const char *)sqlite3_column_text(statement, 6),
        .native = (const char *)sqlite3_column_text(statement, 7), .counters = text_of(statement, 8),
    };

    return reader->link(reader->userdata, &link);
}

static int read_plan(struct store *store, sqlite3_stmt *statement, const struct store_reader *reader)
{
    return reader->plan(reader->userdata, text_of(statement, 0), text_of(statement, 1));
}

static int read_worker(struct store *store, sqlite3_stmt *statement, const struct store_reader *reader)
{
    return reader->worker(reader->userdata, (pid_t)sqlite3_column_int64(statement, 0),
                          (uint64_t)sqlite3_column_int64(statement, 1), (uid_t)sqlite3_column_int64(statement, 2),
                          text_of(statement, 3), text_of(statement, 4));
}

/* A row of one number. */
static int read_number(struct store *store, enum statement which, int64_t *ret)
{
    _cleanup_statement_ sqlite3_stmt *statement = NULL;
    int code, r;

    r = statement_get(store, which, &statement);
    if (r < 0)
        return r;
    code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        *ret = sqlite3_column_int64(statement, 0);
    return store_error_of(code);
}

static int read_maps(struct store *store, const struct store_reader *reader)
{
    int r;

    r = read_rows(store, READ_MAPS, read_map, reader);
    if (r >= 0)
        r = read_rows(store, READ_INNERS, read_inner, reader);
    return r < 0 ? r : reader->maps_end(reader->userdata);
}

int store_read(struct store *store, const struct store_reader *reader, int64_t *ret_next_link, uint32_t *ret_next_map)
{
    int64_t next_map = 0;
    int r;

    r = read_rows(store, READ_CONTEXTS, read_context, reader);
    if (r >= 0)
        r = read_maps(store, reader);
    if (r >= 0)
        r = read_rows(store, READ_NATIVES, read_native, reader);
    if (r >= 0)
        r = read_rows(store, READ_TABLES, read_table, reader);
    if (r >= 0)
        r = read_rows(store, READ_PROGRAMS, read_program, reader);
    if (r >= 0)
        r = read_rows(store, READ_LINKS, read_link, reader);
    if (r >= 0)
        r = read_rows(store, READ_PLANS, read_plan, reader);
    if (r >= 0)
        r = read_rows(store, READ_WORKERS, read_worker, reader);
    if (r >= 0)
        r = read_number(store, READ_NEXT_LINK, ret_next_link);
    if (r >= 0)
        r = read_number(store, READ_NEXT_MAP, &next_map);
    if (r >= 0)
        *ret_next_map = (uint32_t)next_map;
    return r;
}

/* ---- the arena ----------------------------------------------------------------------------------------- */

int store_arena(struct store *store, struct store_arena *ret)
{
    _cleanup_statement_ sqlite3_stmt *statement = NULL;
    int code, r;

    r = statement_get(store, READ_ARENA, &statement);
    if (r < 0)
        return r;
    code = sqlite3_step(statement);
    if (code != SQLITE_ROW)
        return code == SQLITE_DONE ? -EBADMSG : store_error_of(code);
    snprintf(ret->identity, sizeof(ret->identity), "%s", text_of(statement, 0));
    snprintf(ret->origin, sizeof(ret->origin), "%s", text_of(statement, 1));
    return 0;
}

int store_set_arena(struct store *store, const struct store_arena *arena)
{
    return store_run(store, SET_ARENA, "ss", arena->identity, arena->origin);
}

int store_has_maps(struct store *store, bool *ret)
{
    int64_t maps;
    int r;

    r = read_number(store, READ_MAPS_WITH_MEMORY, &maps);
    if (r >= 0)
        *ret = maps > 0;
    return r;
}

int store_read_workers(struct store *store, store_worker_reader *worker, void *userdata)
{
    const struct store_reader reader = { .worker = worker, .userdata = userdata };

    return read_rows(store, READ_WORKERS, read_worker, &reader);
}
