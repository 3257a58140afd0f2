/* SPDX-License-Identifier: MIT */
/* Is a history linearisable? */
#include "history.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static bool update(struct plain *plain, const struct operation *operation)
{
    uint64_t *value = &plain->value[operation->key];
    long wanted = 0;

    if (*value ? operation->kind == INSERT : operation->kind == REPLACE)
        wanted = *value ? -EEXIST : -ENOENT;
    else if (!*value && plain->count == plain->limit)
        wanted = -E2BIG;
    if (operation->result != wanted)
        return false;
    if (wanted == 0) {
        plain->count += !*value;
        *value = operation->value;
    }
    return true;
}

static bool delete(struct plain *plain, const struct operation *operation)
{
    uint64_t *value = &plain->value[operation->key];

    if (operation->result != (*value ? 0 : -ENOENT))
        return false;
    plain->count -= *value != 0;
    *value = 0;
    return true;
}

static bool push(struct plain *plain, const struct operation *operation)
{
    bool full = plain->count == plain->limit;

    if (operation->result != (full ? -E2BIG : 0))
        return false;
    if (!full)
        plain->value[plain->count++] = operation->value;
    return true;
}

static bool pop(struct plain *plain, const struct operation *operation)
{
    if (plain->count == 0)
        return operation->result == -ENOENT;
    if (operation->result != 0 || operation->value != plain->value[0])
        return false;
    if (operation->kind == POP)
        memmove(plain->value, plain->value + 1, --plain->count * sizeof(plain->value[0]));
    return true;
}

/* Do it; false: alone it would have been answered otherwise. */
static bool apply(struct plain *plain, const struct operation *operation)
{
    if (operation->result == -EBUSY)
        return true;
    switch (operation->kind) {
    case UPDATE:
    case INSERT:
    case REPLACE:
        return update(plain, operation);
    case DELETE:
        return delete(plain, operation);
    case LOOKUP:
        return operation->value == plain->value[operation->key];
    case PUSH:
        return push(plain, operation);
    default:
        return pop(plain, operation);
    }
}

struct search {
    const struct operation *operation;
    unsigned count;
};

/* May it be the next, of those that are not in `done`: has none of them returned before it was called? */
static bool may_be_next(const struct search *search, uint32_t done, unsigned next)
{
    for (unsigned i = 0; i < search->count; i++)
        if (!(done & 1u << i) && search->operation[i].returned < search->operation[next].called)
            return false;
    return !(done & 1u << next);
}

static bool find_order(const struct search *search, uint32_t done, const struct plain *plain)
{
    if (done == (1u << search->count) - 1)
        return true;
    for (unsigned i = 0; i < search->count; i++) {
        struct plain after = *plain;

        if (may_be_next(search, done, i) && apply(&after, &search->operation[i]) &&
            find_order(search, done | 1u << i, &after))
            return true;
    }
    return false;
}

bool history_linearisable(const struct operation *operations, unsigned count, uint32_t limit)
{
    struct search search = { operations, count };
    struct plain plain = { .limit = limit };

    return find_order(&search, 0, &plain);
}

void history_print(const struct operation *operations, unsigned count)
{
    static const char *const names[] = { "update", "insert", "replace", "delete", "lookup", "push", "pop", "peek" };

    for (unsigned i = 0; i < count; i++)
        printf("# %3llu to %3llu: %s key %u value %#llx: %ld\n", (unsigned long long)operations[i].called,
               (unsigned long long)operations[i].returned, names[operations[i].kind], operations[i].key,
               (unsigned long long)operations[i].value, operations[i].result);
}
