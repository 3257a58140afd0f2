/* SPDX-License-Identifier: MIT */
/* See table.h. */
#include "table.h"

#include <errno.h>
#include <json-c/json.h>
#include <string.h>

#define NAME_MAX_BYTES 63
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

static bool name_is_valid(const char *name)
{
    size_t length = name ? strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") : 0;

    return length > 0 && length <= NAME_MAX_BYTES && name[length] == '\0';
}

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

const char *table_mistake(const struct dd_table *table)
{
    const char *mistake = NULL;

    if (!name_is_valid(table->name))
        return "its name is not 1 to 63 of [A-Za-z0-9_.-]";
    if (!table->context || table->context[0] == '\0')
        return "its context has no name";
    if (table->fields > FIELDS_MAX || (table->fields > 0 && !table->field))
        return "it has too many fields";
    for (uint32_t i = 0; i < table->fields && !mistake; i++)
        mistake = field_mistake(&table->field[i], table->context_size);
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

    if (*link)
        return -EEXIST;
    for (unsigned slot = 1; slot < DD_WINDOW_SLOTS; slot++)
        set_entry(table, slot, table->entry[0]);
    table->state = TABLE_NEW;
    table->next = NULL;
    *link = table;
    return 0;
}

void table_remove(struct dd_table *table)
{
    struct dd_table **link = find(table);

    if (*link)
        *link = table->next;
}

void table_forget(bool declared_too)
{
    for (struct dd_table *table = first; table; table = table->next)
        if (table->state == TABLE_SENT || (declared_too && table->state == TABLE_DECLARED))
            table->state = TABLE_NEW;
}

bool table_any_new(void)
{
    for (const struct dd_table *table = first; table; table = table->next)
        if (table->state == TABLE_NEW)
            return true;
    return false;
}

void table_refused(const char *name)
{
    bool found = false;

    for (struct dd_table *table = first; table && name; table = table->next)
        if (table->state == TABLE_SENT && strcmp(table->name, name) == 0) {
            table->state = TABLE_REFUSED;
            found = true;
        }
    for (struct dd_table *table = first; table; table = table->next)
        if (table->state == TABLE_SENT)
            table->state = found ? TABLE_NEW : TABLE_REFUSED;
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

/* json_object_object_add(), for a value that may not have been made.  Takes the value over. */
static int add(struct json_object *object, const char *name, struct json_object *value)
{
    if (!value)
        return -ENOMEM;
    if (json_object_object_add(object, name, value) < 0) {
        json_object_put(value);
        return -ENOMEM;
    }
    return 0;
}

static int append(struct json_object *array, struct json_object *value)
{
    if (!value)
        return -ENOMEM;
    if (json_object_array_add(array, value) < 0) {
        json_object_put(value);
        return -ENOMEM;
    }
    return 0;
}

static struct json_object *describe_field(const struct dd_field *field)
{
    struct json_object *object = json_object_new_object();

    if (!object || add(object, "name", json_object_new_string(field->name)) < 0 ||
        add(object, "offset", json_object_new_int64(field->offset)) < 0 ||
        add(object, "size", json_object_new_int64(field->size)) < 0 ||
        add(object, "rights", json_object_new_string(rights_names[field->rights])) < 0) {
        json_object_put(object);
        return NULL;
    }
    return object;
}

static struct json_object *describe_fields(const struct dd_table *table)
{
    struct json_object *array = json_object_new_array();

    for (uint32_t i = 0; array && i < table->fields; i++)
        if (append(array, describe_field(&table->field[i])) < 0) {
            json_object_put(array);
            return NULL;
        }
    return array;
}

/* The macros pass the type as it is spelled; programs name it without its keyword. */
static const char *context_name(const char *context)
{
    return strncmp(context, "struct ", 7) == 0 ? context + 7 : context;
}

static struct json_object *describe_table(const struct dd_table *table)
{
    struct json_object *object = json_object_new_object();

    if (!object || add(object, "name", json_object_new_string(table->name)) < 0 ||
        add(object, "context", json_object_new_string(context_name(table->context))) < 0 ||
        add(object, "context_size", json_object_new_int64(table->context_size)) < 0 ||
        add(object, "default_verdict", json_object_new_int64(table->default_verdict)) < 0 ||
        add(object, "fields", describe_fields(table)) < 0) {
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
        if (table->state == TABLE_NEW && append(array, describe_table(table)) < 0) {
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
