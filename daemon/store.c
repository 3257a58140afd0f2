/* SPDX-License-Identifier: MIT */
#include "store_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define STORE_VERSION 5
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

/*
 * A map's number is never used twice: journals in the arena name it.  arena_offset is NULL for maps of maps, whose
 * memory is not there; `inner_maps` is what they have.  `arena`: which memfd holds the contents (inheritance.h).
 */
#define MAPS_SCHEMA \
    "CREATE TABLE maps (" \
    "  number INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE," \
    "  kind INTEGER NOT NULL, key_size INTEGER NOT NULL, value_size INTEGER NOT NULL," \
    "  max_entries INTEGER NOT NULL, flags INTEGER NOT NULL," \
    "  inner_kind INTEGER NOT NULL, inner_key_size INTEGER NOT NULL, inner_value_size INTEGER NOT NULL," \
    "  inner_max_entries INTEGER NOT NULL, inner_flags INTEGER NOT NULL," \
    "  key_type BLOB NOT NULL, value_type BLOB NOT NULL," \
    "  uid INTEGER NOT NULL, seed INTEGER NOT NULL, arena_offset INTEGER, arena_size INTEGER) STRICT;" \
    "CREATE TABLE inner_maps (" \
    "  outer_map INTEGER NOT NULL REFERENCES maps (number) ON DELETE CASCADE," \
    "  key BLOB NOT NULL, inner_map INTEGER NOT NULL REFERENCES maps (number)," \
    "  PRIMARY KEY (outer_map, key)) STRICT, WITHOUT ROWID;" \
    "CREATE INDEX inner_maps_map ON inner_maps (inner_map);" \
    "CREATE TABLE arena (identity TEXT NOT NULL, origin TEXT NOT NULL) STRICT;" \
    "INSERT INTO arena VALUES ('', '');"

/* Whose table it is; and who has a context, to see whether anybody has. */
#define OWNERS_SCHEMA \
    "ALTER TABLE tables ADD COLUMN uid INTEGER NOT NULL DEFAULT 0;" \
    "CREATE INDEX tables_context ON tables (context);" \
    "CREATE INDEX programs_context ON programs (context);"

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
    "  function TEXT NOT NULL, settings TEXT NOT NULL, uid INTEGER NOT NULL DEFAULT 0,"
    "  totals TEXT NOT NULL DEFAULT '{}') STRICT;"
    "CREATE TABLE tables ("
    "  name TEXT PRIMARY KEY, context TEXT NOT NULL REFERENCES contexts (name),"
    "  default_verdict INTEGER NOT NULL,"
    "  kind TEXT NOT NULL, prototype TEXT NOT NULL, policy TEXT NOT NULL DEFAULT 'any',"
    "  plan TEXT NOT NULL DEFAULT '{}', value INTEGER,"
    "  misses TEXT NOT NULL DEFAULT '{}', totals TEXT NOT NULL DEFAULT '{}') STRICT, WITHOUT ROWID;"
    OWNERS_SCHEMA
    NATIVES_SCHEMA
    LINKS_SCHEMA
    MAPS_SCHEMA
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
    [3] = "ALTER TABLE programs ADD COLUMN uid INTEGER NOT NULL DEFAULT 0;"
          MAPS_SCHEMA,
    [4] = "ALTER TABLE programs ADD COLUMN totals TEXT NOT NULL DEFAULT '{}';"
          "ALTER TABLE tables ADD COLUMN totals TEXT NOT NULL DEFAULT '{}';"
          "UPDATE programs SET totals = '{\"of_links\":true}';"
          "UPDATE tables SET totals = '{\"of_links\":true}';"
          OWNERS_SCHEMA,
};

static const char *const statement_text[STATEMENTS] = {
    [NEXT_GENERATION] = "UPDATE generation SET number = number + 1 RETURNING number",
    [ADD_CONTEXT] = "INSERT INTO contexts VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET size = excluded.size",
    [REMOVE_FIELDS] = "DELETE FROM fields WHERE context = ?",
    [ADD_FIELD] = "INSERT INTO fields VALUES (?, ?, ?, ?, ?)",
    [ADD_PROGRAM] = ("INSERT INTO programs (name, context, digest, object, function, settings, uid)"
                     " VALUES (?, ?, ?, ?, ?, ?, ?)"),
    [REMOVE_PROGRAM] = "DELETE FROM programs WHERE name = ?",
    [ADD_TABLE] = "INSERT INTO tables (name, context, default_verdict, kind, prototype, uid)"
        " VALUES (?, ?, ?, ?, ?, ?)",
    [CHANGE_TABLE] = "UPDATE tables SET context = ?2, default_verdict = ?3, kind = ?4, prototype = ?5,"
        " value = NULL, plan = '{}' WHERE name = ?1",
    [REMOVE_TABLE] = "DELETE FROM tables WHERE name = ?",
    [PRUNE_CONTEXT] = "DELETE FROM contexts WHERE name = ?1"
        " AND NOT EXISTS (SELECT 1 FROM tables WHERE context = ?1)"
        " AND NOT EXISTS (SELECT 1 FROM programs WHERE context = ?1)",
    [ADD_NATIVE] = "INSERT OR REPLACE INTO natives VALUES (?, ?, ?)",
    [SET_POLICY] = "UPDATE tables SET policy = ?2 WHERE name = ?1",
    [SET_VALUE] = "UPDATE tables SET value = ?2 WHERE name = ?1",
    [SET_PLAN] = "UPDATE tables SET plan = ?2 WHERE name = ?1",
    [ADD_LINK] = "INSERT INTO links (id, table_name, first_key, last_key, priority, proceed_on, program, native)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    [REPLACE_LINK] = "UPDATE links SET program = ?2, native = ?3 WHERE id = ?1",
    [SET_MISSES] = "UPDATE tables SET misses = ?2 WHERE name = ?1",
    [SET_TABLE_TOTALS] = "UPDATE tables SET totals = ?2 WHERE name = ?1",
    [SET_PROGRAM_TOTALS] = "UPDATE programs SET totals = ?2 WHERE name = ?1",
    [SET_COUNTERS] = "UPDATE links SET counters = ?2 WHERE id = ?1",
    [REMOVE_LINK] = "DELETE FROM links WHERE id = ?",
    [REMOVE_LINKS_OF] = "DELETE FROM links WHERE program = ?",
    [ADD_MAP] = "INSERT INTO maps VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [MOVE_MAP] = "UPDATE maps SET arena_offset = ?2, arena_size = ?3 WHERE number = ?1",
    [REMOVE_MAP] = "DELETE FROM maps WHERE number = ?",
    [SET_INNER] = "INSERT OR REPLACE INTO inner_maps VALUES (?, ?, ?)",
    [UNSET_INNER] = "DELETE FROM inner_maps WHERE outer_map = ? AND key = ?",
    [AUDIT] = "INSERT INTO audit (time, uid, pid, operation, object) VALUES (?, ?, ?, ?, ?)",
    [PRUNE_AUDIT] = "DELETE FROM audit WHERE id <= (SELECT max(id) FROM audit) - 100000",
    [ADD_WORKER] = "INSERT OR REPLACE INTO workers (pid, start_time, uid, name) VALUES (?, ?, ?, ?)",
    [SET_COUNTED] = "UPDATE workers SET counted = ?2 WHERE pid = ?1",
    [REMOVE_WORKER] = "DELETE FROM workers WHERE pid = ?",
    [READ_CONTEXTS] = "SELECT name, size FROM contexts",
    [READ_FIELDS] = "SELECT name, byte_offset, size, rights FROM fields WHERE context = ? ORDER BY byte_offset",
    [READ_MAPS] = "SELECT number, name, kind, key_size, value_size, max_entries, flags, inner_kind, inner_key_size,"
        " inner_value_size, inner_max_entries, inner_flags, key_type, value_type, uid, seed, arena_offset, arena_size"
        " FROM maps ORDER BY number",
    [READ_INNERS] = "SELECT outer_map, key, inner_map FROM inner_maps",
    [READ_NATIVES] = "SELECT name, prototype, may_block FROM natives"
        " WHERE name IN (SELECT native FROM links)",
    [READ_TABLES] = "SELECT name, context, default_verdict, kind, prototype, policy, value, misses, uid, totals"
        " FROM tables ORDER BY name",
    [READ_PROGRAMS] = "SELECT name, context, object, function, settings, uid, totals FROM programs ORDER BY name",
    [READ_LINKS] = "SELECT id, table_name, first_key, last_key, priority, proceed_on, program, native, counters"
        " FROM links ORDER BY id",
    [READ_PLANS] = "SELECT name, plan FROM tables",
    [READ_MAPS_WITH_MEMORY] = "SELECT count(*) FROM maps WHERE arena_offset IS NOT NULL",
    [READ_ARENA] = "SELECT identity, origin FROM arena",
    [SET_ARENA] = "UPDATE arena SET identity = ?, origin = ?",
    [READ_WORKERS] = "SELECT pid, start_time, uid, name, counted FROM workers",
    [READ_NEXT_LINK] = "SELECT coalesce(max(seq), 0) + 1 FROM sqlite_sequence WHERE name = 'links'",
    [READ_NEXT_MAP] = "SELECT coalesce(max(seq), 0) + 1 FROM sqlite_sequence WHERE name = 'maps'",
};

/* ---- SQLite's errors and ours -------------------------------------------------------------------------- */

int store_error_of(int code)
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

int store_execute(struct store *store, const char *text)
{
    return store_error_of(sqlite3_exec(store->database, text, NULL, NULL, NULL));
}

/* ---- statements ---------------------------------------------------------------------------------------- */

void statement_reset(sqlite3_stmt **statement)
{
    if (*statement) {
        sqlite3_reset(*statement);
        sqlite3_clear_bindings(*statement);
    }
}

int statement_get(struct store *store, enum statement which, sqlite3_stmt **ret)
{
    if (!store->statement[which]) {
        int r = store_error_of(sqlite3_prepare_v3(store->database, statement_text[which], -1, SQLITE_PREPARE_PERSISTENT,
                                                  &store->statement[which], NULL));

        if (r < 0)
            return r;
    }
    *ret = store->statement[which];
    return 0;
}

int statement_bind_text(sqlite3_stmt *statement, int index, const char *text)
{
    return store_error_of(sqlite3_bind_text(statement, index, text, -1, SQLITE_STATIC));
}

int statement_bind_integer(sqlite3_stmt *statement, int index, int64_t value)
{
    return store_error_of(sqlite3_bind_int64(statement, index, value));
}

int statement_bind_blob(sqlite3_stmt *statement, int index, const void *bytes, size_t size)
{
    return store_error_of(sqlite3_bind_blob64(statement, index, size ? bytes : "", size, SQLITE_STATIC));
}

int statement_run(sqlite3_stmt *statement)
{
    int code;

    do
        code = sqlite3_step(statement);
    while (code == SQLITE_ROW);
    return store_error_of(code);
}

static int bind_one(sqlite3_stmt *statement, int index, char type, va_list *arguments)
{
    switch (type) {
    case 's':
        return statement_bind_text(statement, index, va_arg(*arguments, const char *));
    case 'i':
        return statement_bind_integer(statement, index, va_arg(*arguments, int64_t));
    default:
        return 0;                       /* what is not bound is NULL */
    }
}

int store_run(struct store *store, enum statement which, const char *types, ...)
{
    _cleanup_statement_ sqlite3_stmt *statement = NULL;
    va_list arguments;
    int r;

    r = statement_get(store, which, &statement);
    va_start(arguments, types);
    for (int i = 1; r >= 0 && types[i - 1]; i++)
        r = bind_one(statement, i, types[i - 1], &arguments);
    va_end(arguments);
    return r < 0 ? r : statement_run(statement);
}

/* ---- opening ------------------------------------------------------------------------------------------- */

static int read_pragma(struct store *store, const char *text, int *ret)
{
    sqlite3_stmt *statement;
    int r;

    r = store_error_of(sqlite3_prepare_v2(store->database, text, -1, &statement, NULL));
    if (r < 0)
        return r;
    r = store_error_of(sqlite3_step(statement));
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
    return store_execute(store, text);
}

/* All steps or none. */
static int migrate(struct store *store, int version)
{
    char text[64];
    int r;

    r = store_execute(store, "BEGIN IMMEDIATE");
    for (; r >= 0 && version < STORE_VERSION; version++)
        r = store_execute(store, migration[version]);
    snprintf(text, sizeof(text), "PRAGMA user_version = %d; COMMIT", STORE_VERSION);
    if (r >= 0)
        r = store_execute(store, text);
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
    r = store_execute(store, "PRAGMA locking_mode = EXCLUSIVE");
    if (r >= 0)
        r = store_execute(store, "PRAGMA foreign_keys = ON");
    if (r >= 0)
        r = store_execute(store, "PRAGMA trusted_schema = OFF");
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
    r = store_error_of(sqlite3_open_v2(path, &store->database, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL));
    if (r >= 0)
        r = configure(store);
    /* A newer database is left as it is: nothing is written before its version is known. */
    if (r >= 0)
        r = check_schema(store, reterr_version);
    if (r >= 0)
        r = store_execute(store, "PRAGMA journal_mode = WAL");
    if (r >= 0)
        r = store_execute(store, "PRAGMA synchronous = FULL");
    if (r >= 0)
        r = store_execute(store, "BEGIN IMMEDIATE; COMMIT");          /* takes the exclusive lock now */
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

    r = statement_get(store, NEXT_GENERATION, &statement);
    if (r < 0)
        return r;
    while ((code = sqlite3_step(statement)) == SQLITE_ROW)
        number = (uint64_t)sqlite3_column_int64(statement, 0);
    r = store_error_of(code);
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
    return store_execute(store, "BEGIN IMMEDIATE; PRAGMA defer_foreign_keys = ON");
}

int store_commit(struct store *store)
{
    return store_execute(store, "COMMIT");
}

void store_rollback(struct store *store)
{
    if (!sqlite3_get_autocommit(store->database))
        store_execute(store, "ROLLBACK");
}
