/* SPDX-License-Identifier: MIT */
#include "registry.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "util.h"

/* ---- sorted arrays of pointers ------------------------------------------------------------------------- */

/* How an object compares with a search key: as strcmp. */
typedef int compare_function(const void *object, const void *key);

/* Index of the first object that is not below the key. */
static size_t array_position(void *const *array, size_t count, const void *key, compare_function *compare)
{
    size_t low = 0, high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (compare(array[middle], key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void *array_find(void *const *array, size_t count, const void *key, compare_function *compare)
{
    size_t at = array_position(array, count, key, compare);

    return at < count && compare(array[at], key) == 0 ? array[at] : NULL;
}

static int array_reserve(void ***array, size_t count, size_t *capacity)
{
    size_t wanted;
    void **larger;

    if (count < *capacity)
        return 0;
    wanted = *capacity ? 2 * *capacity : 8;
    larger = reallocarray(*array, wanted, sizeof(**array));
    if (!larger)
        return -ENOMEM;
    *array = larger;
    *capacity = wanted;
    return 0;
}

static int array_insert(void ***array, size_t *count, size_t *capacity, void *object, const void *key,
                        compare_function *compare)
{
    size_t at;
    int r;

    r = array_reserve(array, *count, capacity);
    if (r < 0)
        return r;
    at = array_position(*array, *count, key, compare);
    memmove(*array + at + 1, *array + at, (*count - at) * sizeof(**array));
    (*array)[at] = object;
    (*count)++;
    return 0;
}

static void array_remove(void **array, size_t *count, const void *key, compare_function *compare)
{
    size_t at = array_position(array, *count, key, compare);

    assert(at < *count && compare(array[at], key) == 0);
    memmove(array + at, array + at + 1, (*count - at - 1) * sizeof(*array));
    (*count)--;
}

static int compare_program(const void *object, const void *key)
{
    return strcmp(((const struct program *)object)->name, key);
}

static int compare_table(const void *object, const void *key)
{
    return strcmp(((const struct table *)object)->name, key);
}

static int compare_link_id(const void *object, const void *key)
{
    int64_t a = ((const struct link *)object)->id, b = *(const int64_t *)key;

    return a < b ? -1 : a > b;
}

static int compare_link_key(const void *object, const void *key)
{
    uint32_t a = ((const struct link *)object)->key, b = *(const uint32_t *)key;

    return a < b ? -1 : a > b;
}

/* ---- the registry -------------------------------------------------------------------------------------- */

void registry_init(struct registry *registry, struct image *image, struct arena *arena)
{
    *registry = (struct registry){ .image = image, .arena = arena, .next_link = 1 };
}

void registry_done(struct registry *registry)
{
    while (registry->links) {
        struct link *link = registry->link[registry->links - 1];

        registry_remove_link(registry, link);
        link_free(link);
    }
    while (registry->tables)
        table_free(registry->table[--registry->tables]);
    while (registry->programs)
        program_put(registry->program[--registry->programs]);
    free(registry->link);
    free(registry->table);
    free(registry->program);
}

bool registry_name_valid(const char *name)
{
    size_t length = strlen(name);

    if (length == 0 || length > NAME_LENGTH_MAX)
        return false;
    for (const char *c = name; *c; c++)
        if (!isascii((unsigned char)*c) || (!isalnum((unsigned char)*c) && !strchr("_.-", *c)))
            return false;
    return true;
}

struct program *registry_program(const struct registry *registry, const char *name)
{
    return array_find((void **)registry->program, registry->programs, name, compare_program);
}

struct table *registry_table(const struct registry *registry, const char *name)
{
    return array_find((void **)registry->table, registry->tables, name, compare_table);
}

struct link *registry_link(const struct registry *registry, int64_t id)
{
    return array_find((void **)registry->link, registry->links, &id, compare_link_id);
}

struct link *table_link(const struct table *table, uint32_t key)
{
    return array_find((void **)table->link, table->links, &key, compare_link_key);
}

struct shared_context *registry_context(const struct registry *registry, const char *name)
{
    for (size_t i = 0; i < registry->tables; i++)
        if (!strcmp(registry->table[i]->context->description->name, name))
            return registry->table[i]->context;
    for (size_t i = 0; i < registry->programs; i++)
        if (!strcmp(registry->program[i]->context->description->name, name))
            return registry->program[i]->context;
    return NULL;
}

/* ---- objects ------------------------------------------------------------------------------------------- */

int shared_context_new(struct context *description, struct shared_context **ret)
{
    struct shared_context *context = malloc(sizeof(*context));

    if (!context)
        return -ENOMEM;
    *context = (struct shared_context){ .references = 1, .description = description };
    *ret = context;
    return 0;
}

struct shared_context *shared_context_get(struct shared_context *context)
{
    context->references++;
    return context;
}

struct shared_context *shared_context_put(struct shared_context *context)
{
    if (!context || --context->references)
        return NULL;
    context_free(context->description);
    free(context);
    return NULL;
}

int program_new(const struct registry *registry, const char *name, struct shared_context *context, struct program **ret)
{
    struct program *program = calloc(1, sizeof(*program));

    if (!program)
        return -ENOMEM;
    assert(registry_name_valid(name));
    strcpy(program->name, name);
    program->references = 1;
    program->image = registry->image;
    program->arena = registry->arena;
    program->context = shared_context_get(context);
    program->code = IMAGE_NONE;
    program->data = ARENA_NONE;
    *ret = program;
    return 0;
}

struct program *program_get(struct program *program)
{
    program->references++;
    return program;
}

struct program *program_put(struct program *program)
{
    if (!program || --program->references)
        return NULL;
    assert(!program->links);
    if (program->code != IMAGE_NONE)
        image_release(program->image, program->code);
    if (program->data != ARENA_NONE)
        arena_release(program->arena, program->data);
    json_object_put(program->settings);
    shared_context_put(program->context);
    free(program->link);
    free(program);
    return NULL;
}

int table_new(const char *name, struct shared_context *context, uint32_t default_verdict, struct table **ret)
{
    struct table *table = calloc(1, sizeof(*table));

    if (!table)
        return -ENOMEM;
    assert(registry_name_valid(name));
    strcpy(table->name, name);
    table->context = shared_context_get(context);
    table->default_verdict = default_verdict;
    *ret = table;
    return 0;
}

struct table *table_free(struct table *table)
{
    if (!table)
        return NULL;
    assert(!table->links);
    entry_free(table->entry);
    shared_context_put(table->context);
    free(table->link);
    free(table);
    return NULL;
}

int link_new(int64_t id, struct table *table, uint32_t key, struct program *program, struct link **ret)
{
    struct link *link = malloc(sizeof(*link));

    if (!link)
        return -ENOMEM;
    *link = (struct link){ .id = id, .table = table, .key = key, .program = program_get(program) };
    *ret = link;
    return 0;
}

struct link *link_free(struct link *link)
{
    if (!link)
        return NULL;
    program_put(link->program);
    free(link);
    return NULL;
}

/* ---- entering and taking out --------------------------------------------------------------------------- */

int registry_add_program(struct registry *registry, struct program *program)
{
    return array_insert((void ***)&registry->program, &registry->programs, &registry->programs_capacity, program,
                        program->name, compare_program);
}

void registry_remove_program(struct registry *registry, struct program *program)
{
    array_remove((void **)registry->program, &registry->programs, program->name, compare_program);
}

int registry_add_table(struct registry *registry, struct table *table)
{
    return array_insert((void ***)&registry->table, &registry->tables, &registry->tables_capacity, table,
                        table->name, compare_table);
}

void registry_remove_table(struct registry *registry, struct table *table)
{
    array_remove((void **)registry->table, &registry->tables, table->name, compare_table);
}

int registry_add_link(struct registry *registry, struct link *link)
{
    struct table *table = link->table;
    struct program *program = link->program;
    int r;

    r = array_reserve((void ***)&registry->link, registry->links, &registry->links_capacity);
    if (r >= 0)
        r = array_reserve((void ***)&table->link, table->links, &table->links_capacity);
    if (r >= 0)
        r = array_reserve((void ***)&program->link, program->links, &program->links_capacity);
    if (r < 0)
        return r;
    array_insert((void ***)&registry->link, &registry->links, &registry->links_capacity, link, &link->id,
                 compare_link_id);
    array_insert((void ***)&table->link, &table->links, &table->links_capacity, link, &link->key,
                 compare_link_key);
    array_insert((void ***)&program->link, &program->links, &program->links_capacity, link, &link->id,
                 compare_link_id);
    return 0;
}

void registry_remove_link(struct registry *registry, struct link *link)
{
    array_remove((void **)registry->link, &registry->links, &link->id, compare_link_id);
    array_remove((void **)link->table->link, &link->table->links, &link->key, compare_link_key);
    array_remove((void **)link->program->link, &link->program->links, &link->id, compare_link_id);
}

int table_cases(const struct table *table, struct dispatcher_case **ret)
{
    struct dispatcher_case *cases;

    cases = calloc(table->links + 1, sizeof(*cases));
    if (!cases)
        return -ENOMEM;
    for (size_t i = 0; i < table->links; i++) {
        assert(table->link[i]->program->code != IMAGE_NONE);
        cases[i] = (struct dispatcher_case){ table->link[i]->key, table->link[i]->program->code };
    }
    *ret = cases;
    return 0;
}
