/* SPDX-License-Identifier: MIT */
#include "table_room.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "change.h"
#include "util.h"
#include "workers.h"

int table_room_refuse(const char *limit, size_t maximum, struct refusal *refusal)
{
    return refuse(refusal, -EDQUOT, "LimitExceeded", "si", "limit", limit, "maximum", (int64_t)maximum);
}

static size_t excess(size_t count, size_t maximum)
{
    return count > maximum ? count - maximum : 0;
}

static bool declares(const struct operation *operation, size_t operations, const char *table)
{
    for (size_t i = 0; i < operations; i++)
        if (operation[i].kind == &operation_declare && !strcmp(operation[i].table_name, table))
            return true;
    return false;
}

/* Tables that a request declares and that are new to the worker, and to all; each once, as modules may share one. */
static void count_new(const struct registry *registry, const struct worker *worker,
                      const struct change_request *request, size_t *ret_worker, size_t *ret_all)
{
    *ret_worker = *ret_all = 0;
    for (size_t i = 0; i < request->operations; i++) {
        const struct operation *operation = &request->operation[i];

        if (operation->kind != &operation_declare || declares(request->operation, i, operation->table_name))
            continue;
        *ret_worker += !worker_has_table(worker, operation->table_name);
        *ret_all += !registry_table(registry, operation->table_name);
    }
}

static size_t count_own(const struct registry *registry, uid_t uid)
{
    size_t count = 0;

    for (size_t i = 0; i < registry->tables; i++)
        count += registry->table[i]->uid == uid;
    return count;
}

/* Up to `wanted` more operations that forget unused tables, of the user or of the others. */
static size_t forget(const struct registry *registry, const struct change_request *request, bool own, size_t wanted,
                     struct operation *operation)
{
    size_t count = 0;

    for (size_t i = 0; count < wanted && i < registry->tables; i++) {
        const struct table *table = registry->table[i];

        if ((table->uid == request->uid) != own || !table_is_unused(table) ||
            declares(request->operation, request->operations, table->name))
            continue;
        operation[count].kind = &operation_forget;
        strcpy(operation[count++].table_name, table->name);
    }
    return count;
}

/* The user's own tables first, so that who declares new names all the time loses none but his own. */
static int make_room(const struct registry *registry, struct change_request *request, size_t over_own, size_t over_all,
                     struct refusal *refusal)
{
    size_t wanted = over_own > over_all ? over_own : over_all, count;
    struct operation *operation = calloc(request->operations + wanted, sizeof(*operation));

    if (!operation)
        return refuse_memory(refusal);
    count = forget(registry, request, true, wanted, operation);
    if (count >= over_own && count < over_all)
        count += forget(registry, request, false, over_all - count, operation + count);
    if (count < over_own || count < over_all) {
        free(operation);
        return count < over_own ? table_room_refuse("tables of a user", TABLES_PER_USER, refusal)
                                : table_room_refuse("tables", TABLES_MAX, refusal);
    }
    memcpy(operation + count, request->operation, request->operations * sizeof(*operation));
    free(request->operation);
    request->operation = operation;
    request->operations += count;
    return 0;
}

int table_room(const struct registry *registry, const struct worker *worker, struct change_request *request,
               struct refusal *refusal)
{
    size_t new_worker, new_all, over_own = 0, over_all;

    count_new(registry, worker, request, &new_worker, &new_all);
    if (worker_tables(worker) + new_worker > WORKER_TABLES_MAX)
        return table_room_refuse("tables of a worker", WORKER_TABLES_MAX, refusal);
    if (new_all == 0)
        return 0;
    if (request->uid != 0)
        over_own = excess(count_own(registry, request->uid) + new_all, TABLES_PER_USER);
    over_all = excess(registry->tables + new_all, TABLES_MAX);
    return over_own || over_all ? make_room(registry, request, over_own, over_all, refusal) : 0;
}
