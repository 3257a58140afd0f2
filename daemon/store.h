/* SPDX-License-Identifier: MIT */
/*
 * The database: what was asked for.  The image is derived from it, so losing the process loses nothing.
 *
 * SQLite in WAL mode with an exclusive lock, so that two daemons never own one database.  Changes are synchronised to
 * disk before they are live; the list of workers, which a reboot ends anyway, only has to survive this process and is
 * not.  Schema versions go forward only, by one migration each; a database that is newer than the program is refused
 * and left as it is.
 *
 * All functions return negative errno: -EIO for what SQLite reports, in words by store_error(); -EBUSY, -ENOSPC, -EROFS
 * where it says so.  Not thread-safe.
 */
#ifndef DAEMON_STORE_H
#define DAEMON_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "context.h"
#include "map.h"

struct store;

/*
 * Open or create.  -EBUSY: another daemon has it; -EPROTO: its schema is newer (*reterr_version says which);
 * -EBADMSG: it is not a database of dispatchd, or damaged; -EACCES, -ENOENT, ...  *reterr_text: SQLite's words (static
 * or the store's; valid until the next call), never NULL.
 */
int store_open(const char *path, struct store **ret, int *reterr_version, const char **reterr_text);
struct store *store_close(struct store *store);                 /* NULL is fine; returns NULL */
const char *store_error(const struct store *store);             /* of the last failure */

/* Begin a new generation: returns its number (1 to 2^31 - 1), durable. */
int store_next_generation(struct store *store, uint64_t *ret);

/* A transaction.  After a failed operation or commit, roll back (which cannot fail). */
int store_begin(struct store *store);
int store_commit(struct store *store);
void store_rollback(struct store *store);

/* ---- operations of a transaction ---- */

struct store_program {
    const char *name, *context;
    const char *function;               /* which program of the object; "": the only one */
    const char *settings;               /* JSON: an object of strings */
    uid_t uid;                          /* who loaded it */
    const void *object;
    size_t size;                        /* bytes */
    const char *totals;                 /* read: JSON: what totals.h keeps of it; "{}": nothing yet */
};

struct store_map {
    uint32_t number;
    const char *name;
    struct map_definition definition, inner;    /* inner: of maps of maps; else of kind 0 */
    const void *key_type, *value_type;  /* as typed_encode() has them */
    size_t key_type_size, value_type_size;      /* bytes */
    uid_t uid;
    uint64_t seed;
    uint64_t offset, size;              /* of its memory in the arena; maps of maps have none there: 0, 0 */
};

struct store_table {
    const char *name;
    const char *kind;                   /* "table" or "call" */
    const char *context;
    const char *prototype;              /* of a call; "": a table */
    uint32_t default_verdict;
    bool has_value;                     /* of a call: it returns `value` */
    uint64_t value;
    const char *policy;                 /* "any" or "no-indirect" */
    const char *misses;                 /* JSON: what statistics keeps of them; "{}": nothing yet */
    uid_t uid;                          /* whose worker declared it first */
    const char *totals;                 /* read: as of a program */
};

struct store_native {
    const char *name, *prototype;
    bool may_block;
};

struct store_link {
    int64_t id;
    const char *table;
    bool otherwise;             /* for all other keys: first and last do not count, and are NULL in the database */
    uint32_t first, last;
    int32_t priority;
    const char *proceed_on;             /* JSON: an array of verdicts */
    const char *program, *native;       /* one of them; the other is NULL */
    const char *counters;               /* JSON: what statistics keeps of it; "{}": nothing yet */
};

int store_add_context(struct store *store, const struct context *context);      /* fine if it is there already */
int store_add_program(struct store *store, const struct store_program *program, const uint8_t digest[32]);
int store_add_native(struct store *store, const struct store_native *native);
int store_remove_program(struct store *store, const char *name);
int store_add_map(struct store *store, const struct store_map *map);
int store_move_map(struct store *store, uint32_t number, uint64_t offset, uint64_t size);
int store_remove_map(struct store *store, uint32_t number);     /* with what it has, if it is a map of maps */
/* What a map of maps has for a key; inner 0: nothing. */
int store_set_inner(struct store *store, uint32_t outer, const void *key, size_t key_size, uint32_t inner);
int store_add_table(struct store *store, const struct store_table *table);
/*
 * Declared anew: its name, policy, uid and what was counted stay.  Here and below `context` is the name of the one that
 * it had: it goes too when nothing else has it.
 */
int store_change_table(struct store *store, const struct store_table *table, const char *context);
int store_remove_table(struct store *store, const char *name, const char *context);
int store_set_policy(struct store *store, const char *table, const char *policy);
int store_set_value(struct store *store, const char *table, bool has_value, uint64_t value);
int store_set_plan(struct store *store, const char *table, const char *plan);
int store_add_link(struct store *store, const struct store_link *link);
int store_replace_link(struct store *store, int64_t id, const char *program, const char *native);
int store_set_counters(struct store *store, int64_t link, const char *counters);
int store_set_misses(struct store *store, const char *table, const char *counters);
int store_set_table_totals(struct store *store, const char *table, const char *totals);
int store_set_program_totals(struct store *store, const char *program, const char *totals);
int store_remove_link(struct store *store, int64_t id);

/*
 * Before anything is read, a transaction of its own: a program, with the links to it.  -ENOENT: there is none; and then,
 * as after other errors, nothing has changed.
 */
int store_forget_program(struct store *store, const char *name, uid_t uid, pid_t pid, int64_t *ret_links);

/*
 * One line of the audit log: who did what to which object.
 * Once a transaction it is cut to its latest 100,000 lines.
 */
int store_audit(struct store *store, uid_t uid, pid_t pid, const char *operation, const char *object);
int store_prune_audit(struct store *store);

/* ---- reading it all, at start; each callback returns 0 or a negative errno that ends the reading ---- */

typedef int store_worker_reader(void *userdata, pid_t pid, uint64_t start_time, uid_t uid, const char *name,
                                const char *counted);

struct store_reader {
    int (*context)(void *userdata, struct context *context);    /* takes it over */
    int (*map)(void *userdata, const struct store_map *map);
    int (*inner)(void *userdata, uint32_t outer, const void *key, size_t key_size, uint32_t inner);
    int (*maps_end)(void *userdata);    /* all of both were read */
    int (*table)(void *userdata, const struct store_table *table);
    int (*program)(void *userdata, const struct store_program *program);
    int (*native)(void *userdata, const struct store_native *native);
    int (*link)(void *userdata, const struct store_link *link);
    int (*plan)(void *userdata, const char *table, const char *plan);   /* what planning keeps of it; "{}": nothing */
    /* counted: as store_set_counted() had it; "": nothing. */
    store_worker_reader *worker;
    void *userdata;
};
int store_read(struct store *store, const struct store_reader *reader, int64_t *ret_next_link, uint32_t *ret_next_map);

/*
 * ---- what was measured: survives this process, not a power failure ----
 *
 *      store_begin_unsynchronised(); store_set_counters(), store_set_misses(), store_set_counted(), ...;
 *      store_end_unsynchronised()
 *
 * The end takes the result of what was done so far: if that is negative, or the commit fails, nothing was stored.
 */
int store_set_counted(struct store *store, pid_t worker, const char *counted);  /* JSON: counted_lines_text() */
int store_begin_unsynchronised(struct store *store);
int store_end_unsynchronised(struct store *store, int result);

/* ---- workers: survive this process, not a power failure ---- */

int store_add_worker(struct store *store, pid_t pid, uint64_t start_time, uid_t uid, const char *name);
int store_remove_worker(struct store *store, pid_t pid);

/* The workers alone, before all else is read. */
int store_read_workers(struct store *store, store_worker_reader *worker, void *userdata);

/* ---- the arena: which memfd has the contents of maps (inheritance.h) ---- */

#define STORE_ARENA_MAX 128             /* bytes of a text with its NUL */

struct store_arena {
    char identity[STORE_ARENA_MAX];     /* "": there was none */
    char origin[STORE_ARENA_MAX];       /* of the snapshot that it was made from; "": of none */
};

int store_arena(struct store *store, struct store_arena *ret);
int store_set_arena(struct store *store, const struct store_arena *arena);      /* durable */

/* Are there maps that have contents in the arena? */
int store_has_maps(struct store *store, bool *ret);

#endif
