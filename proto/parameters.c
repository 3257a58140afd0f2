/* SPDX-License-Identifier: MIT */
/* See parameters.h. */
#include "parameters.h"

#include <errno.h>
#include <json-c/json.h>
#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "interface.h"

/* Where we are in the object: a field, or with `field` NULL an element.  The outermost has no `outer`. */
struct place {
    const struct place *outer;
    const char *field;
    size_t index;
};

struct check {
    unsigned flags;
    struct parameters_fault *fault;
};

static void format_place(const struct place *place, char *text, size_t size)
{
    size_t length;

    if (!place->outer) {
        text[0] = '\0';
        return;
    }
    format_place(place->outer, text, size);
    length = strlen(text);
    if (place->field)
        snprintf(text + length, size - length, "%s%s", length ? "." : "", place->field);
    else
        snprintf(text + length, size - length, "[%zu]", place->index);
}

/* Names come from the peer: a cut in the middle of a character would make our answer unreadable. */
static void cut_at_character(char *text, size_t size)
{
    size_t length = strlen(text), begin = length;

    if (length + 1 < size)
        return;
    while (begin > 0 && ((unsigned char)text[begin - 1] & 0xC0) == 0x80)
        begin--;
    if (begin > 0 && (unsigned char)text[begin - 1] >= 0xC0)
        text[begin - 1] = '\0';
}

__attribute__((format(printf, 3, 4)))
static int fault(const struct check *check, const struct place *place, const char *format, ...)
{
    struct parameters_fault *fault = check->fault;
    va_list arguments;

    if (!fault)
        return -EINVAL;
    format_place(place, fault->parameter, sizeof fault->parameter);
    cut_at_character(fault->parameter, sizeof fault->parameter);
    if (fault->parameter[0] == '\0')
        strcpy(fault->parameter, "parameters");
    va_start(arguments, format);
    vsnprintf(fault->reason, sizeof fault->reason, format, arguments);
    va_end(arguments);
    return -EINVAL;
}

static int fault_type(const struct check *check, const struct place *place, const char *expected,
                      struct json_object *value)
{
    const char *found = json_type_to_name(json_object_get_type(value));

    return fault(check, place, "must be %s, not %s", expected, found);
}

static int check_value(const struct check *check, const struct interface_type *type, struct json_object *value,
                       const struct place *place);

/* json-c saturates: what lies beyond 64 bits arrives as INT64_MIN, or as a uint64 above INT64_MAX. */
static int check_int(const struct check *check, struct json_object *value, const struct place *place)
{
    if (!json_object_is_type(value, json_type_int))
        return fault_type(check, place, "an int", value);
    if (json_object_get_uint64(value) > INT64_MAX || json_object_get_int64(value) == INT64_MIN)
        return fault(check, place, "must be an int of 64 bits");
    return 0;
}

static int check_float(const struct check *check, struct json_object *value, const struct place *place)
{
    if (!json_object_is_type(value, json_type_int) && !json_object_is_type(value, json_type_double))
        return fault_type(check, place, "a number", value);
    return isfinite(json_object_get_double(value)) ? 0 : fault(check, place, "must be a finite number");
}

static int check_enum(const struct check *check, const struct interface_type *type, struct json_object *value,
                      const struct place *place)
{
    char values[128] = "";

    if (json_object_is_type(value, json_type_string) && interface_value(type, json_object_get_string(value)))
        return 0;
    for (const struct interface_value *known = type->values; known; known = known->next) {
        const size_t length = strlen(values);

        snprintf(values + length, sizeof values - length, "%s%s", length ? ", " : "", known->name);
    }
    return fault(check, place, "must be one of %s", values);
}

static int check_array(const struct check *check, const struct interface_type *type, struct json_object *value,
                       const struct place *place)
{
    struct place element = {.outer = place};
    int r = 0;

    if (!json_object_is_type(value, json_type_array))
        return fault_type(check, place, "an array", value);
    for (; r == 0 && element.index < json_object_array_length(value); element.index++)
        r = check_value(check, type->element, json_object_array_get_idx(value, element.index), &element);
    return r;
}

static int check_map(const struct check *check, const struct interface_type *type, struct json_object *value,
                     const struct place *place)
{
    int r;

    if (!json_object_is_type(value, json_type_object))
        return fault_type(check, place, "an object", value);
    json_object_object_foreach(value, name, element) {
        r = check_value(check, type->element, element, &(struct place){place, name, 0});
        if (r < 0)
            return r;
    }
    return 0;
}

static int check_fields(const struct check *check, const struct interface_type *type, struct json_object *value,
                        const struct place *place)
{
    int r;

    if (!json_object_is_type(value, json_type_object))
        return fault_type(check, place, "an object", value);
    for (const struct interface_field *field = type->fields; field; field = field->next) {
        const struct place here = {place, field->name, 0};
        struct json_object *found;

        if (json_object_object_get_ex(value, field->name, &found))
            r = check_value(check, field->type, found, &here);
        else
            r = field->type->kind == INTERFACE_OPTIONAL ? 0 : fault(check, &here, "is missing");
        if (r < 0)
            return r;
    }
    if (check->flags & PARAMETERS_ALLOW_UNKNOWN)
        return 0;
    json_object_object_foreach(value, name, unused) {
        (void)unused;
        if (!interface_field(type, name))
            return fault(check, &(struct place){place, name, 0}, "is unknown");
    }
    return 0;
}

static int check_kind(const struct check *check, json_type kind, const char *expected, struct json_object *value,
                      const struct place *place)
{
    return json_object_is_type(value, kind) ? 0 : fault_type(check, place, expected, value);
}

static int check_value(const struct check *check, const struct interface_type *type, struct json_object *value,
                       const struct place *place)
{
    switch (type->kind) {
    case INTERFACE_BOOL:
        return check_kind(check, json_type_boolean, "a bool", value, place);
    case INTERFACE_INT:
        return check_int(check, value, place);
    case INTERFACE_FLOAT:
        return check_float(check, value, place);
    case INTERFACE_STRING:
        return check_kind(check, json_type_string, "a string", value, place);
    case INTERFACE_OBJECT:
        return check_kind(check, json_type_object, "an object", value, place);
    case INTERFACE_ENUM:
        return check_enum(check, type, value, place);
    case INTERFACE_STRUCT:
        return check_fields(check, type, value, place);
    case INTERFACE_ARRAY:
        return check_array(check, type, value, place);
    case INTERFACE_MAP:
        return check_map(check, type, value, place);
    case INTERFACE_OPTIONAL:
        return value ? check_value(check, type->element, value, place) : 0;
    case INTERFACE_NAMED:
        return check_value(check, type->element, value, place);
    }
    __builtin_unreachable();
}

int parameters_check(const struct interface_type *type, struct json_object *object, unsigned flags,
                     struct parameters_fault *reterr)
{
    const struct check check = {flags, reterr};
    struct json_object *empty = object ? NULL : json_object_new_object();
    int r;

    r = check_value(&check, type, object ?: empty, &(struct place){0});
    json_object_put(empty);
    return r;
}
