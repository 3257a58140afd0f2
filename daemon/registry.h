/* SPDX-License-Identifier: MIT */
/*
 * The registry: contexts, programs, tables and links in memory, as the database has them.
 *
 * References, as the kernel counts them: a program's registration holds one, and each link holds one.  A link's is given
 * back only after the grace period that follows its removal, so the last put always finds the code unused and may free it.
 *
 * Order: programs and tables by name, links by id; the links of a table by key.  Removing never allocates, so that what
 * was removed can always be put back (a change that fails undoes its steps).
 */
#ifndef DAEMON_REGISTRY_H
#define DAEMON_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "architecture.h"
#include "arena.h"
#include "context.h"
#include "entry.h"
#include "grace.h"
#include "image.h"

struct daemon;
struct json_object;

#define NAME_LENGTH_MAX CONTEXT_NAME_MAX        /* bytes of the name of a program, table or context */
#define TABLES_MAX 4096
#define PROGRAMS_MAX 16384      /* these two: so that a listing fits one answer */
#define LINKS_MAX 100000

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
    uint32_t instructions;
    uint64_t code;                      /* image offset, IMAGE_NONE before it is placed */
    size_t code_size;                   /* bytes */
    uint64_t data;                      /* arena offset, ARENA_NONE if it has none */
    size_t data_size;                   /* bytes */
    struct link **link;                 /* by id */
    size_t links, links_capacity;
};

struct table {
    char name[NAME_LENGTH_MAX + 1];
    struct shared_context *context;
    uint32_t default_verdict;
    unsigned workers;                   /* that declare it now */
    struct entry *entry;
    struct link **link;                 /* by key */
    size_t links, links_capacity;
    bool dirty;                         /* in the change that runs now */
    /* Settling (settle.c): */
    uint64_t changes;                   /* counts changes of the entry */
    uint64_t settled_changes;           /* what it was when the awaited grace period was asked for */
    bool is_settling;                   /* `settling` waits */
    bool removed;                       /* free it when it does not */
    struct grace_waiter settling;
    struct daemon *daemon;
};

struct link {
    int64_t id;
    struct table *table;
    uint32_t key;
    struct program *program;            /* holds a reference */
};

struct registry {
    struct image *image;                /* borrowed, like the arena */
    struct arena *arena;
    struct program **program;
    size_t programs, programs_capacity;
    struct table **table;
    size_t tables, tables_capacity;
    struct link **link;
    size_t links, links_capacity;
    int64_t next_link;                  /* ids are never used again */
};

void registry_init(struct registry *registry, struct image *image, struct arena *arena);
void registry_done(struct registry *registry);

/* Is this a name of a program, table or context: [A-Za-z0-9_.-]{1,63}? */
bool registry_name_valid(const char *name);

/* Find, or NULL. */
struct program *registry_program(const struct registry *registry, const char *name);
struct table *registry_table(const struct registry *registry, const char *name);
struct link *registry_link(const struct registry *registry, int64_t id);
struct link *table_link(const struct table *table, uint32_t key);
struct shared_context *registry_context(const struct registry *registry, const char *name);

/* Objects.  The new one is the caller's with one reference. -ENOMEM. */
int shared_context_new(struct context *description, struct shared_context **ret);      /* takes the description */
struct shared_context *shared_context_get(struct shared_context *context);
struct shared_context *shared_context_put(struct shared_context *context);
int program_new(const struct registry *registry, const char *name, struct shared_context *context, struct program **ret);
struct program *program_get(struct program *program);
struct program *program_put(struct program *program);           /* the last one releases code and data */
int table_new(const char *name, struct shared_context *context, uint32_t default_verdict, struct table **ret);
struct table *table_free(struct table *table);
int link_new(int64_t id, struct table *table, uint32_t key, struct program *program, struct link **ret);
struct link *link_free(struct link *link);                      /* puts the program */

/* Enter and take out.  -ENOMEM; taking out never fails.  Ownership moves with the object. */
int registry_add_program(struct registry *registry, struct program *program);
void registry_remove_program(struct registry *registry, struct program *program);
int registry_add_table(struct registry *registry, struct table *table);
void registry_remove_table(struct registry *registry, struct table *table);
int registry_add_link(struct registry *registry, struct link *link);    /* also to its table and program */
void registry_remove_link(struct registry *registry, struct link *link);

/* What a table's tree dispatches: its links as cases, sorted.  The array is the caller's.  -ENOMEM. */
int table_cases(const struct table *table, struct dispatcher_case **ret);

#endif
