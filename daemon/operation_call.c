/* SPDX-License-Identifier: MIT */
/*
 * Operations offer (a worker's binary has this native) and set-call: what a static call runs.  That is one of
 *
 *      a program or native     the call's one link, which keeps its id while one follows another
 *      a value                 no link
 *      nothing                 no link: the worker's own default
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "table_prototype.h"
#include "change.h"
#include "statistics.h"
#include "store.h"
#include "target.h"

/* ---- offer --------------------------------------------------------------------------------------------- */

/*
 * Nothing of it is stored: workers come back, and a link has its native in the database.  One that says otherwise
 * whether it may block is right while no link leads to it.  What is above the limit is not known, and no reason to
 * refuse a worker.
 */
static int check_offer(struct daemon *daemon, struct operation *operation, struct refusal *refusal)
{
    struct native native = { .may_block = operation->may_block }, *known;

    operation->unchanged = true;
    known = registry_native(&daemon->registry, operation->native_name, operation->prototype);
    if (known && known->links == 0)
        known->may_block = operation->may_block;
    operation->native = known;
    if (known || daemon->registry.natives >= NATIVES_MAX)
        return 0;
    strcpy(native.name, operation->native_name);
    strcpy(native.prototype, operation->prototype);
    if (registry_add_native(&daemon->registry, &native, &operation->native) < 0)
        return refuse_memory(refusal);
    operation->created = true;
    return 0;
}

static void undo_offer(struct daemon *daemon, struct operation *operation)
{
    if (operation->created)
        registry_remove_native(&daemon->registry, operation->native);
}

static void describe_offer(const struct operation *operation, char *text, size_t size)
{
    snprintf(text, size, "%s %s", operation->native_name, operation->prototype);
}

const struct operation_kind operation_offer = {
    .name = "offer",
    .check = check_offer,
    .undo = undo_offer,
    .describe = describe_offer,
};

/* ---- set-call ------------------------------------------------------------------------------------------ */

static void exchange_values(struct operation *operation)
{
    struct table *table = operation->table;
    bool has_value = table->has_value;
    uint64_t value = table->value;

    table->has_value = operation->has_value;
    table->value = operation->value;
    operation->has_value = has_value;
    operation->value = value;
}

static int add_link(struct daemon *daemon, struct operation *operation, struct refusal *refusal)
{
    struct link *link;
    int r;

    if (daemon->registry.links >= LINKS_MAX)
        return refuse(refusal, -EDQUOT, "LimitExceeded", "si", "limit", "links", "maximum", (int64_t)LINKS_MAX);
    operation->wanted.id = daemon->registry.next_link;
    r = link_new(&operation->wanted, &link);
    if (r >= 0) {
        r = registry_add_link(&daemon->registry, link);
        if (r < 0)
            link_free(link);
    }
    if (r < 0)
        return refuse_memory(refusal);
    daemon->registry.next_link++;
    operation->link = link;
    operation->created = true;
    operation_count_link(daemon, link);
    return 0;
}

static int exchange(struct operation *operation, struct link *link, struct refusal *refusal)
{
    struct program *next = operation->wanted.program;

    if (registry_exchange_target(link, &operation->wanted) < 0)
        return refuse_memory(refusal);
    if (next)
        program_get(next);
    operation->link = link;
    operation->replaced = true;
    return 0;
}

static int set_target(struct daemon *daemon, struct operation *operation, struct refusal *refusal)
{
    struct table *table = operation->table;
    int r;

    operation->wanted = (struct link){ .table = table, .otherwise = true };
    r = target_find(daemon, table, operation->program_name, operation->native_name, &operation->wanted, refusal);
    if (r < 0)
        return r;
    return table->links ? exchange(operation, table->link[0], refusal) : add_link(daemon, operation, refusal);
}

/* The link, if there is one, goes. */
static void clear_target(struct daemon *daemon, struct operation *operation)
{
    struct table *table = operation->table;

    operation->link = table->links ? table->link[0] : NULL;
    if (operation->link)
        registry_remove_link(&daemon->registry, operation->link);
}

static int check_set_call(struct daemon *daemon, struct operation *operation, struct refusal *refusal)
{
    struct table *table = registry_table(&daemon->registry, operation->table_name);
    int r;

    if (!table || table->kind != TABLE_CALL)
        return refuse(refusal, -ENOENT, "UnknownCall", "s", "call", operation->table_name);
    if (operation->has_value) {
        r = call_value_check(table, operation->value, operation->value_negative, refusal);
        if (r < 0)
            return r;
    }
    operation->table = table;
    if (*operation_target_name(operation)) {
        r = set_target(daemon, operation, refusal);
        if (r < 0)
            return r;
    } else {
        clear_target(daemon, operation);
    }
    operation->link_id = operation->link ? operation->link->id : 0;
    exchange_values(operation);
    return 0;
}

static int store_link_row(struct daemon *daemon, const struct operation *operation)
{
    const struct link *link = operation->link;
    const struct store_link row = {
        .id = link->id, .table = operation->table->name, .otherwise = true, .proceed_on = "[]",
        .program = link->program ? link->program->name : NULL, .native = link->native ? link->native->name : NULL,
    };

    int r;

    if (!operation->created && !operation->replaced)
        return store_remove_link(daemon->store, link->id);
    r = target_store(daemon, link);
    if (r < 0)
        return r;
    if (operation->replaced)
        return store_replace_link(daemon->store, link->id, row.program, row.native);
    r = store_add_link(daemon->store, &row);
    return r < 0 ? r : operation_store_counters(daemon, link);
}

static int store_set_call(struct daemon *daemon, const struct operation *operation)
{
    const struct table *table = operation->table;
    int r;

    r = store_set_value(daemon->store, table->name, table->has_value, table->value);
    return r < 0 || !operation->link ? r : store_link_row(daemon, operation);
}

static void undo_set_call(struct daemon *daemon, struct operation *operation)
{
    exchange_values(operation);
    if (operation->created) {
        registry_remove_link(&daemon->registry, operation->link);
        totals_withdraw(operation->link);
        counter_release(daemon->statistics, &operation->link->counter);
        operation->link = link_free(operation->link);
    } else if (operation->replaced) {
        registry_exchange_target(operation->link, &operation->wanted); /* its place is still there */
        program_put(operation->wanted.program);
    } else if (operation->link) {
        registry_add_link(&daemon->registry, operation->link);         /* its places are still there */
    }
}

/* No thread is in what it ran before on this call's account any more. */
static void release_set_call(struct daemon *daemon, struct operation *operation)
{
    if (operation->created)
        return;
    if (operation->replaced) {
        operation->wanted.program = program_put(operation->wanted.program);
    } else if (operation->link) {
        counter_release(daemon->statistics, &operation->link->counter);
        operation->link = link_free(operation->link);
    }
}

static struct link *link_that_is_cleared(const struct operation *operation)
{
    return operation->created || operation->replaced ? NULL : operation->link;
}

static void describe_set_call(const struct operation *operation, char *text, size_t size)
{
    const struct table *table = operation->table;
    const char *target = operation_target_name(operation);
    char value[CALL_VALUE_TEXT];

    if (table->has_value) {
        call_value_text(table, value);
        snprintf(text, size, "%s value %s", table->name, value);
    } else {
        snprintf(text, size, "%s %s", table->name, *target ? target : "default");
    }
}

const struct operation_kind operation_set_call = {
    .name = "set_call",
    .check = check_set_call,
    .store = store_set_call,
    .undo = undo_set_call,
    .release = release_set_call,
    .leaving = link_that_is_cleared,
    .describe = describe_set_call,
};
