/* SPDX-License-Identifier: MIT */
/* Replies for people. */
#include "print.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "status.h"
#include "util.h"

/* Control characters of ASCII, and those that UTF-8 writes as C2 80 to C2 9F. */
static void text_clean(char *text)
{
    for (unsigned char *at = (unsigned char *)text; *at; at++) {
        if (*at < 0x20 || *at == 0x7f)
            *at = '?';
        else if (at[0] == 0xc2 && at[1] >= 0x80 && at[1] <= 0x9f)
            at[0] = at[1] = '?';
    }
}

/* Characters, not bytes. */
static size_t text_width(const char *text)
{
    size_t width = 0;

    for (; *text; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static char *array_text(struct json_object *array)
{
    char *text = NULL;
    size_t length = 0, n = json_object_array_length(array);
    FILE *out = n ? require(open_memstream(&text, &length)) : NULL;

    for (size_t i = 0; i < n; i++) {
        _cleanup_free_ char *element = value_text(json_object_array_get_idx(array, i));

        fprintf(out, "%s%s", i ? "," : "", element);
    }
    if (out)
        fclose(out);
    return require(n ? text : strdup("-"));
}

char *value_text(struct json_object *value)
{
    char *text;

    switch (json_object_get_type(value)) {
    case json_type_null:
        text = strdup("-");
        break;
    case json_type_boolean:
        text = strdup(json_object_get_boolean(value) ? "yes" : "no");
        break;
    case json_type_array:
        return array_text(value);
    default:
        text = strdup(json_object_get_string(value));
        text_clean(require(text));
    }
    return require(text);
}

static char *cell_text(const struct column *column, struct json_object *row)
{
    char *text = value_text(json_object_object_get(row, column->member));

    if (column->cut && strlen(text) > column->cut)
        text[column->cut] = '\0';
    return text;
}

static void pad(size_t spaces)
{
    printf("%*s", (int)spaces, "");
}

/* Spaces before a number; behind anything else, unless it ends the line. */
static void print_cell(const char *text, size_t width, bool number, bool last)
{
    size_t spaces = width - text_width(text);

    if (number)
        pad(spaces);
    fputs(text, stdout);
    if (!number && !last)
        pad(spaces);
    fputs(last ? "\n" : "  ", stdout);
}

static size_t column_count(const struct column *columns)
{
    size_t n = 0;

    while (columns[n].title)
        n++;
    return n;
}

void print_table(const struct column *columns, struct json_object *rows)
{
    size_t n_rows = json_object_array_length(rows), n = column_count(columns);
    _cleanup_free_ size_t *width = require(calloc(n + 1, sizeof(*width)));
    _cleanup_free_ bool *number = require(calloc(n + 1, sizeof(*number)));

    for (size_t c = 0; c < n; c++) {
        width[c] = strlen(columns[c].title);
        number[c] = n_rows > 0;
        for (size_t i = 0; i < n_rows; i++) {
            struct json_object *row = json_object_array_get_idx(rows, i);
            _cleanup_free_ char *text = cell_text(&columns[c], row);

            width[c] = text_width(text) > width[c] ? text_width(text) : width[c];
            number[c] &= json_object_is_type(json_object_object_get(row, columns[c].member), json_type_int);
        }
    }
    for (size_t c = 0; c < n; c++)
        print_cell(columns[c].title, width[c], number[c], c + 1 == n);
    for (size_t i = 0; i < n_rows; i++)
        for (size_t c = 0; c < n; c++) {
            _cleanup_free_ char *text = cell_text(&columns[c], json_object_array_get_idx(rows, i));

            print_cell(text, width[c], number[c], c + 1 == n);
        }
}

void print_ids(const struct column *columns, struct json_object *rows)
{
    for (size_t i = 0; i < json_object_array_length(rows); i++) {
        _cleanup_free_ char *text = cell_text(columns, json_object_array_get_idx(rows, i));

        puts(text);
    }
}

void print_facts(struct json_object *object)
{
    size_t width = 0;

    json_object_object_foreach(object, name, unused) {
        (void)unused;
        width = strlen(name) > width ? strlen(name) : width;
    }
    json_object_object_foreach(object, key, value) {
        _cleanup_free_ char *text = value_text(value), *title = require(strdup(key));

        for (char *at = title; *at; at++)
            *at = *at == '_' ? ' ' : *at;
        text_clean(title);
        printf("%-*s  %s\n", (int)width, title, text);
    }
}

void print_json(struct json_object *object)
{
    const char *text = json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);

    if (!text)
        require(NULL);
    puts(text);
}
