/* SPDX-License-Identifier: MIT */
#include "registry.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "shared_map.h"
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

/* Where what stands behind all that is not greater than the key begins. */
static size_t array_after(void *const *array, size_t count, const void *key, compare_function *compare)
{
    size_t at = array_position(array, count, key, compare);

    return at < count && compare(array[at], key) == 0 ? at + 1 : at;
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

static int compare_numbers(int64_t a, int64_t b)
{
    return a < b ? -1 : a > b;
}

static int compare_link_id(const void *object, const void *key)
{
    return compare_numbers(((const struct link *)object)->id, *(const int64_t *)key);
}

/* In a table: entries by key, the one for all other keys last; the links of an entry in the order in which they run. */
static int compare_link_place(const void *object, const void *key)
{
    const struct link *a = object, *b = key;
    int order = compare_numbers(a->otherwise, b->otherwise);

    if (!order)
        order = compare_numbers(a->first, b->first);
    if (!order)
        order = compare_numbers(a->priority, b->priority);
    return order ? order : compare_numbers(a->id, b->id);
}

/* As above, but any link of an entry is equal to the entry's first key. */
static int compare_link_entry(const void *object, const void *key)
{
    const struct link *a = object, *b = key;
    int order = compare_numbers(a->otherwise, b->otherwise);

    return order ? order : compare_numbers(a->first, b->first);
}

/* As above, but it is below: what is found stands behind the entry. */
static int compare_link_behind(const void *object, const void *key)
{
    int order = compare_link_entry(object, key);

    return order ? order : -1;
}

static int compare_native(const void *object, const void *key)
{
    const struct native *a = object, *b = key;
    int order = strcmp(a->name, b->name);

    return order ? order : strcmp(a->prototype, b->prototype);
}

static int compare_map(const void *object, const void *key)
{
    return strcmp(((const struct shared_map *)object)->name, key);
}

/* ---- the registry -------------------------------------------------------------------------------------- */

void registry_init(struct registry *registry, struct image *image, size_t text_size, struct arena *arena)
{
    *registry = (struct registry){
        .image = image, .arena = arena, .next_link = 1, .next_map = MAP_NUMBER_FIRST, .arena_position = text_size,
    };
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
    while (registry->maps)
        shared_map_put(registry->map[--registry->maps]);
    while (registry->natives)
        registry_remove_native(registry, registry->native[registry->natives - 1]);
    free(registry->private_seats);
    free(registry->map);
    free(registry->native);
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

struct shared_map *registry_map(const struct registry *registry, const char *name)
{
    return array_find((void **)registry->map, registry->maps, name, compare_map);
}

struct shared_map *registry_map_numbered(const struct registry *registry, uint32_t number)
{
    for (size_t i = 0; i < registry->maps; i++)
        if (registry->map[i]->number == number)
            return registry->map[i];
    return NULL;
}

struct link *registry_link(const struct registry *registry, int64_t id)
{
    return array_find((void **)registry->link, registry->links, &id, compare_link_id);
}

struct native *registry_native(const struct registry *registry, const char *name, const char *prototype)
{
    struct native key = { 0 };

    if (strlen(name) > NAME_LENGTH_MAX || strlen(prototype) > PROTOTYPE_LENGTH_MAX)
        return NULL;
    strcpy(key.name, name);
    strcpy(key.prototype, prototype);
    return array_find((void **)registry->native, registry->natives, &key, compare_native);
}

size_t registry_programs_after(const struct registry *registry, const char *name)
{
    return array_after((void **)registry->program, registry->programs, name, compare_program);
}

size_t registry_tables_after(const struct registry *registry, const char *name)
{
    return array_after((void **)registry->table, registry->tables, name, compare_table);
}

size_t registry_maps_after(const struct registry *registry, const char *name)
{
    return array_after((void **)registry->map, registry->maps, name, compare_map);
}

size_t registry_links_after(const struct registry *registry, int64_t id)
{
    return array_after((void **)registry->link, registry->links, &id, compare_link_id);
}

size_t table_links_after(const struct table *table, const struct link *place)
{
    return array_after((void **)table->link, table->links, place, compare_link_place);
}

bool link_same_entry(const struct link *a, const struct link *b)
{
    return a->otherwise == b->otherwise && a->first == b->first && a->last == b->last;
}

size_t table_chain(const struct table *table, const struct link *keys, struct link *const **ret)
{
    size_t at = array_position((void **)table->link, table->links, keys, compare_link_entry);
    size_t behind = array_position((void **)table->link, table->links, keys, compare_link_behind);

    *ret = table->link + at;
    return at < behind && link_same_entry(table->link[at], keys) ? behind - at : 0;
}

struct link *table_overlap(const struct table *table, const struct link *keys)
{
    size_t at = array_position((void **)table->link, table->links, keys, compare_link_entry);
    struct link *before = at > 0 ? table->link[at - 1] : NULL, *behind = at < table->links ? table->link[at] : NULL;

    if (keys->otherwise)
        return NULL;
    if (before && !before->otherwise && before->last >= keys->first)
        return before;
    if (behind && !behind->otherwise && behind->first <= keys->last && !link_same_entry(behind, keys))
        return behind;
    return NULL;
}

bool table_is_unused(const struct table *table)
{
    const struct counter *misses = &table->misses;

    return !table->links && !table->workers && !table->has_value && !table->no_indirect && !misses->counted &&
        !misses->inherited && !misses->releases;
}

bool table_no_indirect(const struct registry *registry, const struct table *table)
{
    return registry->no_indirect || table->no_indirect || table->workers_no_indirect > 0;
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
    program->totals.program = program->name;
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
    for (size_t i = 0; i < program->maps; i++)
        shared_map_put(program->map[i]);
    free(program->map);
    free(program->stub);
    json_object_put(program->settings);
    shared_context_put(program->context);
    free(program->link);
    totals_done(&program->totals);
    free(program);
    return NULL;
}

int table_new(const char *name, enum table_kind kind, struct shared_context *context, uint32_t default_verdict,
              struct table **ret)
{
    struct table *table = calloc(1, sizeof(*table));

    if (!table)
        return -ENOMEM;
    assert(registry_name_valid(name));
    strcpy(table->name, name);
    table->kind = kind;
    table->context = shared_context_get(context);
    table->default_verdict = default_verdict;
    table->totals.table = table->name;
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
    free(table->planned);
    free(table->misses.totals);
    totals_done(&table->totals);
    free(table->link);
    free(table);
    return NULL;
}

int link_new(const struct link *link, struct link **ret)
{
    struct link *copy = malloc(sizeof(*copy));

    if (!copy)
        return -ENOMEM;
    *copy = *link;
    if (copy->program)
        program_get(copy->program);
    *ret = copy;
    return 0;
}

struct link *link_free(struct link *link)
{
    if (!link)
        return NULL;
    program_put(link->program);
    free(link->counter.totals);
    entry_totals_put(link->entry);
    free(link);
    return NULL;
}

void link_keys_text(const struct link *link, char text[LINK_KEYS_TEXT])
{
    if (link->otherwise)
        strcpy(text, "default");
    else if (link->first == link->last)
        snprintf(text, LINK_KEYS_TEXT, "%" PRIu32, link->first);
    else
        snprintf(text, LINK_KEYS_TEXT, "%" PRIu32 "-%" PRIu32, link->first, link->last);
}

void link_proceed_text(const struct link *link, char text[LINK_PROCEED_TEXT])
{
    size_t length = 0;

    for (unsigned i = 0; i < link->proceeds; i++)
        length += (size_t)snprintf(text + length, LINK_PROCEED_TEXT - length, "%c%" PRIu32, i ? ',' : '[',
                                   link->proceed[i]);
    strcpy(text + length, length ? "]" : "[]");
}

void link_program_text(const struct link *link, char text[LINK_PROGRAM_TEXT])
{
    snprintf(text, LINK_PROGRAM_TEXT, "%s%s", link->native ? "native:" : "",
             link->native ? link->native->name : link->program->name);
}

int link_read_proceed(struct link *link, struct json_object *verdicts)
{
    size_t proceeds = verdicts ? json_object_array_length(verdicts) : 0;
    uint32_t proceed[PROCEED_MAX] = { 0 };

    if (proceeds > PROCEED_MAX)
        return -E2BIG;
    for (size_t i = 0; i < proceeds; i++) {
        int64_t verdict = json_object_get_int64(json_object_array_get_idx(verdicts, i));

        if (verdict < 0 || verdict > UINT32_MAX)
            return -ERANGE;
        for (size_t j = 0; j < i; j++)
            if (proceed[j] == verdict)
                return -EEXIST;
        proceed[i] = (uint32_t)verdict;
    }
    memcpy(link->proceed, proceed, sizeof(proceed));
    link->proceeds = (unsigned)proceeds;
    return 0;
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

int registry_add_map(struct registry *registry, struct shared_map *map)
{
    return array_insert((void ***)&registry->map, &registry->maps, &registry->maps_capacity, map, map->name,
                        compare_map);
}

void registry_remove_map(struct registry *registry, struct shared_map *map)
{
    array_remove((void **)registry->map, &registry->maps, map->name, compare_map);
}

int registry_add_native(struct registry *registry, const struct native *native, struct native **ret)
{
    struct native *copy = malloc(sizeof(*copy));
    int r = -ENOMEM;

    if (copy) {
        *copy = *native;
        r = array_insert((void ***)&registry->native, &registry->natives, &registry->natives_capacity, copy, copy,
                         compare_native);
    }
    if (r < 0) {
        free(copy);
        return r;
    }
    *ret = copy;
    return 0;
}

void registry_remove_native(struct registry *registry, struct native *native)
{
    assert(!native->links);
    array_remove((void **)registry->native, &registry->natives, native, compare_native);
    free(native->link);
    free(native);
}

void registry_prune_natives(struct registry *registry)
{
    for (size_t i = registry->natives; i-- > 0;)
        if (registry->native[i]->workers == 0 && registry->native[i]->links == 0)
            registry_remove_native(registry, registry->native[i]);
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

/* The links of what a link runs, a program or a native. */
static struct target_links {
    struct link ***link;
    size_t *links, *capacity;
} links_of_target(const struct link *link)
{
    if (link->native)
        return (struct target_links){ &link->native->link, &link->native->links, &link->native->links_capacity };
    return (struct target_links){ &link->program->link, &link->program->links, &link->program->links_capacity };
}

int registry_add_link(struct registry *registry, struct link *link)
{
    struct table *table = link->table;
    struct target_links target = links_of_target(link);
    int r;

    r = array_reserve((void ***)&registry->link, registry->links, &registry->links_capacity);
    if (r >= 0)
        r = array_reserve((void ***)&table->link, table->links, &table->links_capacity);
    if (r >= 0)
        r = array_reserve((void ***)target.link, *target.links, target.capacity);
    if (r < 0)
        return r;
    array_insert((void ***)&registry->link, &registry->links, &registry->links_capacity, link, &link->id,
                 compare_link_id);
    array_insert((void ***)&table->link, &table->links, &table->links_capacity, link, link,
                 compare_link_place);
    array_insert((void ***)target.link, target.links, target.capacity, link, &link->id, compare_link_id);
    return 0;
}

void registry_remove_link(struct registry *registry, struct link *link)
{
    struct target_links target = links_of_target(link);

    array_remove((void **)registry->link, &registry->links, &link->id, compare_link_id);
    array_remove((void **)link->table->link, &link->table->links, link, compare_link_place);
    array_remove((void **)*target.link, target.links, &link->id, compare_link_id);
}

static void exchange_targets(struct link *a, struct link *b)
{
    const struct link saved = *a;

    a->program = b->program;
    a->native = b->native;
    a->native_code = b->native_code;
    b->program = saved.program;
    b->native = saved.native;
    b->native_code = saved.native_code;
}

int registry_exchange_target(struct link *link, struct link *other)
{
    struct target_links previous = links_of_target(link), next = links_of_target(other);
    int r;

    r = array_insert((void ***)next.link, next.links, next.capacity, link, &link->id, compare_link_id);
    if (r < 0)
        return r;
    array_remove((void **)*previous.link, previous.links, &link->id, compare_link_id);
    exchange_targets(link, other);
    return 0;
}
