/* SPDX-License-Identifier: MIT */
/* Operations attach, detach and replace. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "change.h"
#include "statistics.h"
#include "store.h"
#include "target.h"

/* ---- attach -------------------------------------------------------------------------------------------- */

static int refuse_taken(const struct table *table, const struct link *wanted, const struct link *taken,
                        const char *reason, struct refusal *refusal)
{
    char keys[LINK_KEYS_TEXT], taken_keys[LINK_KEYS_TEXT], taken_program[LINK_PROGRAM_TEXT];

    link_keys_text(wanted, keys);
    link_keys_text(taken, taken_keys);
    link_program_text(taken, taken_program);
    return refuse(refusal, -EEXIST, "KeyTaken", "ssisss", "table", table->name, "keys", keys, "link", taken->id,
                  "link_keys", taken_keys, "program", taken_program, "reason", reason);
}

/*
 * Entries do not overlap; and a link without verdicts to proceed on ends its chain: one behind it would never run.
 * That is refused and not kept, since who asks for it has not seen the other.  So only the last link of a chain can be
 * such a one.
 */
static int check_entry(const struct table *table, const struct link *wanted, struct refusal *refusal)
{
    struct link *const *chain, *taken = table_overlap(table, wanted);
    const struct link *last;
    size_t links;

    if (taken)
        return refuse_taken(table, wanted, taken, "entries must not overlap", refusal);
    links = table_chain(table, wanted, &chain);
    if (links == 0)
        return 0;
    last = chain[links - 1];
    if (last->priority <= wanted->priority && last->proceeds == 0)
        return refuse_taken(table, wanted, last, "it proceeds on no verdict, so the new one would never run", refusal);
    if (last->priority > wanted->priority && wanted->proceeds == 0)
        return refuse_taken(table, wanted, last, "it would never run behind the new one, which proceeds on no verdict",
                            refusal);
    return 0;
}

/* How often keys came is said of entries: all links of one have the same. */
static void join_entry(struct link *link)
{
    struct link *const *chain;
    size_t links = table_chain(link->table, link, &chain);
    const struct link *other = links > 1 ? chain[chain[0] == link] : link;

    link->samples = other->samples;
    link->weight = other->weight;
}

static int check_attach(struct daemon *daemon, struct operation *operation, struct refusal *refusal)
{
    struct table *table = registry_table(&daemon->registry, operation->table_name);
    struct link wanted = operation->wanted, *link;
    int r;

    if (!table)
        return refuse(refusal, -ENOENT, "UnknownTable", "s", "table", operation->table_name);
    if (table->kind == TABLE_CALL)
        return refuse_parameter(refusal, "table", "\"%s\" is a static call, which has no keys: use SetCall",
                                table->name);
    r = target_find(daemon, table, operation->program_name, operation->native_name, &wanted, refusal);
    if (r >= 0)
        r = check_entry(table, &wanted, refusal);
    if (r < 0)
        return r;
    if (daemon->registry.links >= LINKS_MAX)
        return refuse(refusal, -EDQUOT, "LimitExceeded", "si", "limit", "links", "maximum", (int64_t)LINKS_MAX);
    wanted.id = daemon->registry.next_link;
    wanted.table = table;
    r = link_new(&wanted, &link);
    if (r >= 0) {
        r = registry_add_link(&daemon->registry, link);
        if (r < 0)
            link_free(link);
    }
    if (r < 0)
        return refuse_memory(refusal);
    join_entry(link);
    operation->link_id = daemon->registry.next_link++;
    operation->link = link;
    operation->table = table;
    operation_count_link(daemon, link);
    return 0;
}

static int store_attach(struct daemon *daemon, const struct operation *operation)
{
    const struct link *link = operation->link;
    char proceed_on[LINK_PROCEED_TEXT];
    const struct store_link row = {
        .id = operation->link_id, .table = operation->table->name, .otherwise = link->otherwise, .first = link->first,
        .last = link->last, .priority = link->priority, .proceed_on = proceed_on,
        .program = link->program ? link->program->name : NULL, .native = link->native ? link->native->name : NULL,
    };
    int r;

    link_proceed_text(link, proceed_on);
    r = target_store(daemon, link);
    if (r >= 0)
        r = store_add_link(daemon->store, &row);
    return r < 0 ? r : operation_store_counters(daemon, link);
}

/* The id stays used up: that of a link which never was is nobody's. */
static void undo_attach(struct daemon *daemon, struct operation *operation)
{
    registry_remove_link(&daemon->registry, operation->link);
    totals_withdraw(operation->link);
    counter_release(daemon->statistics, &operation->link->counter);
    operation->link = link_free(operation->link);
}

static void describe_attach(const struct operation *operation, char *text, size_t size)
{
    char keys[LINK_KEYS_TEXT];

    link_keys_text(&operation->wanted, keys);
    snprintf(text, size, "%s %s %s link %" PRId64, operation->table_name, keys, operation_target_name(operation),
             operation->link_id);
}

const struct operation_kind operation_attach = {
    .name = "attach",
    .check = check_attach,
    .store = store_attach,
    .undo = undo_attach,
    .describe = describe_attach,
};

/* ---- detach -------------------------------------------------------------------------------------------- */

static int check_detach(struct daemon *daemon, struct operation *operation, struct refusal *refusal)
{
    struct link *link = registry_link(&daemon->registry, operation->link_id);

    if (!link)
        return refuse(refusal, -ENOENT, "UnknownLink", "i", "link", operation->link_id);
    registry_remove_link(&daemon->registry, link);
    operation->link = link;
    operation->table = link->table;
    return 0;
}

static int store_detach(struct daemon *daemon, const struct operation *operation)
{
    int r = operation_store_entry(daemon, operation->link);

    return r < 0 ? r : store_remove_link(daemon->store, operation->link_id);
}

static void undo_detach(struct daemon *daemon, struct operation *operation)
{
    registry_add_link(&daemon->registry, operation->link);      /* its places are still there */
}

/* No thread is in the program on this link's account any more: give its reference back. */
static void release_detach(struct daemon *daemon, struct operation *operation)
{
    counter_release(daemon->statistics, &operation->link->counter);
    operation->link = link_free(operation->link);
}

static struct link *link_of_detach(const struct operation *operation)
{
    return operation->link;
}

static void describe_detach(const struct operation *operation, char *text, size_t size)
{
    snprintf(text, size, "link %" PRId64, operation->link_id);
}

const struct operation_kind operation_detach = {
    .name = "detach",
    .check = check_detach,
    .store = store_detach,
    .undo = undo_detach,
    .release = release_detach,
    .leaving = link_of_detach,
    .describe = describe_detach,
};

/* ---- replace ------------------------------------------------------------------------------------------- */

/* The link stays: its id, its counters, its place among others.  `wanted` holds the target that it does not have. */
static int check_replace(struct daemon *daemon, struct operation *operation, struct refusal *refusal)
{
    struct link *link = registry_link(&daemon->registry, operation->link_id);
    int r;

    if (!link)
        return refuse(refusal, -ENOENT, "UnknownLink", "i", "link", operation->link_id);
    operation->wanted = (struct link){ .proceeds = link->proceeds };
    r = target_find(daemon, link->table, operation->program_name, operation->native_name, &operation->wanted, refusal);
    if (r < 0)
        return r;
    if (operation->wanted.program)
        program_get(operation->wanted.program);
    if (registry_exchange_target(link, &operation->wanted) < 0) {
        program_put(operation->wanted.program);
        return refuse_memory(refusal);
    }
    operation->link = link;
    operation->table = link->table;
    return 0;
}

static int store_replace(struct daemon *daemon, const struct operation *operation)
{
    const struct link *link = operation->link;
    int r = target_store(daemon, link);

    return r < 0 ? r : store_replace_link(daemon->store, link->id, link->program ? link->program->name : NULL,
                              link->native ? link->native->name : NULL);
}

static void undo_replace(struct daemon *daemon, struct operation *operation)
{
    (void)daemon;
    registry_exchange_target(operation->link, &operation->wanted);     /* its place is still there */
    operation->wanted.program = program_put(operation->wanted.program);
}

/* No thread is in the previous program on this link's account any more. */
static void release_replace(struct daemon *daemon, struct operation *operation)
{
    (void)daemon;
    operation->wanted.program = program_put(operation->wanted.program);
}

static void describe_replace(const struct operation *operation, char *text, size_t size)
{
    snprintf(text, size, "link %" PRId64 " %s", operation->link_id, operation_target_name(operation));
}

const struct operation_kind operation_replace = {
    .name = "replace",
    .check = check_replace,
    .store = store_replace,
    .undo = undo_replace,
    .release = release_replace,
    .describe = describe_replace,
};
