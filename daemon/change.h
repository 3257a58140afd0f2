/* SPDX-License-Identifier: MIT */
/*
 * The one path of every change.  A change is a transaction of operations, and runs through the same steps whatever they
 * are:
 *
 *      0 (before) programs that it loads are translated, in other processes: translation.h.  Nothing is changed by it.
 *      1 check    names, limits, contexts; each operation takes effect in the registry, so that the next one sees it
 *      2 prepare  place code and data, emit the trees: all that can fail for want of memory fails here; compare all slots
 *                 with what was left in them
 *      3 commit   to the database, durable
 *      4 poke     all slots, as one batch, and what programs see besides; cannot fail
 *      5 answer   as late as was asked for: committed, live, quiescent
 *      6 release  after a grace period, what was replaced
 *
 * A change that only takes links away never fails for want of image memory: see entry.h.
 * A failure in 1 to 3 undoes the operations in reverse order: registry, image, arena and database are as before.
 * A new kind of operation is one struct operation_kind; it brings its own check and prepare, never a path of its own.
 */
#ifndef DAEMON_CHANGE_H
#define DAEMON_CHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon.h"
#include "map.h"
#include "refusal.h"

struct json_object;
struct operation;
struct translation;
struct typed;

struct operation_kind {
    const char *name;                   /* "attach" */
    /* Steps 1 and 2.  Each leaves nothing behind when it fails, and fills the refusal.  prepare may be NULL. */
    int (*check)(struct daemon *daemon, struct operation *operation, struct refusal *refusal);
    int (*prepare)(struct daemon *daemon, struct operation *operation, struct refusal *refusal);
    /* Step 3: rows, inside the transaction.  NULL where an operation is always `unchanged`. */
    int (*store)(struct daemon *daemon, const struct operation *operation);
    /* Step 4, where more than slots changes: what programs see of it.  Cannot fail.  May be NULL. */
    void (*show)(struct daemon *daemon, struct operation *operation);
    /* Undo check and, where it was done, prepare. */
    void (*undo)(struct daemon *daemon, struct operation *operation);
    /* Step 6: drop what the operation replaced.  May be NULL. */
    void (*release)(struct daemon *daemon, struct operation *operation);
    /* The link that it takes away, whose counter is read a last time before step 6; NULL: none.  May be NULL. */
    struct link *(*leaving)(const struct operation *operation);
    /* For the audit log: the object's name, into `text`. */
    void (*describe)(const struct operation *operation, char *text, size_t size);
};

extern const struct operation_kind operation_load, operation_unload, operation_attach, operation_detach,
    operation_replace, operation_set_policy, operation_set_call, operation_statistics, operation_declare,
    operation_forget, operation_offer, operation_create_map, operation_remove_map, operation_set_inner;

/* One operation: what was asked (the caller fills it in), and what became of it. */
struct operation {
    const struct operation_kind *kind;

    char program_name[NAME_LENGTH_MAX + 1];     /* load, unload, attach, replace, set-call */
    char native_name[NAME_LENGTH_MAX + 1];      /* offer; likewise: instead of a program; both: either by one name */
    char table_name[NAME_LENGTH_MAX + 1];       /* attach, set-policy, set-call, declare, forget */
    struct link wanted;                         /* attach: keys, priority and verdicts to proceed on; replace and
                                                   set-call: from check on the target that the link does not have,
                                                   with its reference */
    bool has_value;                             /* set-call: it returns `value`; set by check: what it was */
    uint64_t value;                             /* table_prototype.h */
    bool value_negative;
    char prototype[PROTOTYPE_LENGTH_MAX + 1];   /* declare: of a static call, "" of a table; offer */
    bool may_block;                             /* offer */
    int64_t link_id;                            /* detach, replace; set by attach */
    unsigned counted;                           /* statistics: enum counted; 0: off */
    bool misses;                                /* statistics: of the table's misses alone */
    bool no_indirect;                           /* declare; set-policy; set by check: what it was */
    void *object;                               /* load: ELF bytes, owned */
    size_t object_size;
    char *function;                             /* load: which program of the object, NULL: the only one; owned */
    struct json_object *settings;               /* load: a reference; NULL: none */
    struct translation *translation;            /* load: done, and not failed; owned */
    struct context *declared;                   /* declare: owned */
    uint32_t default_verdict;                   /* declare */
    char map_name[NAME_LENGTH_MAX + 1];         /* create-map, remove-map; set-inner: the map of maps */
    struct map_definition definition;           /* create-map */
    struct map_definition inner_definition;     /* create-map: of maps of maps, else of kind 0 */
    struct typed *key_type, *value_type;        /* create-map: NULL: just bytes; owned */
    char inner_name[NAME_LENGTH_MAX + 1];       /* set-inner: what the key has from now on; "": nothing.
                                                   create-map: what inner maps are like; "": it is no map of maps */
    void *key;                                  /* set-inner; owned */
    size_t key_size;
    uid_t uid;                                  /* who asks: pays for the memory of maps; set by change_run() */

    /* Set by check. */
    struct program *program;                    /* load, unload; replace: the previous one, a reference */
    struct table *table;                        /* attach, detach, replace, set-policy: its code changes */
    struct link *link;
    struct switched *switched;                  /* statistics: what it switches, and how that was; owned */
    size_t switches;
    struct shared_context *context;             /* declare: a reference */
    struct table *declared_table, *replaced_table;      /* declare; forget: it is replaced by nothing */
    bool created;                               /* declare: declared_table is new; set-call: link is; offer: native is;
                                                   create-map: map is */
    bool replaced;                              /* set-call: link had another target */
    struct native *native;                      /* offer */
    struct shared_map *map;                     /* create-map, set-inner: a reference; remove-map: the registration's */
    struct shared_map *inner;                   /* set-inner: what the key does not have, a reference; NULL: nothing */
    uint64_t maps_created;                      /* load: bit i: program->map[i] is new */
    bool unchanged;                             /* all is as asked already: nothing to store */
    bool checked, prepared;
};

/* What attach, replace or set-call asks for: the name of a program or native. */
static inline const char *operation_target_name(const struct operation *operation)
{
    return *operation->native_name ? operation->native_name : operation->program_name;
}

enum change_wait {
    CHANGE_COMMITTED,           /* durable */
    CHANGE_LIVE,                /* every hook call that begins after the answer sees it */
    CHANGE_QUIESCENT,           /* and no thread is in the replaced code */
};

struct change_request {
    struct operation *operation;        /* array from malloc; the change takes it over, success or not */
    size_t operations;
    enum change_wait wait;
    uid_t uid;                          /* who asks, for the audit log */
    pid_t pid;
    /*
     * Called once if the change succeeds, when it has come as far as `wait` says, perhaps before change_run returns.
     * `operation` is valid during the call.
     */
    void (*done)(void *userdata, const struct operation *operation, size_t operations);
    void *userdata;
};

/*
 * Run a change.  0: it is done, or will be when the grace period is over.  Negative errno: nothing was changed,
 * `refusal` says why (the caller's, to be refusal_done).
 */
int change_run(struct daemon *daemon, const struct change_request *request, struct refusal *refusal);

/*
 * There is fresh image memory again: give tables that ran without it (ENTRY_FILTERED) new code, as far as it reaches.
 */
void changes_rebuild(struct daemon *daemon);

/*
 * Changes that nobody asked for, made by the daemon itself: they store nothing and answer nobody.
 * Give a table new code: what it dispatches has not changed, but its plan has.  -ENOSPC, -ENOMEM: it keeps its code.
 */
int change_rebuild(struct daemon *daemon, struct table *table);

/*
 * For a worker that is about to call this table, and was built to do so without indirect branches: code that has some is
 * made anew.  Negative errno: it could not be, `refusal` says why, and the worker must not have the table; in a full image
 * that is ImageFull.
 */
int change_restrict(struct daemon *daemon, struct table *table, struct refusal *refusal);

/*
 * Put the sampler in front of a table's code, or take it out.
 * Errors of entry_prepare_sample(): nothing has changed.
 */
int change_sample(struct daemon *daemon, struct table *table, bool on);

/* At the end, when no grace period will be over any more and the image is frozen: free what still waits for one. */
void changes_forget(struct daemon *daemon);

/*
 * A link that is attached is counted as its table's others are, if there is a place: it is not refused for want of one.
 * Then, in the transaction: write what there is to keep of it; and of the entry that a link has left.
 */
void operation_count_link(struct daemon *daemon, struct link *link);
int operation_store_counters(struct daemon *daemon, const struct link *link);
int operation_store_entry(struct daemon *daemon, const struct link *left);

/* Free an array of operations that change_run has not taken.  NULL is fine. */
void operations_free(struct operation *operation, size_t operations);

#endif
