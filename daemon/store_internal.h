/* SPDX-License-Identifier: MIT */
/*
 * What the parts of the store share: its statements.
 *
 *      store.c             schema, migrations, opening, transactions; preparing, binding and running
 *      store_change.c      operations of a transaction, and what is stored of workers
 *      store_read.c        reading it all
 */
#ifndef DAEMON_STORE_INTERNAL_H
#define DAEMON_STORE_INTERNAL_H

#include <sqlite3.h>
#include <stddef.h>
#include <stdint.h>

#include "store.h"
#include "util.h"

/*
 * Each statement of the module, prepared once. Parameters are bound in the order of the letters: i integer, s string,
 * b blob.
 */
enum statement {
    NEXT_GENERATION, ADD_CONTEXT, REMOVE_FIELDS, ADD_FIELD, ADD_PROGRAM, REMOVE_PROGRAM, ADD_TABLE, CHANGE_TABLE,
    REMOVE_TABLE, PRUNE_CONTEXT, REMOVE_LINKS_OF,
    ADD_NATIVE, SET_POLICY, SET_VALUE, SET_PLAN, SET_MISSES, SET_TABLE_TOTALS,
    SET_PROGRAM_TOTALS, ADD_LINK, REPLACE_LINK, SET_COUNTERS, REMOVE_LINK,
    ADD_MAP, MOVE_MAP, REMOVE_MAP, SET_INNER, UNSET_INNER, AUDIT, PRUNE_AUDIT, ADD_WORKER, REMOVE_WORKER, SET_COUNTED,
    READ_CONTEXTS, READ_FIELDS, READ_MAPS, READ_INNERS, READ_NATIVES, READ_TABLES, READ_PROGRAMS, READ_LINKS,
    READ_PLANS, READ_WORKERS, READ_NEXT_LINK, READ_NEXT_MAP, READ_MAPS_WITH_MEMORY, READ_ARENA, SET_ARENA,
    STATEMENTS,
};

struct store {
    sqlite3 *database;
    sqlite3_stmt *statement[STATEMENTS];
};

/* SQLite's result as ours: 0 or negative errno. */
int store_error_of(int code);

/* Statements whose text is given, one after the other, without results. */
int store_execute(struct store *store, const char *text);

/* The statement, ready to be bound; prepared at its first use.  Reset it when it is done: _cleanup_statement_. */
int statement_get(struct store *store, enum statement which, sqlite3_stmt **ret);
void statement_reset(sqlite3_stmt **statement);
#define _cleanup_statement_ _cleanup_(statement_reset)

/* Parameters count from 1; what is bound must stay until the statement is reset. */
int statement_bind_text(sqlite3_stmt *statement, int index, const char *text);
int statement_bind_integer(sqlite3_stmt *statement, int index, int64_t value);
int statement_bind_blob(sqlite3_stmt *statement, int index, const void *bytes, size_t size);

/* Run a statement that returns no rows. */
int statement_run(sqlite3_stmt *statement);

/* Bind by letters (s const char *, i int64_t, n NULL without an argument) and run. */
int store_run(struct store *store, enum statement which, const char *types, ...);

#endif
