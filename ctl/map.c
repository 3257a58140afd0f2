/* SPDX-License-Identifier: MIT */
#include "map.h"

#include <ctype.h>
#include <json-c/json.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "print.h"
#include "status.h"
#include "util.h"

/* Into `row`, if it is there: what a value of JSON is called in another object. */
static void member_copy(struct json_object *row, const char *name, struct json_object *object, const char *member)
{
    struct json_object *value = json_object_object_get(object, member);

    if (value)
        member_add(row, name, json_object_get(value));
}

/* ---- maps ------------------------------------------------------------------------------------------------ */

/* A type as text; nothing where the kind has no keys, or no values. */
static struct json_object *type_text(struct json_object *type)
{
    struct json_object *text = json_object_object_get(type, "text");

    return json_object_get_string_len(text) > 0 ? json_object_get(text) : NULL;
}

/* A map as a row or as facts. */
static struct json_object *map_row(struct json_object *map)
{
    static const char *const members[] = { "max_entries", "access", "inner", "uid", "bytes", "programs", "outer" };
    struct json_object *row = require(json_object_new_object());

    member_copy(row, "name", map, "name");
    member_copy(row, "kind", map, "kind");
    json_object_object_add(row, "key", type_text(json_object_object_get(map, "key")));
    json_object_object_add(row, "value", type_text(json_object_object_get(map, "value")));
    for (size_t i = 0; i < ARRAY_LENGTH(members); i++)
        member_copy(row, members[i], map, members[i]);
    return row;
}

void map_print(const struct verb *verb, struct json_object *reply, bool quiet)
{
    struct json_object *row = map_row(json_object_object_get(reply, "map"));

    (void)verb;
    member_copy(row, "entries", reply, "entries");
    if (quiet)
        puts(json_object_get_string(json_object_object_get(row, "name")));
    else
        print_facts(row);
    json_object_put(row);
}

void map_print_list(const struct verb *verb, struct json_object *reply, bool quiet)
{
    struct json_object *maps = json_object_object_get(reply, "maps"), *rows = require(json_object_new_array());

    for (size_t i = 0; i < json_object_array_length(maps); i++)
        json_object_array_add(rows, map_row(json_object_array_get_idx(maps, i)));
    if (quiet)
        print_ids(verb->columns, rows);
    else
        print_table(verb->columns, rows);
    json_object_put(rows);
}

/* ---- elements -------------------------------------------------------------------------------------------- */

/* What is no struct is an object of one member `value`.  NULL: it is a struct, or nothing. */
static struct json_object *plain_value(struct json_object *object)
{
    struct json_object *value;

    return object && json_object_object_length(object) == 1 &&
        json_object_object_get_ex(object, "value", &value) ? value : NULL;
}

static void print_value(struct json_object *element, bool quiet)
{
    struct json_object *hex = json_object_object_get(element, "value_hex");
    struct json_object *value = json_object_object_get(element, "value"), *plain = hex ? hex : plain_value(value);
    _cleanup_free_ char *text = value_text(plain);

    if (plain)
        puts(text);
    else if (value && quiet)
        print_json(value);
    else if (value)                     /* else: copies that have no sum */
        print_facts(value);
}

/*
 * An element as a row of a table: members of key and value, each in a column.  Members' names begin with k or v, so
 * that a key and a value may have members of the same name.
 */
static void row_add(struct json_object *row, char part, const char *whole, struct json_object *object,
                    struct json_object *hex)
{
    struct json_object *plain = hex ? hex : plain_value(object);
    char name[300];

    if (plain) {
        snprintf(name, sizeof(name), "%c%s", part, whole);
        member_add(row, name, json_object_get(plain));
    } else if (object) {
        json_object_object_foreach(object, member, value) {
            snprintf(name, sizeof(name), "%c%s", part, member);
            member_add(row, name, json_object_get(value));
        }
    }
}

static struct json_object *element_row(struct json_object *element, bool key_alone)
{
    struct json_object *row = require(json_object_new_object());

    row_add(row, 'k', "key", json_object_object_get(element, "key"), json_object_object_get(element, "key_hex"));
    if (!key_alone)
        row_add(row, 'v', "value", json_object_object_get(element, "value"),
                json_object_object_get(element, "value_hex"));
    return row;
}

/* The columns that the rows have: all are of one type.  Ends with a NULL title; titles and array are the caller's. */
static struct column *row_columns(struct json_object *row)
{
    struct column *columns = require(calloc((size_t)json_object_object_length(row) + 1, sizeof(*columns)));
    size_t n = 0;

    json_object_object_foreach(row, name, value) {
        char *title = require(strdup(name + 1));

        (void)value;
        for (char *at = title; *at; at++)
            *at = (char)toupper((unsigned char)*at);
        columns[n++] = (struct column){ .title = title, .member = name };
    }
    return columns;
}

static void print_element_rows(struct json_object *rows, bool quiet)
{
    struct column *columns;

    if (json_object_array_length(rows) == 0)
        return;
    columns = row_columns(json_object_array_get_idx(rows, 0));
    if (quiet && !columns[1].title)
        print_ids(columns, rows);
    else
        print_table(columns, rows);
    for (size_t i = 0; columns[i].title; i++)
        free((char *)columns[i].title);
    free(columns);
}

/* What each reader line has: a row each, with its seat behind the key. */
static void add_copies(struct json_object *rows, struct json_object *element)
{
    struct json_object *copies = json_object_object_get(element, "copies");

    for (size_t i = 0; i < json_object_array_length(copies); i++) {
        struct json_object *copy = json_object_array_get_idx(copies, i), *row = element_row(element, true);

        member_copy(row, "kseat", copy, "seat");
        row_add(row, 'v', "value", json_object_object_get(copy, "value"), json_object_object_get(copy, "value_hex"));
        json_object_array_add(rows, row);
    }
}

static bool has_copies(struct json_object *element)
{
    struct json_object *copies = json_object_object_get(element, "copies");

    return copies && json_object_array_length(copies) > 0;
}

static void print_rows_of(struct json_object *elements, bool quiet)
{
    struct json_object *rows = require(json_object_new_array());

    for (size_t i = 0; i < json_object_array_length(elements); i++) {
        struct json_object *element = json_object_array_get_idx(elements, i);

        if (!quiet && has_copies(element) && !json_object_object_get(element, "value"))
            add_copies(rows, element);
        else
            json_object_array_add(rows, element_row(element, quiet));
    }
    print_element_rows(rows, quiet);
    json_object_put(rows);
}

void map_print_element(const struct verb *verb, struct json_object *reply, bool quiet)
{
    struct json_object *element = json_object_object_get(reply, "element");
    struct json_object *rows;

    (void)verb;
    print_value(element, quiet);
    if (quiet || !has_copies(element))
        return;
    if (json_object_object_get(element, "value"))
        putchar('\n');
    rows = require(json_object_new_array());
    add_copies(rows, element);
    print_element_rows(rows, false);
    json_object_put(rows);
}

void map_print_elements(const struct verb *verb, struct json_object *reply, bool quiet)
{
    (void)verb;
    print_rows_of(json_object_object_get(reply, "elements"), quiet);
}

void map_print_removed(const struct verb *verb, struct json_object *reply, bool quiet)
{
    (void)verb;
    printf("%s%s\n", json_object_get_string(json_object_object_get(reply, "removed")), quiet ? "" : " removed");
}

/* ---- streams --------------------------------------------------------------------------------------------- */

static void complain_growth(struct json_object *reply, const char *member, int64_t *known, const char *why)
{
    int64_t number = json_object_get_int64(json_object_object_get(reply, member));

    if (number > *known)
        complain(STATUS_DONE, "%lld %s", (long long)(number - *known), why);
    *known = number;
}

static void print_line(struct json_object *line)
{
    _cleanup_free_ char *text = value_text(json_object_object_get(line, "text"));

    printf("%s %s  %s\n", json_object_get_string(json_object_object_get(line, "pid")),
           json_object_get_string(json_object_object_get(line, "thread")), text);
}

/* A record of a struct is its members in a line, in the form that values are given in: others may follow at any time. */
static void print_record(struct json_object *record)
{
    struct json_object *hex = json_object_object_get(record, "value_hex");
    struct json_object *value = json_object_object_get(record, "value");
    struct json_object *plain = hex ? hex : plain_value(value);
    _cleanup_free_ char *text = value_text(plain);
    const char *separator = "";

    if (plain) {
        puts(text);
        return;
    }
    json_object_object_foreach(value, name, member) {
        _cleanup_free_ char *member_text = value_text(member);

        printf("%s%s=%s", separator, name, member_text);
        separator = " ";
    }
    putchar('\n');
}

void map_print_records(const struct verb *verb, struct json_object *reply, bool quiet)
{
    static int64_t lost, skipped;
    struct json_object *list = json_object_object_get(reply, verb->rows);

    for (size_t i = 0; i < json_object_array_length(list); i++) {
        struct json_object *record = json_object_array_get_idx(list, i);

        if (json_object_object_get(record, "text"))
            print_line(record);
        else
            print_record(record);
    }
    if (!quiet) {
        complain_growth(reply, "lost", &lost, "lost: the ring was full, or they were too long");
        complain_growth(reply, "skipped", &skipped, "passed over: this reader was too slow");
    }
}
