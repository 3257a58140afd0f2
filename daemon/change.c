/* SPDX-License-Identifier: MIT */
#include "change.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "grace_driver.h"
#include "log.h"
#include "memory.h"
#include "refresh.h"
#include "settle.h"
#include "statistics.h"
#include "store.h"
#include "table_code.h"
#include "translation.h"
#include "typed.h"
#include "util.h"

/* A change between its request and the release of what it replaced. */
struct change {
    struct grace_waiter waiter;         /* first: step 6 */
    LIST_ENTRY(change) entry;           /* of daemon->changes, from step 4 to 6 */
    struct daemon *daemon;
    struct change_request request;
    struct table **dirty;               /* tables whose code it changes, each once */
    struct entry_change **prepared;     /* per dirty table; from step 4 on what was replaced */
    size_t tables;
    bool samples;                       /* all that it changes is a table's sampler */
};

void operations_free(struct operation *operation, size_t operations)
{
    if (!operation)
        return;
    for (size_t i = 0; i < operations; i++) {
        free(operation[i].object);
        free(operation[i].function);
        free(operation[i].switched);
        json_object_put(operation[i].settings);
        translation_free(operation[i].translation);
        context_free(operation[i].declared);
        shared_context_put(operation[i].context);
        typed_free(operation[i].key_type);
        typed_free(operation[i].value_type);
        free(operation[i].key);
    }
    free(operation);
}

static struct change *change_free(struct change *change)
{
    if (!change)
        return NULL;
    operations_free(change->request.operation, change->request.operations);
    free(change->dirty);
    free(change->prepared);
    free(change);
    return NULL;
}

static void change_cleanup(struct change **change)
{
    change_free(*change);
}

static int change_new(struct daemon *daemon, const struct change_request *request, struct change **ret)
{
    size_t n = request->operations;
    _cleanup_(change_cleanup) struct change *change = calloc(1, sizeof(*change));

    if (!change) {
        operations_free(request->operation, n);
        return -ENOMEM;
    }
    change->daemon = daemon;
    change->request = *request;
    for (size_t i = 0; i < n; i++)
        request->operation[i].uid = request->uid;
    change->dirty = calloc(n + 1, sizeof(*change->dirty));
    change->prepared = calloc(n + 1, sizeof(*change->prepared));
    if (!change->dirty || !change->prepared)
        return -ENOMEM;
    *ret = TAKE_POINTER(change);
    return 0;
}

/* ---- step 1: check ------------------------------------------------------------------------------------- */

static int check_operations(struct change *change, struct refusal *refusal)
{
    for (size_t i = 0; i < change->request.operations; i++) {
        struct operation *operation = &change->request.operation[i];
        int r = operation->kind->check(change->daemon, operation, refusal);

        if (r < 0)
            return r;
        operation->checked = true;
    }
    return 0;
}

/* ---- step 2: prepare ----------------------------------------------------------------------------------- */

static int prepare_operations(struct change *change, struct refusal *refusal)
{
    for (size_t i = 0; i < change->request.operations; i++) {
        struct operation *operation = &change->request.operation[i];
        int r = operation->kind->prepare ? operation->kind->prepare(change->daemon, operation, refusal) : 0;

        if (r < 0)
            return r;
        operation->prepared = true;
    }
    return 0;
}

/* Each table whose links this change touches, once. */
static void collect_tables(struct change *change)
{
    for (size_t i = 0; i < change->request.operations; i++) {
        struct table *table = change->request.operation[i].table;

        if (!table || table->dirty)
            continue;
        table->dirty = true;
        change->dirty[change->tables++] = table;
    }
    for (size_t i = 0; i < change->tables; i++)
        change->dirty[i]->dirty = false;
}

static int refuse_image(struct daemon *daemon, int r, size_t needed, struct refusal *refusal)
{
    struct image_usage usage;

    if (r != -ENOSPC)
        return refuse(refusal, r, "LimitExceeded", "si", "limit", "memory of the daemon", "maximum", (int64_t)0);
    image_usage(daemon->image, &usage);
    return refuse(refusal, r, "ImageFull", "ii", "needed", (int64_t)needed, "available", (int64_t)usage.fresh);
}

/* The links of this table that were attached, detached or replaced.  -EOPNOTSUPP: something else changed too. */
static int changed_links(const struct change *change, const struct table *table, const struct link **changed,
                         size_t *ret)
{
    size_t links = 0;

    for (size_t i = 0; i < change->request.operations; i++) {
        const struct operation *operation = &change->request.operation[i];

        if (operation->table != table)
            continue;
        if (!operation->link)
            return -EOPNOTSUPP;
        changed[links++] = operation->link;
    }
    *ret = links;
    return links > 0 ? 0 : -EOPNOTSUPP;
}

/* In place, so that the cost does not grow with the table.  Negative where that is not to be had. */
static int prepare_edit(struct change *change, size_t i)
{
    _cleanup_free_ const struct link **changed = calloc(change->request.operations + 1, sizeof(*changed));
    _cleanup_(table_dispatcher_done) struct table_dispatcher code = { 0 };
    size_t links;
    int r;

    if (!changed)
        return -ENOMEM;
    r = changed_links(change, change->dirty[i], changed, &links);
    if (r >= 0)
        r = table_edits(change->dirty[i], changed, links, &code);
    if (r >= 0)
        r = entry_prepare_edit(change->dirty[i]->entry, code.cases, code.dispatcher.count, &change->prepared[i]);
    return r;
}

static int prepare_table(struct change *change, size_t i, struct refusal *refusal)
{
    _cleanup_(table_dispatcher_done) struct table_dispatcher code = { 0 };
    struct table *table = change->dirty[i];
    int r;

    table->prepared_plan = table->plan;
    if (prepare_edit(change, i) >= 0)
        return 0;
    r = table_dispatcher(&change->daemon->registry, table, &code);
    if (r < 0)
        return refuse_image(change->daemon, r, 0, refusal);
    table->prepared_plan = code.dispatcher.plan;
    r = entry_prepare(table->entry, &code.dispatcher, &change->prepared[i]);
    return r < 0 ? refuse_image(change->daemon, r, entry_prepare_size(table->entry, &code.dispatcher), refusal) : 0;
}

/*
 * All slots, before the database knows of any: a slot that is found wrong afterwards ends the daemon.  Every change comes
 * by here, also one that nobody asked for.
 */
static int check_slots(const struct change *change, struct refusal *refusal)
{
    for (size_t i = 0; i < change->tables; i++) {
        int r = entry_change_check(change->prepared[i]);

        if (r < 0) {
            settle_overwritten(change->dirty[i]);
            return refuse(refusal, r, "ImageOverwritten", "s", "table", change->dirty[i]->name);
        }
    }
    return 0;
}

static int prepare(struct change *change, struct refusal *refusal)
{
    int r;

    r = prepare_operations(change, refusal);
    if (r < 0)
        return r;
    statistics_read_marked(change->daemon->statistics);
    collect_tables(change);
    for (size_t i = 0; i < change->tables; i++) {
        r = prepare_table(change, i, refusal);
        if (r < 0)
            return r;
    }
    return check_slots(change, refusal);
}

/* ---- step 3: commit ------------------------------------------------------------------------------------ */

static int store_operation(struct change *change, const struct operation *operation)
{
    char object[2 * NAME_LENGTH_MAX + 64];
    int r;

    if (operation->unchanged)
        return 0;
    r = operation->kind->store(change->daemon, operation);
    if (r < 0)
        return r;
    operation->kind->describe(operation, object, sizeof(object));
    return store_audit(change->daemon->store, change->request.uid, change->request.pid, operation->kind->name, object);
}

/* Workers that declare what is known already are most of those that join: they cost no write. */
static bool has_effect(const struct change *change)
{
    for (size_t i = 0; i < change->request.operations; i++)
        if (!change->request.operation[i].unchanged)
            return true;
    return false;
}

static int commit(struct change *change, struct refusal *refusal)
{
    struct store *store = change->daemon->store;
    int r;

    if (!has_effect(change))
        return 0;
    r = store_begin(store);
    for (size_t i = 0; r >= 0 && i < change->request.operations; i++)
        r = store_operation(change, &change->request.operation[i]);
    if (r >= 0)
        r = store_prune_audit(store);
    if (r >= 0)
        r = store_commit(store);
    if (r < 0) {
        r = refuse(refusal, r, "DatabaseFailed", "s", "reason", store_error(store));
        store_rollback(store);
    }
    return r;
}

/* ---- step 4: poke -------------------------------------------------------------------------------------- */

/*
 * The change is in the database: from here on nothing may fail.  A slot that is not as check_slots() found it means that
 * the image was written by something else meanwhile; going on would make image and database differ, so the daemon ends,
 * and the next one builds a new generation from the database.
 */
static void poke(struct change *change)
{
    for (size_t i = 0; i < change->tables; i++) {
        struct table *table = change->dirty[i];
        int r = entry_change_commit(change->prepared[i]);

        if (r < 0) {
            log_line(LOG_CRIT, "table \"%s\": its slot was overwritten (%s); restart builds the image anew",
                     table->name, strerror(-r));
            abort();
        }
        table->plan = table->prepared_plan;
        table->changes++;
    }
    for (size_t i = 0; i < change->request.operations; i++)
        if (change->request.operation[i].kind->show)
            change->request.operation[i].kind->show(change->daemon, &change->request.operation[i]);
}

/* From here on the code counts what links are now: what it counted before is read before they are taken for that. */
static void move_totals(struct change *change)
{
    for (size_t i = 0; i < change->request.operations; i++)
        if (change->request.operation[i].link)
            totals_mark_moves(change->daemon->statistics, change->request.operation[i].link);
    statistics_read_marked(change->daemon->statistics);
    for (size_t i = 0; i < change->request.operations; i++)
        if (change->request.operation[i].link)
            totals_move(change->request.operation[i].link);
}

/* ---- steps 5 and 6: answer, release -------------------------------------------------------------------- */

static void answer(struct change *change)
{
    if (change->request.done)
        change->request.done(change->request.userdata, change->request.operation, change->request.operations);
    change->request.done = NULL;
}

/* No thread counts any more on account of the links that went. */
static void read_leaving(struct change *change)
{
    for (size_t i = 0; i < change->request.operations; i++) {
        const struct operation *operation = &change->request.operation[i];
        const struct link *link = operation->kind->leaving ? operation->kind->leaving(operation) : NULL;

        if (link)
            statistics_mark(change->daemon->statistics, &link->counter);
    }
    statistics_read_marked(change->daemon->statistics);
    statistics_store_totals(change->daemon->statistics);
}

static void release_replaced(struct change *change)
{
    read_leaving(change);
    for (size_t i = 0; i < change->tables; i++)
        change->prepared[i] = entry_change_release(change->prepared[i]);
    if (change->samples)
        change->dirty[0]->samplers--;
    for (size_t i = 0; i < change->request.operations; i++)
        if (change->request.operation[i].kind->release)
            change->request.operation[i].kind->release(change->daemon, &change->request.operation[i]);
    LIST_REMOVE(change, entry);
}

/* Nobody is in the replaced code any more. */
static void release(struct grace_waiter *waiter)
{
    struct change *change = (struct change *)waiter;

    release_replaced(change);
    answer(change);
    refresh(change->daemon);
    change_free(change);
}

void changes_forget(struct daemon *daemon)
{
    struct change *change;

    while ((change = LIST_FIRST(&daemon->changes))) {
        release_replaced(change);
        answer(change);                 /* goes nowhere: the server is gone */
        change_free(change);
    }
}

static void undo(struct change *change)
{
    for (size_t i = 0; i < change->tables; i++)
        change->prepared[i] = entry_change_abort(change->prepared[i]);
    for (size_t i = change->request.operations; i-- > 0;)
        if (change->request.operation[i].checked)
            change->request.operation[i].kind->undo(change->daemon, &change->request.operation[i]);
    /* What it had placed counts as executed; without this, failures would use up the image. */
    refresh(change->daemon);
}

/* What only the first three steps needed: a change may wait long for its grace period. */
static void drop_input(struct change *change)
{
    for (size_t i = 0; i < change->request.operations; i++) {
        struct operation *operation = &change->request.operation[i];

        free(TAKE_POINTER(operation->object));
        operation->translation = translation_free(operation->translation);
        operation->declared = context_free(operation->declared);
    }
}

/* Steps 4 to 6 of what is prepared and stored. */
static void carry_out(struct change *change)
{
    poke(change);                                               /* 4 */
    move_totals(change);
    LIST_INSERT_HEAD(&change->daemon->changes, change, entry);
    for (size_t i = 0; i < change->tables; i++)
        settle(change->daemon, change->dirty[i]);
    change->waiter.over = release;
    grace_driver_wait(change->daemon->grace, &change->waiter);  /* 6 */
}

int change_run(struct daemon *daemon, const struct change_request *request, struct refusal *refusal)
{
    _cleanup_(change_cleanup) struct change *change = NULL;
    int r;

    r = change_new(daemon, request, &change);
    if (r < 0)
        return refuse_image(daemon, r, 0, refusal);
    r = check_operations(change, refusal);                      /* 1 */
    if (r >= 0)
        r = prepare(change, refusal);                           /* 2 */
    if (r >= 0)
        r = commit(change, refusal);                            /* 3 */
    if (r < 0) {
        undo(change);
        return r;
    }
    if (request->operations > 0 && !has_effect(change)) {
        answer(change);                 /* all is as asked already: no poke, so no wait */
        return 0;
    }
    drop_input(change);
    carry_out(change);                              /* 4; and 6, asked for before the publication begins it */
    if (request->wait == CHANGE_LIVE)
        grace_publish(grace_driver_grace(daemon->grace));
    if (request->wait != CHANGE_QUIESCENT)
        answer(change);                                         /* 5 */
    TAKE_POINTER(change);
    return 0;
}

/* ---- changes that nobody asked for --------------------------------------------------------------------- */

/* A change without an operation, of one table: nothing to store, nobody to answer. */
static int change_alone(struct daemon *daemon, struct table *table, struct change **ret)
{
    const struct change_request nothing = { 0 };
    int r;

    r = change_new(daemon, &nothing, ret);
    if (r >= 0)
        (*ret)->dirty[(*ret)->tables++] = table;
    return r;
}

/* What is prepared is carried out, or dropped: takes the change. */
static int carry_out_alone(struct change *change, struct refusal *refusal)
{
    int r = check_slots(change, refusal);

    if (r < 0) {
        change->prepared[0] = entry_change_abort(change->prepared[0]);
        change_free(change);
        return r;
    }
    carry_out(change);
    return 0;
}

static int rebuild(struct daemon *daemon, struct table *table, struct refusal *refusal)
{
    _cleanup_(change_cleanup) struct change *change = NULL;
    int r;

    r = change_alone(daemon, table, &change);
    if (r < 0)
        return refuse_image(daemon, r, 0, refusal);
    r = prepare_table(change, 0, refusal);
    return r < 0 ? r : carry_out_alone(TAKE_POINTER(change), refusal);
}

int change_rebuild(struct daemon *daemon, struct table *table)
{
    _cleanup_(refusal_done) struct refusal refusal = { 0 };

    return rebuild(daemon, table, &refusal);
}

int change_restrict(struct daemon *daemon, struct table *table, struct refusal *refusal)
{
    int r;

    if (entry_shape(table->entry) == DISPATCHER_TREE)
        return 0;
    table->workers_no_indirect++;       /* as if it were there already */
    r = rebuild(daemon, table, refusal);
    table->workers_no_indirect--;
    return r;
}

int change_sample(struct daemon *daemon, struct table *table, bool on)
{
    _cleanup_(refusal_done) struct refusal refusal = { 0 };
    _cleanup_(change_cleanup) struct change *change = NULL;
    int r;

    r = change_alone(daemon, table, &change);
    if (r >= 0)
        r = entry_prepare_sample(table->entry, on, LINKAGE_COUNTERS_STUB, &change->prepared[0]);
    if (r < 0)
        return r;
    change->samples = true;
    r = carry_out_alone(TAKE_POINTER(change), &refusal);
    table->samplers += r >= 0;
    return r;
}

void changes_rebuild(struct daemon *daemon)
{
    for (size_t i = 0; i < daemon->registry.tables; i++)
        if (entry_state(daemon->registry.table[i]->entry) == ENTRY_FILTERED)
            change_rebuild(daemon, daemon->registry.table[i]);
}
