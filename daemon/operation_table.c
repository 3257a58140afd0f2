/* SPDX-License-Identifier: MIT */
/* Operations declare (a worker's binary has this table), forget (nobody uses it) and set-policy. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "change.h"
#include "settle.h"
#include "statistics.h"
#include "store.h"
#include "table_code.h"
#include "target.h"
#include "util.h"

/* ---- declare ------------------------------------------------------------------------------------------- */

/* The declared context is the operation's until check_context() has made it a shared one. */
static int refuse_mismatch(const struct operation *operation, const char *reason, struct refusal *refusal)
{
    const struct context *declared = operation->declared ? operation->declared : operation->context->description;

    return refuse(refusal, -EINVAL, "ContextMismatch", "sss", "table", operation->table_name, "context",
                  declared->name, "reason", reason);
}

/*
 * Find the context or take the declared one.  The same name with other fields is refused while anything uses the old
 * description: the programs were checked against it.
 */
static int check_context(struct daemon *daemon, struct operation *operation, const struct table *table,
                         struct refusal *refusal)
{
    struct shared_context *known = registry_context(&daemon->registry, operation->declared->name);
    struct jit_error difference = { 0 };
    bool replaceable = table && table->context == known && known->references == 1;
    int r;

    if (known && context_equal(known->description, operation->declared, &difference)) {
        operation->context = shared_context_get(known);
        return 0;
    }
    if (known && !replaceable)
        return refuse_mismatch(operation, difference.text, refusal);
    r = shared_context_new(operation->declared, &operation->context);
    if (r < 0)
        return refuse_memory(refusal);
    operation->declared = NULL;         /* the shared context has it now */
    return 0;
}

static int check_unused(const struct operation *operation, const struct table *table, struct refusal *refusal)
{
    char reason[256];

    if (table->links)
        snprintf(reason, sizeof(reason),
                 "the table was declared with another context, prototype or default verdict, and %zu links"
                 " use it: detach them, then start the new worker", table->links);
    else if (table->has_value)
        snprintf(reason, sizeof(reason),
                 "the call was declared with another context or prototype, and returns a value that was set"
                 " for it: set it to its default, then start the new worker");
    else if (table->workers)
        snprintf(reason, sizeof(reason),
                 "the table is declared with another context, prototype or default verdict by %u running"
                 " workers: stop them first", table->workers);
    else
        return 0;
    return refuse_mismatch(operation, reason, refusal);
}

/* Until something is set for it, a static call leads to each worker's own default; a table may count its misses. */
static int start(struct daemon *daemon, struct table *table)
{
    _cleanup_(table_dispatcher_done) struct table_dispatcher code = { 0 };
    int r = 0;

    if (table->kind == TABLE_KEYS && !table->misses.counted)
        return 0;
    if (table->kind == TABLE_CALL)
        r = target_stub(daemon, table, NULL, &table->default_code);
    if (r >= 0)
        r = table_dispatcher(&daemon->registry, table, &code);
    return r < 0 ? r : entry_start(table->entry, &code.dispatcher);
}

/* What was set for a table, and what was counted, stays when it is declared anew. */
static void hand_over(struct daemon *daemon, struct table *from, struct table *to)
{
    to->no_indirect = from->no_indirect;
    counter_hand_over(daemon->statistics, &from->misses, &to->misses, to->name);
    totals_hand_over(&from->totals, &to->totals, statistics_changed_totals(daemon->statistics));
}

/* previous: the table that it takes the place of, or NULL. */
static int add_table(struct daemon *daemon, struct operation *operation, struct table *previous,
                     struct refusal *refusal)
{
    struct image_usage usage;
    struct table *table = NULL;
    int r;

    r = table_new(operation->table_name, *operation->prototype ? TABLE_CALL : TABLE_KEYS, operation->context,
                  operation->default_verdict, &table);
    if (r >= 0)
        r = entry_new(daemon->image, operation->default_verdict, &table->entry);
    if (r >= 0) {
        strcpy(table->prototype, operation->prototype);
        if (previous)
            hand_over(daemon, previous, table);
        r = start(daemon, table);
        if (r >= 0)
            r = registry_add_table(&daemon->registry, table);
        if (r < 0 && previous)
            hand_over(daemon, table, previous);
    }
    if (r < 0)
        table_free(table);
    if (r == -ENOSPC) {
        image_usage(daemon->image, &usage);
        return refuse(refusal, r, "ImageFull", "ii", "needed", (int64_t)ENTRY_HOME_SIZE, "available",
                      (int64_t)usage.fresh);
    }
    if (r == -EDQUOT)
        return target_refuse_stub(refusal);
    if (r < 0)
        return refuse_memory(refusal);
    operation->declared_table = table;
    return 0;
}

static int check_declare_name(const struct operation *operation, struct refusal *refusal)
{
    if (!registry_name_valid(operation->table_name))
        return refuse_parameter(refusal, "tables.name", "\"%s\" is no name: use 1 to %d of A-Z a-z 0-9 _ . -",
                                operation->table_name, NAME_LENGTH_MAX);
    return 0;
}

static int check_declare(struct daemon *daemon, struct operation *operation, struct refusal *refusal)
{
    struct table *table = registry_table(&daemon->registry, operation->table_name);
    int r;

    r = check_declare_name(operation, refusal);
    if (r >= 0)
        r = check_context(daemon, operation, table, refusal);
    if (r < 0)
        return r;
    if (table && table->context == operation->context && table->default_verdict == operation->default_verdict &&
        !strcmp(table->prototype, operation->prototype)) {
        operation->declared_table = table;
        operation->unchanged = true;
        return 0;
    }
    if (table) {
        r = check_unused(operation, table, refusal);
        if (r < 0)
            return r;
        registry_remove_table(&daemon->registry, table);
    }
    r = add_table(daemon, operation, table, refusal);
    if (r < 0) {
        if (table)
            registry_add_table(&daemon->registry, table);      /* its place is still there */
        return r;
    }
    operation->created = true;
    operation->replaced_table = table;
    operation->declared_table->uid = table ? table->uid : operation->uid;
    return 0;
}

static int store_declare(struct daemon *daemon, const struct operation *operation)
{
    const struct table *table = operation->declared_table;
    const struct store_table row = {
        .name = table->name, .kind = table->kind == TABLE_CALL ? "call" : "table",
        .context = table->context->description->name,
        .prototype = table->prototype, .default_verdict = table->default_verdict, .uid = table->uid,
    };
    int r;

    r = store_add_context(daemon->store, table->context->description);
    if (r < 0)
        return r;
    if (!operation->replaced_table)
        return store_add_table(daemon->store, &row);
    return store_change_table(daemon->store, &row, operation->replaced_table->context->description->name);
}

static void undo_declare(struct daemon *daemon, struct operation *operation)
{
    if (!operation->created)
        return;
    registry_remove_table(&daemon->registry, operation->declared_table);
    if (operation->replaced_table)
        hand_over(daemon, operation->declared_table, operation->replaced_table);
    table_free(operation->declared_table);
    if (operation->replaced_table)
        registry_add_table(&daemon->registry, operation->replaced_table);
}

static void release_replaced(struct daemon *daemon, struct operation *operation)
{
    (void)daemon;
    if (operation->replaced_table)
        settle_remove(operation->replaced_table);
}

static void describe_name(const struct operation *operation, char *text, size_t size)
{
    snprintf(text, size, "%s", operation->table_name);
}

const struct operation_kind operation_declare = {
    .name = "declare",
    .check = check_declare,
    .store = store_declare,
    .undo = undo_declare,
    .release = release_replaced,
    .describe = describe_name,
};

/* ---- forget -------------------------------------------------------------------------------------------- */

static int check_forget(struct daemon *daemon, struct operation *operation, struct refusal *refusal)
{
    struct table *table = registry_table(&daemon->registry, operation->table_name);

    (void)refusal;
    assert(table && table_is_unused(table));
    registry_remove_table(&daemon->registry, table);
    operation->replaced_table = table;
    return 0;
}

static int store_forget(struct daemon *daemon, const struct operation *operation)
{
    return store_remove_table(daemon->store, operation->table_name,
                              operation->replaced_table->context->description->name);
}

static void undo_forget(struct daemon *daemon, struct operation *operation)
{
    registry_add_table(&daemon->registry, operation->replaced_table);   /* its place is still there */
}

const struct operation_kind operation_forget = {
    .name = "forget",
    .check = check_forget,
    .store = store_forget,
    .undo = undo_forget,
    .release = release_replaced,
    .describe = describe_name,
};

/* ---- set-policy ---------------------------------------------------------------------------------------- */

static void swap_policy(struct operation *operation, struct table *table)
{
    bool previous = table->no_indirect;

    table->no_indirect = operation->no_indirect;
    operation->no_indirect = previous;
}

static int check_set_policy(struct daemon *daemon, struct operation *operation, struct refusal *refusal)
{
    struct table *table = registry_table(&daemon->registry, operation->table_name);

    if (!table)
        return refuse(refusal, -ENOENT, "UnknownTable", "s", "table", operation->table_name);
    swap_policy(operation, table);
    operation->table = table;
    return 0;
}

static int store_set_policy_of(struct daemon *daemon, const struct operation *operation)
{
    return store_set_policy(daemon->store, operation->table_name,
                            operation->table->no_indirect ? "no-indirect" : "any");
}

static void undo_set_policy(struct daemon *daemon, struct operation *operation)
{
    (void)daemon;
    swap_policy(operation, operation->table);
}

static void describe_set_policy(const struct operation *operation, char *text, size_t size)
{
    snprintf(text, size, "%s %s", operation->table_name, operation->table->no_indirect ? "no-indirect" : "any");
}

const struct operation_kind operation_set_policy = {
    .name = "set_policy",
    .check = check_set_policy,
    .store = store_set_policy_of,
    .undo = undo_set_policy,
    .describe = describe_set_policy,
};
