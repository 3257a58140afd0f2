/* SPDX-License-Identifier: MIT */
#include "directory.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "daemon.h"
#include "grace_driver.h"
#include "memory.h"
#include "target.h"
#include "util.h"

/*
 * Calls, of which workers may declare ever new ones, and functions that programs name leave a quarter for what
 * operators attach.
 */
#define NAMED_SHARE (DD_LINKAGE_MAX / 4 * 3)

/* With as many in use, those that nothing refers to are looked for when a new one is given. */
#define COLLECT_FROM (DD_LINKAGE_MAX / 2)

enum index_state {
    INDEX_FREE,
    INDEX_USED,
    INDEX_LEFT,                 /* nothing refers to it, but threads may be on their way */
    INDEX_CLEARED,              /* processes may still keep what they found for it */
};

struct directory {
    struct daemon *daemon;
    uint8_t state[DD_LINKAGE_MAX];      /* enum index_state */
    size_t used;                /* that are not free */
    bool collecting;            /* `waiter` waits */
    struct grace_waiter waiter;
};

int directory_new(struct daemon *daemon, struct directory **ret)
{
    struct directory *directory = calloc(1, sizeof(*directory));

    if (!directory)
        return -ENOMEM;
    directory->daemon = daemon;
    *ret = directory;
    return 0;
}

struct directory *directory_free(struct directory *directory)
{
    free(directory);
    return NULL;
}

/* ---- giving back --------------------------------------------------------------------------------------- */

static void wait_and(struct directory *directory, void (*over)(struct grace_waiter *waiter))
{
    directory->collecting = true;
    directory->waiter.over = over;
    grace_driver_wait(directory->daemon->grace, &directory->waiter);
}

/* The entries of `from` become `to`; returns how many. */
static size_t change_states(struct directory *directory, enum index_state from, enum index_state to)
{
    size_t changed = 0;

    for (size_t i = 0; i < DD_LINKAGE_MAX; i++)
        if (directory->state[i] == from) {
            directory->state[i] = (uint8_t)to;
            changed++;
        }
    return changed;
}

static void give_back(struct grace_waiter *waiter)
{
    struct directory *directory = CONTAINER_OF(waiter, struct directory, waiter);

    directory->used -= change_states(directory, INDEX_CLEARED, INDEX_FREE);
    directory->collecting = false;
}

/*
 * Release: the entries are cleared before the version says so.  The wait's bump of the epoch comes after both, so a
 * thread that sees the new epoch sees the new version.
 */
static void clear(struct grace_waiter *waiter)
{
    struct directory *directory = CONTAINER_OF(waiter, struct directory, waiter);
    struct memory *memory = directory->daemon->memory;

    for (size_t i = 0; i < DD_LINKAGE_MAX; i++)
        if (directory->state[i] == INDEX_LEFT)
            memory->directory[i] = (struct dd_directory_entry){ 0 };
    directory->collecting = false;
    if (change_states(directory, INDEX_LEFT, INDEX_CLEARED) == 0)
        return;
    __atomic_store_n(&memory->control->directory_version, memory->control->directory_version + 1, __ATOMIC_RELEASE);
    wait_and(directory, give_back);
}

static void mark(struct directory *directory, int64_t stub)
{
    size_t index = target_stub_index(stub);

    if (directory->state[index] == INDEX_LEFT)
        directory->state[index] = INDEX_USED;
}

static void mark_all(struct directory *directory)
{
    const struct registry *registry = &directory->daemon->registry;

    for (size_t i = 0; i < registry->tables; i++)
        if (registry->table[i]->kind == TABLE_CALL)
            mark(directory, registry->table[i]->default_code);
    for (size_t i = 0; i < registry->links; i++)
        if (registry->link[i]->native)
            mark(directory, registry->link[i]->native_code);
    for (size_t i = 0; i < registry->programs; i++)
        for (size_t stub = 0; stub < registry->program[i]->stubs; stub++)
            mark(directory, registry->program[i]->stub[stub]);
}

/* What changes have taken out of the registry is not in any slot any more either: see change.h, steps 1 and 4. */
static void find_left(struct grace_waiter *waiter)
{
    struct directory *directory = CONTAINER_OF(waiter, struct directory, waiter);

    change_states(directory, INDEX_USED, INDEX_LEFT);
    mark_all(directory);
    wait_and(directory, clear);
}

/* ---- finding ------------------------------------------------------------------------------------------- */

static bool is_entry(const struct directory *directory, size_t index, const struct dd_directory_entry *wanted)
{
    const struct dd_directory_entry *entry = &directory->daemon->memory->directory[index];

    return (directory->state[index] == INDEX_USED || directory->state[index] == INDEX_LEFT) &&
           entry->hook == wanted->hook && entry->native == wanted->native;
}

static size_t find_entry(const struct directory *directory, const struct dd_directory_entry *wanted)
{
    size_t i = 0;

    while (i < DD_LINKAGE_MAX && !is_entry(directory, i, wanted))
        i++;
    return i;
}

static size_t find_free(const struct directory *directory)
{
    size_t i = 0;

    while (i < DD_LINKAGE_MAX && directory->state[i] != INDEX_FREE)
        i++;
    return i;
}

int directory_index(struct directory *directory, const struct dd_directory_entry *wanted, size_t *ret)
{
    bool attached = wanted->native && wanted->hook != DD_DIRECTORY_HELPER;
    size_t index = find_entry(directory, wanted);

    if (index == DD_LINKAGE_MAX) {
        if (directory->used >= COLLECT_FROM && !directory->collecting && !directory->daemon->inheritance)
            wait_and(directory, find_left);
        if (directory->used >= (attached ? DD_LINKAGE_MAX : NAMED_SHARE))
            return -EDQUOT;
        index = find_free(directory);
        directory->daemon->memory->directory[index] = *wanted;
        directory->used++;
    }
    directory->state[index] = INDEX_USED;
    *ret = index;
    return 0;
}
