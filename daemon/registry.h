/* SPDX-License-Identifier: MIT */
/*
 * The registry: contexts, programs, tables, links and maps in memory, as the database has them.
 *
 * References, as the kernel counts them: a program's registration holds one, and each link holds one.  A link's is
 * given back only after the grace period that follows its removal, so the last put always finds the code unused and may
 * free it.
 *
 * Order: programs and tables by name, links by id; the links of a table by key, then by priority and id, those for all
 * other keys last.  So the links of one entry stand together, in the order in which they run: a chain.  Entries of a
 * table do not overlap.  Removing never allocates, so that what was removed can always be put back (a change that fails
 * undoes its steps).
 */
#ifndef DAEMON_REGISTRY_H
#define DAEMON_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "architecture.h"
#include "arena.h"
#include "context.h"
#include "counts.h"
#include "dispatcher.h"
#include "entry.h"
#include "grace.h"
#include "image.h"
#include "totals.h"

struct daemon;
struct json_object;
struct native;
struct planned;
struct shared_map;              /* shared_map.h */

#define NAME_LENGTH_MAX CONTEXT_NAME_MAX        /* bytes of the name of a program, table or context */
#define TABLES_MAX 4096
#define PROGRAMS_MAX 16384
#define LINKS_MAX 100000        /* of all tables, or of one */
#define NATIVES_MAX 16384
#define PROTOTYPE_LENGTH_MAX 255        /* bytes of the prototype of a static call */

/* A context description that tables and programs share. */
struct shared_context {
    unsigned references;
    struct context *description;
};

struct program {
    char name[NAME_LENGTH_MAX + 1];
    unsigned references;
    struct image *image;
    struct arena *arena;
    struct shared_context *context;
    char function[64];                  /* its name in the object */
    char licence[64];
    struct json_object *settings;       /* values of its variables by name; NULL: none */
    uint8_t digest[32];                 /* SHA-256 of the object */
    uid_t uid;                          /* who loaded it, and pays for its data */
    uint32_t instructions;
    uint64_t code;                      /* image offset, IMAGE_NONE before it is placed */
    size_t code_size;                   /* bytes */
    uint64_t data;                      /* arena offset, ARENA_NONE if it has none */
    size_t data_size;                   /* bytes */
    struct shared_map **map;            /* that it uses, a reference each */
    size_t maps;
    int64_t *stub;                      /* image offsets of those of natives that it calls */
    size_t stubs;
    struct link **link;                 /* by id */
    size_t links, links_capacity;
    struct totals totals;
};

/* A function that workers offer to hooks with its prototype.  While links lead to it, it stays when they are gone. */
struct native {
    char name[NAME_LENGTH_MAX + 1];
    char prototype[PROTOTYPE_LENGTH_MAX + 1];
    bool may_block;
    unsigned workers;                   /* that offer it now */
    struct link **link;                 /* by id */
    size_t links, links_capacity;
};

/* A static call is a table whose only entry is the one for all other keys. */
enum table_kind { TABLE_KEYS, TABLE_CALL };

struct table {
    char name[NAME_LENGTH_MAX + 1];
    enum table_kind kind;
    char prototype[PROTOTYPE_LENGTH_MAX + 1];   /* of a static call; else "" */
    int64_t default_code;               /* of a static call: the stub that leads to the worker's own default */
    struct shared_context *context;     /* of a static call: its arguments */
    uint32_t default_verdict;
    bool has_value;                     /* of a static call: it returns `value` and runs nothing */
    uint64_t value;                     /* table_prototype.h */
    bool no_indirect;                   /* policy: no indirect branch in its code; table_no_indirect() is what holds */
    unsigned workers_no_indirect;       /* of `workers`, those that call it without indirect branches */
    struct dispatcher_plan plan;        /* of the code as it is */
    struct dispatcher_plan prepared_plan;       /* of the change that runs now */
    size_t sampled_links;               /* links that it had when it was planned by keys that came; 0: it was not */
    unsigned workers;                   /* that declare it now */
    uid_t uid;                          /* whose worker declared it first */
    struct entry *entry;
    struct link **link;                 /* in the order above */
    size_t links, links_capacity;
    unsigned samplers;                  /* changes of its sampler that are not released yet */
    struct planned *planned;            /* planning.c: what is known of the plan; NULL: nothing */
    struct counter misses;              /* of keys without an entry; links that are attached are counted as these */
    struct totals totals;
    bool dirty;                         /* in the change that runs now */
    bool overwritten;                   /* a slot of its code is not as it was left: it is not changed any more */
    /* Settling (settle.c): */
    uint64_t changes;                   /* counts changes of the entry */
    uint64_t settled_changes;           /* what it was when the awaited grace period was asked for */
    bool is_settling;                   /* `settling` waits */
    bool removed;                       /* free it when it does not */
    struct grace_waiter settling;
    struct daemon *daemon;
};

/* One attachment: what runs for the keys `first` to `last`, and whether the next link of the entry runs after it. */
struct link {
    int64_t id;
    struct table *table;
    bool otherwise;                     /* for all keys without an entry; then first and last are 0 */
    uint32_t first, last;
    int32_t priority;                   /* the lowest runs first */
    uint32_t proceed[PROCEED_MAX];      /* verdicts after which the next one runs */
    unsigned proceeds;
    struct program *program;            /* holds a reference; NULL: a native */
    struct native *native;              /* NULL: a program */
    int64_t native_code;                /* the stub that leads to it */
    uint32_t samples;                   /* of the entry, so the same in a chain: how often its keys came in the last sample */
    uint32_t weight;                    /* and in that which its table's code was made for */
    struct counter counter;             /* of what it runs */
    struct program *credited;           /* whose totals get what is counted: the one that its code runs; NULL: a native */
    struct entry_totals *entry;         /* a reference, shared by the chain; NULL: nothing of it was counted yet */
};

struct registry {
    struct image *image;                /* borrowed, like the arena */
    struct arena *arena;
    bool no_indirect;                   /* policy of the host: of all tables */
    struct program **program;
    size_t programs, programs_capacity;
    struct table **table;
    size_t tables, tables_capacity;
    struct native **native;             /* by name and prototype */
    size_t natives, natives_capacity;
    struct link **link;
    size_t links, links_capacity;
    int64_t next_link;                  /* ids are never used again */
    struct shared_map **map;            /* by name */
    size_t maps, maps_capacity;
    uint32_t next_map;                  /* nor are numbers of maps */
    uint64_t arena_position;            /* image offset at which windows have the arena */
    void *private_seats;                /* for changes of maps of maps (shared_map.c) */
};

/* Numbers of maps: 0 is none, 1 the trace ring's. */
#define MAP_NUMBER_TRACE 1
#define MAP_NUMBER_FIRST 2

/* `text_size`: bytes of the image, behind which windows have the arena. */
void registry_init(struct registry *registry, struct image *image, size_t text_size, struct arena *arena);
void registry_done(struct registry *registry);

/* Is this a name of a program, table, map or context: [A-Za-z0-9_.-]{1,63}? */
bool registry_name_valid(const char *name);

/* Find, or NULL. */
struct program *registry_program(const struct registry *registry, const char *name);
struct table *registry_table(const struct registry *registry, const char *name);
struct link *registry_link(const struct registry *registry, int64_t id);
struct native *registry_native(const struct registry *registry, const char *name, const char *prototype);
struct shared_map *registry_map(const struct registry *registry, const char *name);
struct shared_map *registry_map_numbered(const struct registry *registry, uint32_t number); /* as journals name it */

/* To go through all while they change: the index of the first behind this name, id or place (keys, priority, id of a link). */
size_t registry_programs_after(const struct registry *registry, const char *name);
size_t registry_tables_after(const struct registry *registry, const char *name);
size_t registry_maps_after(const struct registry *registry, const char *name);
size_t registry_links_after(const struct registry *registry, int64_t id);
size_t table_links_after(const struct table *table, const struct link *place);

/* Are they links of one chain? */
bool link_same_entry(const struct link *a, const struct link *b);
/*
 * The chain of exactly this entry (that of `keys` only otherwise, first and last count): its links, in order; 0 if
 * there is none.
 */
size_t table_chain(const struct table *table, const struct link *keys, struct link *const **ret);
/* A link of another entry that has one of these keys, or NULL. */
struct link *table_overlap(const struct table *table, const struct link *keys);
/* Does it hold nothing: is there neither a worker that declares it, nor anything that was set or attached? */
bool table_is_unused(const struct table *table);
/* Must the table's code do without indirect branches: for the host, by its own policy, or for a worker? */
bool table_no_indirect(const struct registry *registry, const struct table *table);
struct shared_context *registry_context(const struct registry *registry, const char *name);

/* Objects.  The new one is the caller's with one reference. -ENOMEM. */
int shared_context_new(struct context *description, struct shared_context **ret);      /* takes the description */
struct shared_context *shared_context_get(struct shared_context *context);
struct shared_context *shared_context_put(struct shared_context *context);
int program_new(const struct registry *registry, const char *name, struct shared_context *context,
                struct program **ret);
struct program *program_get(struct program *program);
struct program *program_put(struct program *program);           /* the last one releases code, data and maps */
int table_new(const char *name, enum table_kind kind, struct shared_context *context, uint32_t default_verdict,
              struct table **ret);
struct table *table_free(struct table *table);
int link_new(const struct link *link, struct link **ret);       /* a copy, which gets its program */
struct link *link_free(struct link *link);                      /* puts the program */

/*
 * A link in words, as dispatchctl takes them: its keys ("3", "10-20", "default"), its program ("NAME", "native:NAME");
 * and its verdicts to proceed on as JSON.
 */
#define LINK_KEYS_TEXT 24
#define LINK_PROCEED_TEXT 96
#define LINK_PROGRAM_TEXT (NAME_LENGTH_MAX + 8)
void link_keys_text(const struct link *link, char text[LINK_KEYS_TEXT]);
void link_proceed_text(const struct link *link, char text[LINK_PROCEED_TEXT]);
void link_program_text(const struct link *link, char text[LINK_PROGRAM_TEXT]);
/*
 * Verdicts to proceed on from JSON (NULL: none).  -ERANGE: one is no verdict; -EEXIST: twice the same;
 * -E2BIG: too many.
 */
int link_read_proceed(struct link *link, struct json_object *verdicts);

/* Enter and take out.  -ENOMEM; taking out never fails.  Ownership moves with the object. */
int registry_add_program(struct registry *registry, struct program *program);
void registry_remove_program(struct registry *registry, struct program *program);
int registry_add_native(struct registry *registry, const struct native *native, struct native **ret);    /* a copy */
void registry_prune_natives(struct registry *registry);          /* those that nobody offers and no link leads to */
void registry_remove_native(struct registry *registry, struct native *native);      /* and free it */
int registry_add_map(struct registry *registry, struct shared_map *map);
void registry_remove_map(struct registry *registry, struct shared_map *map);
int registry_add_table(struct registry *registry, struct table *table);
void registry_remove_table(struct registry *registry, struct table *table);
int registry_add_link(struct registry *registry, struct link *link);    /* also to its table and program */
void registry_remove_link(struct registry *registry, struct link *link);

/*
 * Exchange what a link of the registry runs, in place, with what `other` holds, which is no link of the registry.
 * -ENOMEM; then as before.  References move along.
 */
int registry_exchange_target(struct link *link, struct link *other);

#endif
