/* SPDX-License-Identifier: MIT */
#include "target.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "directory.h"
#include "linkage.h"
#include "memory.h"
#include "store.h"
#include "table_prototype.h"

/* ---- stubs --------------------------------------------------------------------------------------------- */

/* Image offset of a stub. */
static int64_t stub_position(size_t index)
{
    return (int64_t)DD_WINDOW_LINKAGE - (int64_t)DD_WINDOW_TEXT + LINKAGE_STUBS + (int64_t)index * LINKAGE_STUB_SIZE;
}

size_t target_stub_index(int64_t stub)
{
    return (size_t)(stub - stub_position(0)) / LINKAGE_STUB_SIZE;
}

int target_stub(struct daemon *daemon, const struct table *table, const struct native *native, int64_t *ret)
{
    struct dd_directory_entry entry = { 0 };
    struct prototype prototype;
    size_t index;
    int r;

    table_prototype(table, &prototype);
    entry.hook = dd_digest(table->name, prototype.text);
    if (native)
        entry.native = prototype_native_digest(native->name, native->prototype, native->may_block);
    r = directory_index(daemon->directory, &entry, &index);
    if (r < 0)
        return r;
    *ret = stub_position(index) + (native && native->may_block ? LINKAGE_LEAVING : 0);
    return 0;
}

int target_helper_stub(struct daemon *daemon, const char *name, const char *prototype, int64_t *ret)
{
    const struct dd_directory_entry entry = { .hook = DD_DIRECTORY_HELPER,
                                              .native = prototype_native_digest(name, prototype, false) };
    size_t index;
    int r = directory_index(daemon->directory, &entry, &index);

    if (r < 0)
        return r;
    *ret = stub_position(index);
    return 0;
}

int target_refuse_stub(struct refusal *refusal)
{
    return refuse(refusal, -EDQUOT, "LimitExceeded", "si", "limit", "hooks with natives", "maximum",
                  (int64_t)DD_LINKAGE_MAX);
}

/* ---- finding ------------------------------------------------------------------------------------------- */

static int refuse_prototype(const struct table *table, const struct prototype *prototype, const char *target,
                            const char *target_prototype, struct refusal *refusal)
{
    return refuse(refusal, -EINVAL, "PrototypeMismatch", "ssss", "table", table->name, "table_prototype",
                  prototype->text, "target", target, "target_prototype", target_prototype);
}

/* What a program returns is any number: no worker may take it for an address, or for a bool. */
static int check_result(const struct table *table, const char *program, struct refusal *refusal)
{
    struct prototype prototype;

    if (table->kind == TABLE_KEYS)
        return 0;
    table_prototype(table, &prototype);
    if (prototype.result == PROTOTYPE_POINTER || prototype.result == PROTOTYPE_BOOL)
        return refuse_prototype(table, &prototype, program, "a program, which returns any number", refusal);
    return 0;
}

static int find_program(struct daemon *daemon, const struct table *table, const char *name, struct link *link,
                        struct refusal *refusal)
{
    struct program *program = registry_program(&daemon->registry, name);
    int r;

    if (!program)
        return refuse(refusal, -ENOENT, "UnknownProgram", "s", "program", name);
    if (!context_equal(table->context->description, program->context->description, NULL))
        return refuse(refusal, -EINVAL, "ContextMismatch", "ssss", "table", table->name, "table_context",
                      table->context->description->name, "program", name, "program_context",
                      program->context->description->name);
    r = check_result(table, name, refusal);
    if (r < 0)
        return r;
    link->program = program;
    link->native = NULL;
    return 0;
}

static const struct native *native_of_name(const struct registry *registry, const char *name)
{
    for (size_t i = 0; i < registry->natives; i++)
        if (!strcmp(registry->native[i]->name, name))
            return registry->native[i];
    return NULL;
}

static int find_native(struct daemon *daemon, const struct table *table, const char *name, struct link *link,
                       struct refusal *refusal)
{
    const struct native *other = native_of_name(&daemon->registry, name);
    struct prototype prototype;
    struct native *native;
    int64_t code;

    table_prototype(table, &prototype);
    native = registry_native(&daemon->registry, name, prototype.text);
    if (!other)
        return refuse(refusal, -ENOENT, "UnknownNative", "s", "native", name);
    if (!native)
        return refuse_prototype(table, &prototype, name, other->prototype, refusal);
    if (native->may_block && link->proceeds > 0)
        return refuse_parameter(refusal, "proceed_on",
                                "native \"%s\" may block, so it leaves the hook and ends its chain", name);
    if (target_stub(daemon, table, native, &code) < 0)
        return target_refuse_stub(refusal);
    link->program = NULL;
    link->native = native;
    link->native_code = code;
    return 0;
}

/* Either that has the name.  Where neither has, it is a program that is missing. */
static int find_either(struct daemon *daemon, const struct table *table, const char *name, struct link *link,
                       struct refusal *refusal)
{
    bool is_program = registry_program(&daemon->registry, name), is_native;
    struct prototype prototype;

    table_prototype(table, &prototype);
    is_native = registry_native(&daemon->registry, name, prototype.text);
    if (is_program && is_native)
        return refuse(refusal, -EINVAL, "TargetAmbiguous", "ss", "target", name, "prototype", prototype.text);
    if (is_native || (!is_program && native_of_name(&daemon->registry, name)))
        return find_native(daemon, table, name, link, refusal);
    return find_program(daemon, table, name, link, refusal);
}

int target_find(struct daemon *daemon, const struct table *table, const char *program, const char *native,
                struct link *link, struct refusal *refusal)
{
    if (*program && *native)
        return find_either(daemon, table, program, link, refusal);
    if (*native)
        return find_native(daemon, table, native, link, refusal);
    return find_program(daemon, table, program, link, refusal);
}

int target_store(struct daemon *daemon, const struct link *link)
{
    const struct native *native = link->native;

    if (!native)
        return 0;
    return store_add_native(daemon->store,
                            &(struct store_native){ native->name, native->prototype, native->may_block });
}
