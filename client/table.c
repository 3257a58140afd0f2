/* SPDX-License-Identifier: MIT */
/* See table.h. */
#include "table.h"

#include <errno.h>
#include <json-c/json.h>
#include <string.h>

#include "json.h"
#include "stubs.h"
#include "name.h"
#include "prototype.h"

#define FIELDS_MAX 256
#define ENTRY_ALIGNMENT 8

static struct dd_table *first;

static const char *const rights_names[] = {
    [DD_FIELD_READ] = "read",
    [DD_FIELD_WRITE] = "write",
    [DD_FIELD_DATA] = "data",
    [DD_FIELD_DATA_END] = "data_end",
};

/* ---- what a worker may declare ------------------------------------------------------------------------- */

static const char *field_mistake(const struct dd_field *field, uint32_t context_size)
{
    if (!name_is_valid(field->name))
        return "a field's name is not 1 to 63 of [A-Za-z0-9_.-]";
    if (field->rights < DD_FIELD_READ || field->rights > DD_FIELD_DATA_END)
        return "a field's rights are none of enum dd_rights";
    if (field->size != 1 && field->size != 2 && field->size != 4 && field->size != 8)
        return "a field's size is not 1, 2, 4 or 8";
    if (field->rights >= DD_FIELD_DATA && field->size != 8)
        return "a packet pointer is not 8 bytes wide";
    if (field->offset > context_size || field->size > context_size - field->offset)
        return "a field lies outside the context";
    return NULL;
}

/* The macros pass the type as it is spelled; programs name it without its keyword. */
static const char *context_name(const char *context)
{
    return strncmp(context, "struct ", 7) == 0 ? context + 7 : context;
}

static const char *call_mistake(struct dd_table *call)
{
    struct prototype prototype;
    int r;

    if (!call->entry[0])
        return "it has no function to call by default: DD_CALL_NULL defines one that has none";
    r = prototype_read(call->prototype, &prototype);
    if (r < 0)
        return prototype_mistake(r);
    call->digest = dd_digest(call->name, prototype.text);
    return NULL;
}

const char *table_mistake(struct dd_table *table)
{
    const char *mistake = NULL;
    struct prototype prototype;

    if (!name_is_valid(table->name))
        return "its name is not 1 to 63 of [A-Za-z0-9_.-]";
    if (table->prototype)
        return call_mistake(table);
    if (!table->context || table->context[0] == '\0')
        return "its context has no name";
    if (table->fields > FIELDS_MAX || (table->fields > 0 && !table->field))
        return "it has too many fields";
    for (uint32_t i = 0; i < table->fields && !mistake; i++)
        mistake = field_mistake(&table->field[i], table->context_size);
    prototype_of_table(context_name(table->context), &prototype);
    table->digest = dd_digest(table->name, prototype.text);
    return mistake;
}

/* ---- the list ------------------------------------------------------------------------------------------ */

static struct dd_table **find(const struct dd_table *table)
{
    struct dd_table **link = &first;

    while (*link && *link != table)
        link = &(*link)->next;
    return link;
}

static void set_entry(struct dd_table *table, unsigned slot, dd_entry *entry)
{
    /* Relaxed: a thread may call the table meanwhile, and old and new pointer are both good; for a window that is not
     * current yet, window_switch() orders it. */
    __atomic_store_n(&table->entry[slot], entry, __ATOMIC_RELAXED);
}

int table_add(struct dd_table *table)
{
    struct dd_table **link = find(table);
    sigset_t saved;

    if (*link)
        return -EEXIST;
    for (unsigned slot = 1; slot < DD_WINDOW_SLOTS; slot++)
        set_entry(table, slot, table->entry[0]);
    table->state = TABLE_NEW;
    table->next = NULL;
    saved = stubs_lock();
    *link = table;
    stubs_unlock(&saved);
    return 0;
}

void table_remove(struct dd_table *table)
{
    struct dd_table **link = find(table);
    sigset_t saved = stubs_lock();

    if (*link)
        *link = table->next;
    stubs_unlock(&saved);
}

void table_forget(bool declared_too)
{
    for (struct dd_table *table = first; table; table = table->next)
        if (table->state == TABLE_SENT || (declared_too && table->state == TABLE_DECLARED))
            table->state = TABLE_NEW;
}

const struct dd_table *table_first(void)
{
    return first;
}

const struct dd_table *table_find(uint64_t digest)
{
    const struct dd_table *table = first;

    while (table && table->digest != digest)
        table = table->next;
    return table;
}

const void *table_callers(void)
{
    for (const struct dd_table *table = first; table; table = table->next)
        if (table->direct)
            return table->direct;
    return first;
}

bool table_any_direct(void)
{
    const struct dd_table *table = first;

    while (table && !table->direct)
        table = table->next;
    return table != NULL;
}

bool table_any_new(void)
{
    for (const struct dd_table *table = first; table; table = table->next)
        if (table->state == TABLE_NEW)
            return true;
    return false;
}

bool table_refused(const char *name)
{
    bool found = false, any = false;

    for (struct dd_table *table = first; table && name; table = table->next)
        if (table->state == TABLE_SENT && strcmp(table->name, name) == 0) {
            table->state = TABLE_REFUSED;
            found = true;
        }
    for (struct dd_table *table = first; table; table = table->next)
        if (table->state == TABLE_SENT) {
            table->state = found ? TABLE_NEW : TABLE_REFUSED;
            any = true;
        }
    return found || any;
}

void table_forgive(void)
{
    for (struct dd_table *table = first; table; table = table->next)
        if (table->state == TABLE_REFUSED)
            table->state = TABLE_NEW;
}

void table_reset(unsigned slot)
{
    for (struct dd_table *table = first; table; table = table->next)
        set_entry(table, slot, table->entry[0]);
}

/* ---- to the daemon ------------------------------------------------------------------------------------- */

static struct json_object *describe_field(const struct dd_field *field)
{
    struct json_object *object = json_object_new_object();

    if (!object || json_add(object, "name", json_object_new_string(field->name)) < 0 ||
        json_add(object, "offset", json_object_new_int64(field->offset)) < 0 ||
        json_add(object, "size", json_object_new_int64(field->size)) < 0 ||
        json_add(object, "rights", json_object_new_string(rights_names[field->rights])) < 0) {
        json_object_put(object);
        return NULL;
    }
    return object;
}

static struct json_object *describe_fields(const struct dd_table *table)
{
    struct json_object *array = json_object_new_array();

    for (uint32_t i = 0; array && i < table->fields; i++)
        if (json_append(array, describe_field(&table->field[i])) < 0) {
            json_object_put(array);
            return NULL;
        }
    return array;
}

/* A static call has no context, and no verdict but what its own default returns. */
static int describe_call(struct json_object *object, const struct dd_table *call)
{
    struct prototype prototype;

    prototype_read(call->prototype, &prototype);
    return json_add(object, "prototype", json_object_new_string(prototype.text));
}

static struct json_object *describe_table(const struct dd_table *table)
{
    struct json_object *object = json_object_new_object();

    if (!object || json_add(object, "name", json_object_new_string(table->name)) < 0 ||
        json_add(object, "context", json_object_new_string(table->prototype ? "" : context_name(table->context))) < 0 ||
        json_add(object, "context_size", json_object_new_int64(table->context_size)) < 0 ||
        json_add(object, "default_verdict", json_object_new_int64(table->default_verdict)) < 0 ||
        json_add(object, "fields", describe_fields(table)) < 0 ||
        (table->direct && json_add(object, "no_indirect", json_object_new_boolean(true)) < 0) ||
        (table->prototype && describe_call(object, table) < 0)) {
        json_object_put(object);
        return NULL;
    }
    return object;
}

struct json_object *table_describe(void)
{
    struct json_object *array = json_object_new_array();

    if (!array)
        return NULL;
    for (struct dd_table *table = first; table; table = table->next)
        if (table->state == TABLE_NEW && json_append(array, describe_table(table)) < 0) {
            json_object_put(array);
            return NULL;
        }
    for (struct dd_table *table = first; table; table = table->next)
        if (table->state == TABLE_NEW)
            table->state = TABLE_SENT;
    return array;
}

/* ---- from the daemon ----------------------------------------------------------------------------------- */

/* The offset that the daemon gave for this table; -1: none. */
static int64_t find_offset(struct json_object *entries, const struct dd_table *table)
{
    size_t n = json_object_array_length(entries);

    for (size_t i = 0; i < n; i++) {
        struct json_object *entry = json_object_array_get_idx(entries, i);

        if (strcmp(json_object_get_string(json_object_object_get(entry, "table")), table->name) == 0)
            return json_object_get_int64(json_object_object_get(entry, "offset"));
    }
    return -1;
}

static bool offset_is_valid(int64_t offset, const struct window *window)
{
    return offset >= 0 && (uint64_t)offset < window->text_size && offset % ENTRY_ALIGNMENT == 0;
}

int table_apply(struct json_object *entries, const struct window *window)
{
    for (const struct dd_table *table = first; table; table = table->next)
        if (table->state == TABLE_SENT && !offset_is_valid(find_offset(entries, table), window))
            return -EBADMSG;
    for (struct dd_table *table = first; table; table = table->next)
        if (table->state == TABLE_SENT) {
            char *entry = window->base + DD_WINDOW_TEXT + find_offset(entries, table);

            set_entry(table, window->slot, (dd_entry *)(void *)entry);
            table->state = TABLE_DECLARED;
        }
    return 0;
}
