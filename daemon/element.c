/* SPDX-License-Identifier: MIT */
/* See element.h. */
#include "element.h"

#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "message.h"
#include "util.h"

/* ---- showing ------------------------------------------------------------------------------------------- */

static const char digits[] = "0123456789abcdef";

struct json_object *element_show_hex(const uint8_t *bytes, size_t size)
{
    _cleanup_free_ char *text = malloc(2 * size + 1);

    if (!text)
        return NULL;
    for (size_t i = 0; i < size; i++) {
        text[2 * i] = digits[bytes[i] >> 4];
        text[2 * i + 1] = digits[bytes[i] & 15];
    }
    return json_object_new_string_len(text, (int)(2 * size));
}

/* Bytes up to the NULs that fill the rest. */
static size_t text_length(const uint8_t *bytes, size_t size)
{
    while (size > 0 && !bytes[size - 1])
        size--;
    return size;
}

struct json_object *element_show_text(const uint8_t *bytes, size_t size)
{
    size_t length = text_length(bytes, size), at = 0;
    _cleanup_free_ char *text = malloc(4 * length + 1);

    if (!text)
        return NULL;
    for (size_t i = 0; i < length;) {
        size_t sequence = message_utf8_sequence(bytes + i, length - i);
        bool control = bytes[i] < ' ' || bytes[i] == 0x7f || (bytes[i] == 0xc2 && sequence == 2 && bytes[i + 1] < 0xa0);

        if (sequence == 0 || control) {
            at += (size_t)sprintf(text + at, "\\x%02x", bytes[i++]);
            continue;
        }
        if (bytes[i] == '\\')
            text[at++] = '\\';
        memcpy(text + at, bytes + i, sequence);
        at += sequence;
        i += sequence;
    }
    return json_object_new_string_len(text, (int)at);
}

static struct json_object *show_number(const struct typed_place *place, const uint8_t *bytes)
{
    uint64_t number = typed_read(place, bytes);
    const char *name = place->type->kind == TYPED_ENUM ? typed_enumerator_name(place, number) : NULL;

    if (place->type->kind == TYPED_BOOL)
        return json_object_new_boolean(number != 0);
    if (name)
        return json_object_new_string(name);
    return typed_is_signed(place) ? json_object_new_int64((int64_t)number) : json_object_new_uint64(number);
}

static bool is_integer(const struct typed_place *place)
{
    return place->type->kind == TYPED_UNSIGNED || place->type->kind == TYPED_SIGNED;
}

static struct json_object *show_place(const struct typed_place *place, const uint8_t *bytes, bool sum, unsigned depth);

/* Of a sum, NULL where no number is in it. */
static struct json_object *show_members(const struct typed_place *place, const uint8_t *bytes, bool sum, unsigned depth)
{
    struct json_object *object = json_object_new_object();

    for (uint32_t i = 0; i < place->type->count; i++) {
        struct typed_place member = typed_member(place, i);
        struct json_object *value = show_place(&member, bytes, sum, depth + 1);

        if (value || !sum)
            json_object_object_add(object, typed_member_name(place, i), value);
    }
    if (sum && json_object_object_length(object) == 0) {
        json_object_put(object);
        return NULL;
    }
    return object;
}

static struct json_object *show_elements(const struct typed_place *place, const uint8_t *bytes, bool sum,
                                         unsigned depth)
{
    struct json_object *list = json_object_new_array();

    for (uint32_t i = 0; i < place->type->count; i++) {
        struct typed_place element = typed_element(place, i);
        struct json_object *value = show_place(&element, bytes, sum, depth + 1);

        if (!value && sum)
            break;                      /* all elements are of one type */
        json_object_array_add(list, value);
    }
    if (sum && place->type->count > 0 && json_object_array_length(list) == 0) {
        json_object_put(list);
        return NULL;
    }
    return list;
}

static struct json_object *show_place(const struct typed_place *place, const uint8_t *bytes, bool sum, unsigned depth)
{
    uint32_t kind = depth > ELEMENT_DEPTH_MAX ? TYPED_BYTES : place->type->kind;

    if (kind == TYPED_STRUCT || (kind == TYPED_UNION && !sum))
        return show_members(place, bytes, sum, depth);
    if (kind == TYPED_ARRAY)
        return show_elements(place, bytes, sum, depth);
    if (sum && !(is_integer(place) && depth <= ELEMENT_DEPTH_MAX))
        return NULL;
    if (kind == TYPED_TEXT)
        return element_show_text(bytes + typed_byte(place), place->type->size);
    if (kind == TYPED_BYTES || kind == TYPED_UNION)
        return element_show_hex(bytes + typed_byte(place), place->type->size);
    return show_number(place, bytes);
}

static struct json_object *show(const struct typed *typed, const uint8_t *bytes, bool sum)
{
    struct typed_place whole = typed_whole(typed);
    struct json_object *value = show_place(&whole, bytes, sum, 1), *object;

    if (whole.type->kind == TYPED_STRUCT || whole.type->kind == TYPED_UNION || !value)
        return value;
    object = json_object_new_object();
    json_object_object_add(object, "value", value);
    return object;
}

struct json_object *element_show(const struct typed *typed, const uint8_t *bytes)
{
    return show(typed, bytes, false);
}

struct json_object *element_show_sum(const struct typed *typed, const uint8_t *sum)
{
    return show(typed, sum, true);
}

static void add_place(const struct typed_place *place, uint8_t *sum, const uint8_t *bytes)
{
    uint64_t mask = place->bits < 64 ? (UINT64_C(1) << place->bits) - 1 : UINT64_MAX, number;

    for (uint32_t i = 0; place->type->kind == TYPED_STRUCT && i < place->type->count; i++) {
        struct typed_place member = typed_member(place, i);

        add_place(&member, sum, bytes);
    }
    for (uint32_t i = 0; place->type->kind == TYPED_ARRAY && i < place->type->count; i++) {
        struct typed_place element = typed_element(place, i);

        add_place(&element, sum, bytes);
    }
    if (!is_integer(place))
        return;
    number = (typed_read(place, sum) + typed_read(place, bytes)) & mask;
    if (typed_is_signed(place) && number > mask >> 1)
        number |= ~mask;
    typed_write(place, sum, number, typed_is_signed(place) && (int64_t)number < 0);
}

void element_add(const struct typed *typed, uint8_t *sum, const uint8_t *bytes)
{
    struct typed_place whole = typed_whole(typed);

    add_place(&whole, sum, bytes);
}

struct json_object *element_show_type(const struct typed *typed)
{
    struct json_object *object = json_object_new_object(), *members = json_object_new_array();
    struct typed_place whole = typed_whole(typed);
    bool named = whole.type->kind == TYPED_STRUCT || whole.type->kind == TYPED_UNION;
    char text[1024];

    for (uint32_t i = 0; named && i < whole.type->count; i++)
        json_object_array_add(members, json_object_new_string(typed_member_name(&whole, i)));
    json_object_object_add(object, "text", json_object_new_string(typed_format(typed, text, sizeof(text))));
    json_object_object_add(object, "size", json_object_new_int64(typed_size(typed)));
    json_object_object_add(object, "members", members);
    return object;
}

/* ---- reading ------------------------------------------------------------------------------------------- */

struct reading {
    struct refusal *refusal;
    bool complete;
    uint8_t *value;
    char path[256];             /* of what is read now: "value.limits[3].rate"; cut off if longer */
};

#define REFUSE(reading, ...) refuse_parameter((reading)->refusal, (reading)->path, __VA_ARGS__)

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' :
           c >= 'a' && c <= 'f' ? c - 'a' + 10 :
           c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int element_read_hex(const char *text, size_t size, const char *parameter, uint8_t *ret, struct refusal *refusal)
{
    size_t length = strlen(text);

    for (size_t i = 0; i < length; i++)
        if (hex_digit(text[i]) < 0)
            return refuse_parameter(refusal, parameter, "'%.40s' is not hexadecimal digits", text);
    if (length != 2 * size)
        return refuse_parameter(refusal, parameter, "%zu bytes are %zu hexadecimal digits, these are %zu", size,
                                2 * size, length);
    for (size_t i = 0; i < size; i++)
        ret[i] = (uint8_t)(hex_digit(text[2 * i]) << 4 | hex_digit(text[2 * i + 1]));
    return 0;
}

bool element_read_number(const char *text, uint64_t *ret, bool *ret_negative)
{
    bool negative = *text == '-', hex;
    const char *at = text + negative;
    char *end;
    uint64_t number;

    hex = at[0] == '0' && (at[1] == 'x' || at[1] == 'X');
    at += hex ? 2 : 0;
    if (hex_digit(*at) < 0)
        return false;
    errno = 0;
    number = strtoull(at, &end, hex ? 16 : 10);
    if (errno || *end || (negative && number > (uint64_t)INT64_MAX + 1))
        return false;
    *ret_negative = negative && number > 0;
    *ret = negative ? 0 - number : number;
    return true;
}

/* A JSON number, or its text. */
static bool number_of(struct json_object *json, uint64_t *ret, bool *ret_negative)
{
    if (json_object_is_type(json, json_type_string))
        return element_read_number(json_object_get_string(json), ret, ret_negative);
    if (!json_object_is_type(json, json_type_int))
        return false;
    *ret_negative = json_object_get_int64(json) < 0;
    *ret = *ret_negative ? (uint64_t)json_object_get_int64(json) : json_object_get_uint64(json);
    return true;
}

static int refuse_range(struct reading *reading, const struct typed_place *place, const char *text)
{
    bool is_signed = typed_is_signed(place);
    uint64_t most = UINT64_MAX >> (64 - place->bits + is_signed);

    if (is_signed)
        return REFUSE(reading, "%.40s is outside %" PRId64 " to %" PRId64, text, -(int64_t)most - 1, (int64_t)most);
    return REFUSE(reading, "%.40s is outside 0 to %" PRIu64, text, most);
}

static int write_number(struct reading *reading, const struct typed_place *place, uint64_t number, bool negative,
                        const char *text)
{
    return typed_write(place, reading->value, number, negative) < 0 ? refuse_range(reading, place, text) : 0;
}

static int read_number(struct reading *reading, const struct typed_place *place, struct json_object *json)
{
    const char *text = json_object_get_string(json);
    uint64_t number;
    bool negative;

    if (!number_of(json, &number, &negative))
        return REFUSE(reading, "'%.40s' is not a whole number", text);
    return write_number(reading, place, number, negative, text);
}

static int read_bool(struct reading *reading, const struct typed_place *place, struct json_object *json)
{
    const char *text = json_object_get_string(json);
    bool is_true = !strcmp(text, "true") || !strcmp(text, "1");

    if (!is_true && strcmp(text, "false") && strcmp(text, "0"))
        return REFUSE(reading, "'%.40s' is neither true nor false", text);
    return write_number(reading, place, is_true, false, text);
}

static void enumerators_text(const struct typed_place *place, char *text, size_t size)
{
    size_t at = 0;

    *text = '\0';
    for (uint32_t i = 0; i < place->type->count && at < size; i++) {
        uint32_t name = place->typed->enumerator[place->type->first + i].name;

        at += (size_t)snprintf(text + at, size - at, "%s%s", i ? ", " : "", place->typed->string + name);
    }
}

static int read_enum(struct reading *reading, const struct typed_place *place, struct json_object *json)
{
    const char *text = json_object_get_string(json);
    uint64_t number;
    bool negative;
    char names[300];

    if (typed_find_enumerator(place, text, &number))
        return write_number(reading, place, number, typed_is_signed(place) && (int64_t)number < 0, text);
    if (number_of(json, &number, &negative))
        return write_number(reading, place, number, negative, text);
    enumerators_text(place, names, sizeof(names));
    return REFUSE(reading, "'%.40s' is none of: %s", text, names);
}

static int read_text(struct reading *reading, const struct typed_place *place, struct json_object *json)
{
    const char *at = json_object_get_string(json);
    uint8_t *ret = reading->value + typed_byte(place);
    size_t n = 0;

    if (!json_object_is_type(json, json_type_string))
        return REFUSE(reading, "'%.40s' is not text", at);
    while (*at) {
        bool hex = at[0] == '\\' && at[1] == 'x' && hex_digit(at[2]) >= 0 && hex_digit(at[3]) >= 0;

        if (*at == '\\' && !hex && at[1] != '\\')
            return REFUSE(reading, "after a backslash comes another one, or xNN in hexadecimal");
        if (n == place->type->size)
            return REFUSE(reading, "is longer than %u bytes", place->type->size);
        ret[n++] = hex ? (uint8_t)(hex_digit(at[2]) << 4 | hex_digit(at[3])) : (uint8_t)*at;
        at += hex ? 4 : *at == '\\' ? 2 : 1;
    }
    memset(ret + n, 0, place->type->size - n);
    return 0;
}

static int read_bytes(struct reading *reading, const struct typed_place *place, struct json_object *json)
{
    if (!json_object_is_type(json, json_type_string))
        return REFUSE(reading, "is %u bytes: give them as text of %u hexadecimal digits", place->type->size,
                      2 * place->type->size);
    return element_read_hex(json_object_get_string(json), place->type->size, reading->path,
                            reading->value + typed_byte(place), reading->refusal);
}

static int read_place(struct reading *reading, const struct typed_place *place, struct json_object *json,
                      unsigned depth);

/* Read a part, with its name at the end of the path. */
__attribute__((format(printf, 5, 6)))
static int read_part(struct reading *reading, const struct typed_place *part, struct json_object *json, unsigned depth,
                     const char *format, ...)
{
    size_t length = strlen(reading->path);
    va_list arguments;
    int r;

    va_start(arguments, format);
    vsnprintf(reading->path + length, sizeof(reading->path) - length, format, arguments);
    va_end(arguments);
    r = read_place(reading, part, json, depth + 1);
    reading->path[length] = '\0';
    return r;
}

/* The list in text that a command line has instead of one: "1,2,3".  The result is the caller's. */
static struct json_object *split_list(const char *text)
{
    struct json_object *list = json_object_new_array();

    for (;;) {
        size_t length = strcspn(text, ",");

        json_object_array_add(list, json_object_new_string_len(text, (int)length));
        if (!text[length])
            return list;
        text += length + 1;
    }
}

static int read_list(struct reading *reading, const struct typed_place *place, struct json_object *list, unsigned depth)
{
    size_t n = json_object_array_length(list);
    int r = 0;

    if (n > place->type->count || (reading->complete && n < place->type->count))
        return REFUSE(reading, "is a list of %u, not of %zu", place->type->count, n);
    for (uint32_t i = 0; r >= 0 && i < n; i++) {
        struct typed_place element = typed_element(place, i);

        r = read_part(reading, &element, json_object_array_get_idx(list, i), depth, "[%u]", i);
    }
    return r;
}

static int read_array(struct reading *reading, const struct typed_place *place, struct json_object *json,
                      unsigned depth)
{
    struct json_object *list;
    int r;

    if (json_object_is_type(json, json_type_array))
        return read_list(reading, place, json, depth);
    if (!json_object_is_type(json, json_type_string))
        return REFUSE(reading, "is a list of %u", place->type->count);
    list = split_list(json_object_get_string(json));
    r = read_list(reading, place, list, depth);
    json_object_put(list);
    return r;
}

static void members_text(const struct typed_place *place, char *text, size_t size)
{
    size_t at = 0;

    *text = '\0';
    for (uint32_t i = 0; i < place->type->count && at < size; i++)
        at += (size_t)snprintf(text + at, size - at, "%s%s", i ? ", " : "", typed_member_name(place, i));
}

/* Is there one that is not given? */
static int check_complete(struct reading *reading, const struct typed_place *place, struct json_object *json)
{
    for (uint32_t i = 0; reading->complete && place->type->kind == TYPED_STRUCT && i < place->type->count; i++)
        if (!json_object_object_get_ex(json, typed_member_name(place, i), NULL))
            return REFUSE(reading, "needs its member '%s' too", typed_member_name(place, i));
    return 0;
}

static int read_members(struct reading *reading, const struct typed_place *place, struct json_object *json,
                        unsigned depth)
{
    struct typed_place member;
    char names[300];
    int r;

    members_text(place, names, sizeof(names));
    if (!json_object_is_type(json, json_type_object))
        return REFUSE(reading, "is given by members: %s", names);
    if (place->type->kind == TYPED_UNION && json_object_object_length(json) > 1)
        return REFUSE(reading, "is a union: give one of %s", names);
    r = check_complete(reading, place, json);
    if (r < 0)
        return r;
    json_object_object_foreach(json, name, value) {
        if (!typed_find_member(place, name, &member))
            return REFUSE(reading, "has no member '%.40s'; it has: %s", name, names);
        r = read_part(reading, &member, value, depth, ".%s", name);
        if (r < 0)
            return r;
    }
    return 0;
}

static int read_place(struct reading *reading, const struct typed_place *place, struct json_object *json,
                      unsigned depth)
{
    if (!json)
        return REFUSE(reading, "is null");
    if (depth > ELEMENT_DEPTH_MAX)
        return read_bytes(reading, place, json);
    switch ((enum typed_kind)place->type->kind) {
    case TYPED_UNSIGNED:
    case TYPED_SIGNED:
        return read_number(reading, place, json);
    case TYPED_BOOL:
        return read_bool(reading, place, json);
    case TYPED_ENUM:
        return read_enum(reading, place, json);
    case TYPED_TEXT:
        return read_text(reading, place, json);
    case TYPED_ARRAY:
        return read_array(reading, place, json, depth);
    case TYPED_STRUCT:
    case TYPED_UNION:
        return read_members(reading, place, json, depth);
    case TYPED_BYTES:
        break;
    }
    return read_bytes(reading, place, json);
}

int element_read(const struct typed *typed, struct json_object *json, bool complete, const char *parameter,
                 uint8_t *ret, struct refusal *refusal)
{
    struct reading reading = { .refusal = refusal, .complete = complete, .value = ret };
    struct typed_place whole = typed_whole(typed);
    struct json_object *value = json;
    char text[200];

    snprintf(reading.path, sizeof(reading.path), "%s", parameter);
    if (whole.type->kind != TYPED_STRUCT && whole.type->kind != TYPED_UNION &&
        (json_object_object_length(json) != 1 || !json_object_object_get_ex(json, "value", &value)))
        return REFUSE(&reading, "has no members: it is one %s", typed_format(typed, text, sizeof(text)));
    memset(ret, 0, typed_size(typed));
    return read_place(&reading, &whole, value, 1);
}

/* ---- types --------------------------------------------------------------------------------------------- */

static bool read_array_type(const char *text, struct typed **ret)
{
    bool is_text = !strncmp(text, "char[", 5);
    unsigned long size;
    char *end;

    if (!is_text && strncmp(text, "u8[", 3))
        return false;
    text = strchr(text, '[') + 1;
    size = strtoul(text, &end, 10);
    if (*text < '1' || *text > '9' || strcmp(end, "]") || size > TYPED_SIZE_MAX)
        return false;
    *ret = typed_bytes((uint32_t)size);
    if (*ret && is_text)
        (*ret)->type[0].kind = TYPED_TEXT;
    return true;
}

int element_read_type(const char *text, const char *parameter, struct typed **ret, struct refusal *refusal)
{
    static const struct {
        const char *name;
        uint32_t size;
        bool is_signed;
    } integer[] = {
        { "u8", 1, false }, { "u16", 2, false }, { "u32", 4, false }, { "u64", 8, false },
        { "s8", 1, true }, { "s16", 2, true }, { "s32", 4, true }, { "s64", 8, true },
    };
    struct typed *typed = NULL;
    bool known = read_array_type(text, &typed);

    for (size_t i = 0; !known && i < ARRAY_LENGTH(integer); i++)
        if (!strcmp(text, integer[i].name)) {
            known = true;
            typed = typed_integer(integer[i].size, integer[i].is_signed);
        }
    if (!known)
        return refuse_parameter(refusal, parameter,
                                "'%.40s' is none of u8, u16, u32, u64, s8, s16, s32, s64, char[N], u8[N]", text);
    if (!typed)
        return refuse_memory(refusal);
    *ret = typed;
    return 0;
}
