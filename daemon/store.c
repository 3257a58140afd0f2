/* SPDX-License-Identifier: MIT */
#include "store.h"

#include <assert.h>
#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "util.h"

#define STORE_VERSION 3
#define STORE_APPLICATION 0x64697370    /* "disp": PRAGMA application_id */

/* ---- schema -------------------------------------------------------------------------------------------- */

/* Version 3 made this table anew, so its text is shared with the migration. */
#define LINKS_SCHEMA \
    /* AUTOINCREMENT: an id is never used twice, also after its link is gone.  The daemon sees to it that no entries overlap. */ \
    "CREATE TABLE links (" \
    "  id INTEGER PRIMARY KEY AUTOINCREMENT," \
    "  table_name TEXT NOT NULL REFERENCES tables (name)," \
    "  first_key INTEGER, last_key INTEGER," \
    "  priority INTEGER NOT NULL," \
    "  proceed_on TEXT NOT NULL," \
    "  program TEXT REFERENCES programs (name)," \
    "  native TEXT," \
    "  counters TEXT NOT NULL DEFAULT '{}'," \
    "  CHECK ((first_key IS NULL) = (last_key IS NULL) AND first_key <= last_key)," \
    "  CHECK ((program IS NULL) <> (native IS NULL))) STRICT;" \
    "CREATE INDEX links_program ON links (program);"

/* Of those that workers have offered: a link needs to know whether its native may block before they come back. */
#define NATIVES_SCHEMA \
    "CREATE TABLE natives (" \
    "  name TEXT NOT NULL, prototype TEXT NOT NULL, may_block INTEGER NOT NULL," \
    "  PRIMARY KEY (name, prototype)) STRICT, WITHOUT ROWID;"

static const char schema[] =
    "CREATE TABLE generation (number INTEGER NOT NULL) STRICT;"
    "INSERT INTO generation VALUES (0);"
    "CREATE TABLE contexts ("
    "  name TEXT PRIMARY KEY, size INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE fields ("
    "  context TEXT NOT NULL REFERENCES contexts (name) ON DELETE CASCADE,"
    "  name TEXT NOT NULL, byte_offset INTEGER NOT NULL, size INTEGER NOT NULL, rights INTEGER NOT NULL,"
    "  PRIMARY KEY (context, byte_offset)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE programs ("
    "  name TEXT PRIMARY KEY, context TEXT NOT NULL REFERENCES contexts (name),"
    "  digest BLOB NOT NULL, object BLOB NOT NULL,"
    "  function TEXT NOT NULL, settings TEXT NOT NULL) STRICT;"
    "CREATE TABLE tables ("
    "  name TEXT PRIMARY KEY, context TEXT NOT NULL REFERENCES contexts (name),"
    "  default_verdict INTEGER NOT NULL,"
    "  kind TEXT NOT NULL, prototype TEXT NOT NULL, policy TEXT NOT NULL DEFAULT 'any',"
    "  plan TEXT NOT NULL DEFAULT '{}', value INTEGER,"
    "  misses TEXT NOT NULL DEFAULT '{}') STRICT, WITHOUT ROWID;"
    NATIVES_SCHEMA
    LINKS_SCHEMA
    "CREATE TABLE workers ("
    "  pid INTEGER PRIMARY KEY, start_time INTEGER NOT NULL, uid INTEGER NOT NULL,"
    "  name TEXT NOT NULL, counted TEXT NOT NULL DEFAULT '') STRICT;"
    "CREATE TABLE audit ("
    "  id INTEGER PRIMARY KEY, time INTEGER NOT NULL, uid INTEGER NOT NULL, pid INTEGER NOT NULL,"
    "  operation TEXT NOT NULL, object TEXT NOT NULL) STRICT;";

/* migration[n] makes version n + 1 of version n. */
static const char *const migration[STORE_VERSION] = {
    [1] = "ALTER TABLE programs ADD COLUMN function TEXT NOT NULL DEFAULT '';"
          "ALTER TABLE programs ADD COLUMN settings TEXT NOT NULL DEFAULT '{}';",
    /* The counter of AUTOINCREMENT goes with the old table: it is carried over, so that ids stay used. */
    [2] = "ALTER TABLE tables ADD COLUMN kind TEXT NOT NULL DEFAULT 'table';"
          "ALTER TABLE tables ADD COLUMN prototype TEXT NOT NULL DEFAULT '';"
          "ALTER TABLE tables ADD COLUMN policy TEXT NOT NULL DEFAULT 'any';"
          "ALTER TABLE tables ADD COLUMN plan TEXT NOT NULL DEFAULT '{}';"
          "ALTER TABLE workers ADD COLUMN counted TEXT NOT NULL DEFAULT '';"
          "ALTER TABLE tables ADD COLUMN misses TEXT NOT NULL DEFAULT '{}';"
          "ALTER TABLE tables ADD COLUMN value INTEGER;"
          NATIVES_SCHEMA
          "DROP INDEX links_program;"
          "ALTER TABLE links RENAME TO links_of_version_2;"
          LINKS_SCHEMA
          "INSERT INTO links (id, table_name, first_key, last_key, priority, proceed_on, program)"
          " SELECT id, table_name, table_key, table_key, 0, '[]', program FROM links_of_version_2;"
          "DELETE FROM sqlite_sequence WHERE name = 'links';"
          "INSERT INTO sqlite_sequence (name, seq)"
          " SELECT 'links', seq FROM sqlite_sequence WHERE name = 'links_of_version_2';"
          "DROP TABLE links_of_version_2;",
};

/* Each statement of the module, prepared once. Parameters are bound in the order of the letters: i integer, s string, b blob. */
enum statement {
    NEXT_GENERATION, ADD_CONTEXT, REMOVE_FIELDS, ADD_FIELD, ADD_PROGRAM, REMOVE_PROGRAM, ADD_TABLE, CHANGE_TABLE,
    ADD_NATIVE, SET_POLICY, SET_VALUE, SET_PLAN, SET_MISSES, ADD_LINK, REPLACE_LINK, SET_COUNTERS, REMOVE_LINK,
    AUDIT, PRUNE_AUDIT, ADD_WORKER, REMOVE_WORKER, SET_COUNTED,
    READ_CONTEXTS, READ_FIELDS, READ_NATIVES, READ_TABLES, READ_PROGRAMS, READ_LINKS, READ_PLANS, READ_WORKERS, READ_NEXT_LINK,
    STATEMENTS,
};

static const char *const statement_text[STATEMENTS] = {
    [NEXT_GENERATION] = "UPDATE generation SET number = number + 1 RETURNING number",
    [ADD_CONTEXT] = "INSERT INTO contexts VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET size = excluded.size",
    [REMOVE_FIELDS] = "DELETE FROM fields WHERE context = ?",
    [ADD_FIELD] = "INSERT INTO fields VALUES (?, ?, ?, ?, ?)",
    [ADD_PROGRAM] = ("INSERT INTO programs (name, context, digest, object, function, settings)"
                     " VALUES (?, ?, ?, ?, ?, ?)"),
    [REMOVE_PROGRAM] = "DELETE FROM programs WHERE name = ?",
    [ADD_TABLE] = "INSERT INTO tables (name, context, default_verdict, kind, prototype) VALUES (?, ?, ?, ?, ?)",
    [CHANGE_TABLE] = "UPDATE tables SET context = ?2, default_verdict = ?3, kind = ?4, prototype = ?5,"
        " value = NULL, plan = '{}', misses = '{}' WHERE name = ?1",
    [ADD_NATIVE] = "INSERT OR REPLACE INTO natives VALUES (?, ?, ?)",
    [SET_POLICY] = "UPDATE tables SET policy = ?2 WHERE name = ?1",
    [SET_VALUE] = "UPDATE tables SET value = ?2 WHERE name = ?1",
    [SET_PLAN] = "UPDATE tables SET plan = ?2 WHERE name = ?1",
    [ADD_LINK] = "INSERT INTO links (id, table_name, first_key, last_key, priority, proceed_on, program, native)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    [REPLACE_LINK] = "UPDATE links SET program = ?2, native = ?3 WHERE id = ?1",
    [SET_MISSES] = "UPDATE tables SET misses = ?2 WHERE name = ?1",
    [SET_COUNTERS] = "UPDATE links SET counters = ?2 WHERE id = ?1",
    [REMOVE_LINK] = "DELETE FROM links WHERE id = ?",
    [AUDIT] = "INSERT INTO audit (time, uid, pid, operation, object) VALUES (?, ?, ?, ?, ?)",
    [PRUNE_AUDIT] = "DELETE FROM audit WHERE id <= (SELECT max(id) FROM audit) - 100000",
    [ADD_WORKER] = "INSERT OR REPLACE INTO workers (pid, start_time, uid, name) VALUES (?, ?, ?, ?)",
    [SET_COUNTED] = "UPDATE workers SET counted = ?2 WHERE pid = ?1",
    [REMOVE_WORKER] = "DELETE FROM workers WHERE pid = ?",
    [READ_CONTEXTS] = "SELECT name, size FROM contexts",
    [READ_FIELDS] = "SELECT name, byte_offset, size, rights FROM fields WHERE context = ? ORDER BY byte_offset",
    [READ_NATIVES] = "SELECT name, prototype, may_block FROM natives"
        " WHERE name IN (SELECT native FROM links)",
    [READ_TABLES] = "SELECT name, context, default_verdict, kind, prototype, policy, value, misses"
        " FROM tables ORDER BY name",
    [READ_PROGRAMS] = "SELECT name, context, object, function, settings FROM programs ORDER BY name",
    [READ_LINKS] = "SELECT id, table_name, first_key, last_key, priority, proceed_on, program, native, counters"
        " FROM links ORDER BY id",
    [READ_PLANS] = "SELECT name, plan FROM tables",
    [READ_WORKERS] = "SELECT pid, start_time, uid, name, counted FROM workers",
    [READ_NEXT_LINK] = "SELECT coalesce(max(seq), 0) + 1 FROM sqlite_sequence WHERE name = 'links'",
};

struct store {
    sqlite3 *database;
    sqlite3_stmt *statement[STATEMENTS];
};

/* ---- SQLite's errors and ours -------------------------------------------------------------------------- */

static int error_of(int code)
{
    switch (code & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return 0;
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -EBUSY;
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_READONLY:
        return -EROFS;
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
        return -EACCES;
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
        return -EBADMSG;
    default:
        return -EIO;
    }
}

const char *store_error(const struct store *store)
{
    return sqlite3_errmsg(store->database);
}

static int execute(struct store *store, const char *text)
{
    return error_of(sqlite3_exec(store->database, text, NULL, NULL, NULL));
}

/* ---- statements ---------------------------------------------------------------------------------------- */

static void reset_statement(sqlite3_stmt **statement)
{
    if (*statement) {
        sqlite3_reset(*statement);
        sqlite3_clear_bindings(*statement);
    }
}

#define _cleanup_statement_ _cleanup_(reset_statement)

/* The statement, ready to be bound; prepared at its first use. */
static int get_statement(struct store *store, enum statement which, sqlite3_stmt **ret)
{
    if (!store->statement[which]) {
        int r = error_of(sqlite3_prepare_v3(store->database, statement_text[which], -1, SQLITE_PREPARE_PERSISTENT,
                                            &store->statement[which], NULL));
        if (r < 0)
            return r;
    }
    *ret = store->statement[which];
    return 0;
}

static int bind_text(sqlite3_stmt *statement, int index, const char *text)
{
    return error_of(sqlite3_bind_text(statement, index, text, -1, SQLITE_STATIC));
}

static int bind_integer(sqlite3_stmt *statement, int index, int64_t value)
{
    return error_of(sqlite3_bind_int64(statement, index, value));
}

/* Run a statement that returns no rows. */
static int run_statement(sqlite3_stmt *statement)
{
    int code;

    do
        code = sqlite3_step(statement);
    while (code == SQLITE_ROW);
    return error_of(code);
}

static int bind_one(sqlite3_stmt *statement, int index, char type, va_list *arguments)
{
    switch (type) {
    case 's':
        return bind_text(statement, index, va_arg(*arguments, const char *));
    case 'i':
        return bind_integer(statement, index, va_arg(*arguments, int64_t));
    default:
        return 0;                       /* what is not bound is NULL */
    }
}

/* Bind by letters (s const char *, i int64_t, n NULL without an argument) and run. */
static int run(struct store *store, enum statement which, const char *types, ...)
{
    _cleanup_statement_ sqlite3_stmt *statement = NULL;
    va_list arguments;
    int r;

    r = get_statement(store, which, &statement);
    va_start(arguments, types);
    for (int i = 1; r >= 0 && types[i - 1]; i++)
        r = bind_one(statement, i, types[i - 1], &arguments);
    va_end(arguments);
    return r < 0 ? r : run_statement(statement);
}

/* ---- opening ------------------------------------------------------------------------------------------- */

static int read_pragma(struct store *store, const char *text, int *ret)
{
    sqlite3_stmt *statement;
    int r;

    r = error_of(sqlite3_prepare_v2(store->database, text, -1, &statement, NULL));
    if (r < 0)
        return r;
    r = error_of(sqlite3_step(statement));
    if (r >= 0)
        *ret = sqlite3_column_int(statement, 0);
    sqlite3_finalize(statement);
    return r;
}

static int create_schema(struct store *store)
{
    char text[sizeof(schema) + 256];

    snprintf(text, sizeof(text), "BEGIN IMMEDIATE; %s PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT;",
             schema, STORE_APPLICATION, STORE_VERSION);
    return execute(store, text);
}

/* All steps or none. */
static int migrate(struct store *store, int version)
{
    char text[64];
    int r;

    r = execute(store, "BEGIN IMMEDIATE");
    for (; r >= 0 && version < STORE_VERSION; version++)
        r = execute(store, migration[version]);
    snprintf(text, sizeof(text), "PRAGMA user_version = %d; COMMIT", STORE_VERSION);
    if (r >= 0)
        r = execute(store, text);
    if (r < 0)
        store_rollback(store);
    return r;
}

static int check_schema(struct store *store, int *reterr_version)
{
    int application = 0, version = 0, objects = 0, r;

    r = read_pragma(store, "PRAGMA application_id", &application);
    if (r >= 0)
        r = read_pragma(store, "PRAGMA user_version", &version);
    if (r >= 0)
        r = read_pragma(store, "SELECT count(*) FROM sqlite_schema", &objects);
    if (r < 0)
        return r;
    if (application == 0 && version == 0 && objects == 0)
        return create_schema(store);
    if (application != STORE_APPLICATION || version < 1)
        return -EBADMSG;
    if (version > STORE_VERSION) {
        *reterr_version = version;
        return -EPROTO;
    }
    return version < STORE_VERSION ? migrate(store, version) : 0;
}

/* The lock comes with the first read: exclusive from then on, so WAL needs no shared-memory file. */
static int configure(struct store *store)
{
    int r;

    sqlite3_extended_result_codes(store->database, 1);
    r = execute(store, "PRAGMA locking_mode = EXCLUSIVE");
    if (r >= 0)
        r = execute(store, "PRAGMA foreign_keys = ON");
    if (r >= 0)
        r = execute(store, "PRAGMA trusted_schema = OFF");
    return r;
}

int store_open(const char *path, struct store **ret, int *reterr_version, const char **reterr_text)
{
    static char text[256];
    struct store *store;
    int r;

    *reterr_text = "out of memory";
    store = calloc(1, sizeof(*store));
    if (!store)
        return -ENOMEM;
    r = error_of(sqlite3_open_v2(path, &store->database, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL));
    if (r >= 0)
        r = configure(store);
    /* A newer database is left as it is: nothing is written before its version is known. */
    if (r >= 0)
        r = check_schema(store, reterr_version);
    if (r >= 0)
        r = execute(store, "PRAGMA journal_mode = WAL");
    if (r >= 0)
        r = execute(store, "PRAGMA synchronous = FULL");
    if (r >= 0)
        r = execute(store, "BEGIN IMMEDIATE; COMMIT");          /* takes the exclusive lock now */
    if (r < 0) {
        snprintf(text, sizeof(text), "%s", store->database ? sqlite3_errmsg(store->database) : "out of memory");
        *reterr_text = text;
        store_close(store);
        return r;
    }
    *ret = store;
    return 0;
}

struct store *store_close(struct store *store)
{
    if (!store)
        return NULL;
    for (int i = 0; i < STATEMENTS; i++)
        sqlite3_finalize(store->statement[i]);
    sqlite3_close(store->database);
    free(store);
    return NULL;
}

int store_next_generation(struct store *store, uint64_t *ret)
{
    _cleanup_statement_ sqlite3_stmt *statement = NULL;
    uint64_t number = 0;
    int code, r;

    r = get_statement(store, NEXT_GENERATION, &statement);
    if (r < 0)
        return r;
    while ((code = sqlite3_step(statement)) == SQLITE_ROW)
        number = (uint64_t)sqlite3_column_int64(statement, 0);
    r = error_of(code);
    if (r < 0)
        return r;
    if (number == 0 || number > INT32_MAX)
        return -EOVERFLOW;
    *ret = number;
    return 0;
}

/* ---- transactions -------------------------------------------------------------------------------------- */

int store_begin(struct store *store)
{
    /* References need to fit at the end only: an operation stores what the whole change makes of its link. */
    return execute(store, "BEGIN IMMEDIATE; PRAGMA defer_foreign_keys = ON");
}

int store_commit(struct store *store)
{
    return execute(store, "COMMIT");
}

void store_rollback(struct store *store)
{
    if (!sqlite3_get_autocommit(store->database))
        execute(store, "ROLLBACK");
}

/* ---- operations ---------------------------------------------------------------------------------------- */

int store_add_context(struct store *store, const struct context *context)
{
    int r;

    r = run(store, ADD_CONTEXT, "si", context->name, (int64_t)context->size);
    if (r >= 0)
        r = run(store, REMOVE_FIELDS, "s", context->name);
    for (uint32_t i = 0; r >= 0 && i < context->fields; i++) {
        const struct context_field *field = &context->field[i];

        r = run(store, ADD_FIELD, "ssiii", context->name, field->name, (int64_t)field->offset, (int64_t)field->size,
                (int64_t)field->rights);
    }
    return r;
}

int store_add_program(struct store *store, const struct store_program *program, const uint8_t digest[32])
{
    _cleanup_statement_ sqlite3_stmt *statement = NULL;
    int r;

    r = get_statement(store, ADD_PROGRAM, &statement);
    if (r >= 0)
        r = bind_text(statement, 1, program->name);
    if (r >= 0)
        r = bind_text(statement, 2, program->context);
    if (r >= 0)
        r = error_of(sqlite3_bind_blob(statement, 3, digest, 32, SQLITE_STATIC));
    if (r >= 0)
        r = error_of(sqlite3_bind_blob64(statement, 4, program->object, program->size, SQLITE_STATIC));
    if (r >= 0)
        r = bind_text(statement, 5, program->function);
    if (r >= 0)
        r = bind_text(statement, 6, program->settings);
    return r < 0 ? r : run_statement(statement);
}

int store_remove_program(struct store *store, const char *name)
{
    return run(store, REMOVE_PROGRAM, "s", name);
}

int store_add_native(struct store *store, const struct store_native *native)
{
    return run(store, ADD_NATIVE, "ssi", native->name, native->prototype, (int64_t)native->may_block);
}

int store_add_table(struct store *store, const struct store_table *table)
{
    return run(store, ADD_TABLE, "ssiss", table->name, table->context, (int64_t)table->default_verdict, table->kind,
               table->prototype);
}

int store_change_table(struct store *store, const struct store_table *table)
{
    return run(store, CHANGE_TABLE, "ssiss", table->name, table->context, (int64_t)table->default_verdict, table->kind,
               table->prototype);
}

int store_set_policy(struct store *store, const char *table, const char *policy)
{
    return run(store, SET_POLICY, "ss", table, policy);
}

int store_set_value(struct store *store, const char *table, bool has_value, uint32_t value)
{
    return run(store, SET_VALUE, has_value ? "si" : "sn", table, (int64_t)value);
}

int store_set_plan(struct store *store, const char *table, const char *plan)
{
    return run(store, SET_PLAN, "ss", table, plan);
}

int store_add_link(struct store *store, const struct store_link *link)
{
    if (link->otherwise)
        return run(store, ADD_LINK, "isnnisss", link->id, link->table, (int64_t)link->priority, link->proceed_on,
                   link->program, link->native);
    return run(store, ADD_LINK, "isiiisss", link->id, link->table, (int64_t)link->first, (int64_t)link->last,
               (int64_t)link->priority, link->proceed_on, link->program, link->native);
}

int store_replace_link(struct store *store, int64_t id, const char *program, const char *native)
{
    return run(store, REPLACE_LINK, "iss", id, program, native);
}

int store_set_counters(struct store *store, int64_t link, const char *counters)
{
    return run(store, SET_COUNTERS, "is", link, counters);
}

int store_set_misses(struct store *store, const char *table, const char *counters)
{
    return run(store, SET_MISSES, "ss", table, counters);
}

int store_remove_link(struct store *store, int64_t id)
{
    return run(store, REMOVE_LINK, "i", id);
}

int store_audit(struct store *store, uid_t uid, pid_t pid, const char *operation, const char *object)
{
    return run(store, AUDIT, "iiiss", (int64_t)time(NULL), (int64_t)uid, (int64_t)pid, operation, object);
}

int store_prune_audit(struct store *store)
{
    return run(store, PRUNE_AUDIT, "");
}

/* ---- workers ------------------------------------------------------------------------------------------- */

/*
 * Written, but not waited for: the kernel has it, and that survives this process.  NORMAL and not OFF: a checkpoint that falls due
 * here must be synchronised, as it carries changes that were acknowledged.
 */
static int begin_unsynchronised(struct store *store)
{
    assert(sqlite3_get_autocommit(store->database));
    return execute(store, "PRAGMA synchronous = NORMAL");
}

static void end_unsynchronised(struct store *store)
{
    execute(store, "PRAGMA synchronous = FULL");
}

int store_set_counted(struct store *store, pid_t worker, const char *counted)
{
    return run(store, SET_COUNTED, "is", (int64_t)worker, counted);
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
        r = run(store, ADD_WORKER, "iiis", (int64_t)pid, (int64_t)start_time, (int64_t)uid, name);
    end_unsynchronised(store);
    return r;
}

int store_remove_worker(struct store *store, pid_t pid)
{
    int r;

    r = begin_unsynchronised(store);
    if (r >= 0)
        r = run(store, REMOVE_WORKER, "i", (int64_t)pid);
    end_unsynchronised(store);
    return r;
}

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
    return error_of(code);
}

static int read_rows(struct store *store, enum statement which,
                     int (*row)(struct store *store, sqlite3_stmt *statement, const struct store_reader *reader),
                     const struct store_reader *reader)
{
    _cleanup_statement_ sqlite3_stmt *statement = NULL;
    int r;

    r = get_statement(store, which, &statement);
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

    r = get_statement(store, READ_FIELDS, &statement);
    if (r >= 0)
        r = bind_text(statement, 1, context);
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
    return error_of(code);
}

static int read_context(struct store *store, sqlite3_stmt *statement, const struct store_reader *reader)
{
    struct context_field field[CONTEXT_FIELDS_MAX];
    struct context *context;
    uint32_t fields;
    int r;

    r = read_fields(store, text_of(statement, 0), field, &fields);
    if (r >= 0)
        r = context_new(text_of(statement, 0), (uint32_t)sqlite3_column_int64(statement, 1), field, fields, &context, NULL);
    return r < 0 ? r : reader->context(reader->userdata, context);
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
        .value = (uint32_t)sqlite3_column_int64(statement, 6), .misses = text_of(statement, 7),
    };

    return reader->table(reader->userdata, &table);
}

static int read_program(struct store *store, sqlite3_stmt *statement, const struct store_reader *reader)
{
    const struct store_program program = {
        .name = text_of(statement, 0), .context = text_of(statement, 1), .object = sqlite3_column_blob(statement, 2),
        .size = (size_t)sqlite3_column_bytes(statement, 2), .function = text_of(statement, 3),
        .settings = text_of(statement, 4),
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

static int read_next_link(struct store *store, int64_t *ret)
{
    _cleanup_statement_ sqlite3_stmt *statement = NULL;
    int code, r;

    r = get_statement(store, READ_NEXT_LINK, &statement);
    if (r < 0)
        return r;
    code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        *ret = sqlite3_column_int64(statement, 0);
    return error_of(code);
}

int store_read(struct store *store, const struct store_reader *reader, int64_t *ret_next_link)
{
    int r;

    r = read_rows(store, READ_CONTEXTS, read_context, reader);
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
    return r < 0 ? r : read_next_link(store, ret_next_link);
}
