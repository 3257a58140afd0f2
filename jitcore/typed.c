/* SPDX-License-Identifier: MIT */
/* The C type of a map's keys or values: what holds for each, its form as bytes and as text, values. */

#include "typed.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stream.h"
#include "typed_internal.h"

/* ---- memory ---- */

struct typed *typed_new(uint32_t types, uint32_t members, uint32_t enumerators, uint32_t strings)
{
    struct typed *typed = calloc(1, sizeof(*typed));

    if (!typed)
        return NULL;
    *typed = (struct typed){
        .types = types,
        .members = members,
        .enumerators = enumerators,
        .strings = strings,
        .type = calloc(types + 1ul, sizeof(*typed->type)),
        .member = calloc(members + 1ul, sizeof(*typed->member)),
        .enumerator = calloc(enumerators + 1ul, sizeof(*typed->enumerator)),
        .string = calloc(strings + 1ul, 1),
    };
    return typed->type && typed->member && typed->enumerator && typed->string ? typed : typed_free(typed);
}

struct typed *typed_free(struct typed *typed)
{
    if (!typed)
        return NULL;
    free(typed->type);
    free(typed->member);
    free(typed->enumerator);
    free(typed->string);
    free(typed);
    return NULL;
}

static struct typed *simple(enum typed_kind kind, uint32_t size)
{
    struct typed *typed = typed_new(1, 0, 0, 0);

    if (typed)
        typed->type[0] = (struct typed_type){ .kind = kind, .size = size };
    return typed;
}

struct typed *typed_integer(uint32_t size, bool is_signed)
{
    return simple(is_signed ? TYPED_SIGNED : TYPED_UNSIGNED, size);
}

struct typed *typed_bytes(uint32_t size)
{
    return simple(TYPED_BYTES, size);
}

/* ---- what holds for each ---- */

static bool is_number(const struct typed_type *type)
{
    return type->kind >= TYPED_UNSIGNED && type->kind <= TYPED_ENUM;
}

static bool is_compound(const struct typed_type *type)
{
    return type->kind == TYPED_STRUCT || type->kind == TYPED_UNION;
}

static bool name_valid(const struct typed *typed, uint32_t name)
{
    const char *text = &typed->string[name];
    size_t length;

    if (name >= typed->strings)
        return false;
    length = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_");
    return length > 0 && text[length] == '\0';
}

static bool is_range(uint32_t first, uint32_t count, uint32_t all)
{
    return first <= all && count <= all - first;
}

/* What is known of each type, from the last one to the first: those that it consists of stand behind it. */
struct survey {
    uint64_t leaves[TYPED_TYPES_MAX];   /* saturates just above the limit */
    uint32_t depth[TYPED_TYPES_MAX];
    bool used[TYPED_TYPES_MAX];         /* in another one */
};

/* Type `index` is in type `outer`, `count` times. */
static bool use_type(const struct typed *typed, struct survey *survey, uint32_t outer, uint32_t index, uint32_t count)
{
    if (index <= outer || index >= typed->types || survey->used[index])
        return false;
    survey->used[index] = true;
    survey->leaves[outer] += survey->leaves[index] * count;
    if (survey->depth[outer] <= survey->depth[index])
        survey->depth[outer] = survey->depth[index] + 1;
    return survey->leaves[outer] <= TYPED_LEAVES_MAX && survey->depth[outer] < TYPED_DEPTH_MAX;
}

static bool member_valid(const struct typed *typed, struct survey *survey, uint32_t outer,
                         const struct typed_member *member)
{
    const struct typed_type *type = &typed->type[member->type];

    return name_valid(typed, member->name) && use_type(typed, survey, outer, member->type, 1) &&
           (uint64_t)member->bit + member->bits <= (uint64_t)typed->type[outer].size * 8 &&
           member->bits <= type->size * 8 &&
           (is_number(type) ? member->bits > 0 : member->bits == type->size * 8 && member->bit % 8 == 0);
}

static bool members_valid(const struct typed *typed, struct survey *survey, uint32_t index)
{
    const struct typed_type *type = &typed->type[index];

    if (!is_range(type->first, type->count, typed->members))
        return false;
    for (uint32_t i = 0; i < type->count; i++)
        if (!member_valid(typed, survey, index, &typed->member[type->first + i]))
            return false;
    return true;
}

static bool enumerators_valid(const struct typed *typed, const struct typed_type *type)
{
    if (!is_range(type->first, type->count, typed->enumerators))
        return false;
    for (uint32_t i = 0; i < type->count; i++)
        if (!name_valid(typed, typed->enumerator[type->first + i].name))
            return false;
    return true;
}

static bool type_valid(const struct typed *typed, struct survey *survey, uint32_t index)
{
    const struct typed_type *type = &typed->type[index];

    if (type->size > TYPED_SIZE_MAX || (type->size == 0 && !is_compound(type)) || type->is_signed > 1)
        return false;
    survey->leaves[index] = is_compound(type) || type->kind == TYPED_ARRAY ? 0 : 1;
    switch (type->kind) {
    case TYPED_BYTES:
    case TYPED_TEXT:
        return true;
    case TYPED_UNSIGNED:
    case TYPED_SIGNED:
    case TYPED_BOOL:
        return typed_is_integer_size(type->size);
    case TYPED_ENUM:
        return typed_is_integer_size(type->size) && enumerators_valid(typed, type);
    case TYPED_ARRAY:
        return use_type(typed, survey, index, type->first, type->count) &&
               (uint64_t)typed->type[type->first].size * type->count == type->size;
    case TYPED_STRUCT:
    case TYPED_UNION:
        return members_valid(typed, survey, index);
    default:
        return false;
    }
}

bool typed_valid(const struct typed *typed)
{
    struct survey survey = { .used[0] = true };

    if (typed->types == 0 || typed->types > TYPED_TYPES_MAX || (typed->strings && typed->string[typed->strings - 1]))
        return false;
    for (uint32_t i = typed->types; i-- > 0;)
        if (!type_valid(typed, &survey, i))
            return false;
    for (uint32_t i = 0; i < typed->types; i++)
        if (!survey.used[i])
            return false;
    return true;
}

/* ---- bytes ---- */

static void transfer_counts(struct stream *stream, struct typed *typed)
{
    stream_number(stream, &typed->types);
    stream_number(stream, &typed->members);
    stream_number(stream, &typed->enumerators);
    stream_number(stream, &typed->strings);
}

static void transfer_body(struct stream *stream, struct typed *typed)
{
    for (uint32_t i = 0; i < typed->types; i++) {
        stream_number(stream, &typed->type[i].kind);
        stream_number(stream, &typed->type[i].size);
        stream_number(stream, &typed->type[i].first);
        stream_number(stream, &typed->type[i].count);
        stream_number(stream, &typed->type[i].is_signed);
    }
    for (uint32_t i = 0; i < typed->members; i++) {
        stream_number(stream, &typed->member[i].name);
        stream_number(stream, &typed->member[i].bit);
        stream_number(stream, &typed->member[i].bits);
        stream_number(stream, &typed->member[i].type);
    }
    for (uint32_t i = 0; i < typed->enumerators; i++) {
        stream_number(stream, &typed->enumerator[i].name);
        stream_long(stream, &typed->enumerator[i].number);
    }
    stream_bytes(stream, typed->string, typed->strings);
}

static void read_from(struct stream *stream, struct typed **ret)
{
    struct typed counts = { 0 };

    transfer_counts(stream, &counts);
    stream->failed |= counts.types > TYPED_TYPES_MAX || counts.members > TYPED_MEMBERS_MAX ||
                      counts.enumerators > TYPED_ENUMERATORS_MAX || counts.strings > TYPED_STRINGS_MAX;
    if (stream->failed)
        return;
    *ret = typed_new(counts.types, counts.members, counts.enumerators, counts.strings);
    stream->failed |= !*ret;
    if (stream->failed)
        return;
    transfer_body(stream, *ret);
    stream->failed |= !typed_valid(*ret);
    if (stream->failed)
        *ret = typed_free(*ret);
}

void typed_transfer(struct stream *stream, struct typed **typed)
{
    if (stream->reading) {
        read_from(stream, typed);
        return;
    }
    transfer_counts(stream, *typed);
    transfer_body(stream, *typed);
}

int typed_encode(const struct typed *typed, void **ret, size_t *ret_size)
{
    struct typed *source = (struct typed *)(uintptr_t)typed;    /* writing leaves it as it is */
    struct stream stream = { .size = 0 };

    typed_transfer(&stream, &source);
    stream = (struct stream){ .at = malloc(stream.position), .size = stream.position };
    if (!stream.at)
        return -ENOMEM;
    typed_transfer(&stream, &source);
    *ret = stream.at;
    *ret_size = stream.size;
    return 0;
}

int typed_decode(const void *bytes, size_t size, struct typed **ret)
{
    struct stream stream = { .at = (uint8_t *)(uintptr_t)bytes, .size = size, .reading = true };
    struct typed *typed = NULL;

    typed_transfer(&stream, &typed);
    if (!typed || stream.position != size) {
        typed_free(typed);
        return -EINVAL;
    }
    *ret = typed;
    return 0;
}

struct typed *typed_copy(const struct typed *typed)
{
    struct typed *copy = typed ? typed_new(typed->types, typed->members, typed->enumerators, typed->strings) : NULL;

    if (!copy)
        return NULL;
    memcpy(copy->type, typed->type, typed->types * sizeof(*typed->type));
    memcpy(copy->member, typed->member, typed->members * sizeof(*typed->member));
    memcpy(copy->enumerator, typed->enumerator, typed->enumerators * sizeof(*typed->enumerator));
    memcpy(copy->string, typed->string, typed->strings);
    return copy;
}

static bool enumerators_equal(const struct typed *a, const struct typed *b)
{
    for (uint32_t i = 0; i < a->enumerators; i++)
        if (a->enumerator[i].name != b->enumerator[i].name || a->enumerator[i].number != b->enumerator[i].number)
            return false;
    return true;
}

/* Equal types are made in the same order, names included. */
bool typed_equal(const struct typed *a, const struct typed *b)
{
    return a->types == b->types && a->members == b->members && a->enumerators == b->enumerators &&
           a->strings == b->strings && memcmp(a->type, b->type, a->types * sizeof(*a->type)) == 0 &&
           memcmp(a->member, b->member, a->members * sizeof(*a->member)) == 0 && enumerators_equal(a, b) &&
           memcmp(a->string, b->string, a->strings) == 0;
}

/* ---- text ---- */

struct text {
    char *buffer;
    size_t size, used;
};

__attribute__((format(printf, 2, 3)))
static void append(struct text *text, const char *format, ...)
{
    va_list arguments;
    int length;

    if (text->used + 1 >= text->size)
        return;
    va_start(arguments, format);
    length = vsnprintf(text->buffer + text->used, text->size - text->used, format, arguments);
    va_end(arguments);
    text->used += length > 0 ? (size_t)length : 0;
}

static void format_type(struct text *text, const struct typed *typed, const struct typed_type *type);

static void format_members(struct text *text, const struct typed *typed, const struct typed_type *type)
{
    append(text, "%s {", type->kind == TYPED_UNION ? "union" : "struct");
    for (uint32_t i = 0; i < type->count; i++) {
        const struct typed_member *member = &typed->member[type->first + i];
        const struct typed_type *inner = &typed->type[member->type];

        append(text, " ");
        /* An array's sizes stand behind the name. */
        while (inner->kind == TYPED_ARRAY)
            inner = &typed->type[inner->first];
        format_type(text, typed, inner);
        append(text, " %s", &typed->string[member->name]);
        for (const struct typed_type *array = &typed->type[member->type]; array->kind == TYPED_ARRAY;
             array = &typed->type[array->first])
            append(text, "[%u]", array->count);
        if (inner->kind == TYPED_TEXT || inner->kind == TYPED_BYTES)
            append(text, "[%u]", inner->size);
        else if (member->bits < typed->type[member->type].size * 8)
            append(text, ":%u", member->bits);
        append(text, ";");
    }
    append(text, " }");
}

static void format_enum(struct text *text, const struct typed *typed, const struct typed_type *type)
{
    append(text, "enum {");
    for (uint32_t i = 0; i < type->count; i++) {
        const struct typed_enumerator *enumerator = &typed->enumerator[type->first + i];
        const char *name = &typed->string[enumerator->name], *separator = i + 1 < type->count ? "," : "";

        if (type->is_signed)
            append(text, " %s = %lld%s", name, (long long)enumerator->number, separator);
        else
            append(text, " %s = %llu%s", name, (unsigned long long)enumerator->number, separator);
    }
    append(text, " }");
}

/* Without the sizes of arrays. */
static void format_type(struct text *text, const struct typed *typed, const struct typed_type *type)
{
    switch ((enum typed_kind)type->kind) {
    case TYPED_BYTES:
        append(text, "byte");
        break;
    case TYPED_UNSIGNED:
        append(text, "u%u", type->size * 8);
        break;
    case TYPED_SIGNED:
        append(text, "s%u", type->size * 8);
        break;
    case TYPED_BOOL:
        append(text, "bool");
        break;
    case TYPED_ENUM:
        format_enum(text, typed, type);
        break;
    case TYPED_TEXT:
        append(text, "char");
        break;
    case TYPED_ARRAY:
        format_type(text, typed, &typed->type[type->first]);
        break;
    case TYPED_STRUCT:
    case TYPED_UNION:
        format_members(text, typed, type);
        break;
    }
}

const char *typed_format(const struct typed *typed, char *buffer, size_t size)
{
    const struct typed_type *type = &typed->type[0];
    struct text text = { buffer, size, 0 };

    buffer[0] = '\0';
    format_type(&text, typed, type);
    for (; type->kind == TYPED_ARRAY; type = &typed->type[type->first])
        append(&text, "[%u]", type->count);
    if (type->kind == TYPED_TEXT || type->kind == TYPED_BYTES)
        append(&text, "[%u]", type->size);
    return buffer;
}

/* ---- values ---- */

struct typed_place typed_whole(const struct typed *typed)
{
    return (struct typed_place){ typed, &typed->type[0], 0, typed->type[0].size * 8 };
}

static const struct typed_member *member_at(const struct typed_place *place, uint32_t index)
{
    return &place->typed->member[place->type->first + index];
}

struct typed_place typed_member(const struct typed_place *place, uint32_t index)
{
    const struct typed_member *member = member_at(place, index);

    return (struct typed_place){ place->typed, &place->typed->type[member->type], place->bit + member->bit,
                                 member->bits };
}

struct typed_place typed_element(const struct typed_place *place, uint32_t index)
{
    const struct typed_type *element = &place->typed->type[place->type->first];

    return (struct typed_place){ place->typed, element, place->bit + index * element->size * 8, element->size * 8 };
}

const char *typed_member_name(const struct typed_place *place, uint32_t index)
{
    return &place->typed->string[member_at(place, index)->name];
}

bool typed_find_member(const struct typed_place *place, const char *name, struct typed_place *ret)
{
    for (uint32_t i = 0; is_compound(place->type) && i < place->type->count; i++)
        if (strcmp(typed_member_name(place, i), name) == 0) {
            *ret = typed_member(place, i);
            return true;
        }
    return false;
}

static const struct typed_enumerator *enumerator_at(const struct typed_place *place, uint32_t index)
{
    return &place->typed->enumerator[place->type->first + index];
}

static uint32_t enumerators(const struct typed_place *place)
{
    return place->type->kind == TYPED_ENUM ? place->type->count : 0;
}

const char *typed_enumerator_name(const struct typed_place *place, uint64_t number)
{
    for (uint32_t i = 0; i < enumerators(place); i++)
        if (enumerator_at(place, i)->number == number)
            return &place->typed->string[enumerator_at(place, i)->name];
    return NULL;
}

bool typed_find_enumerator(const struct typed_place *place, const char *name, uint64_t *ret)
{
    for (uint32_t i = 0; i < enumerators(place); i++)
        if (strcmp(&place->typed->string[enumerator_at(place, i)->name], name) == 0) {
            *ret = enumerator_at(place, i)->number;
            return true;
        }
    return false;
}

bool typed_is_signed(const struct typed_place *place)
{
    return place->type->kind == TYPED_SIGNED || (place->type->kind == TYPED_ENUM && place->type->is_signed);
}

uint64_t typed_read(const struct typed_place *place, const uint8_t *value)
{
    uint64_t number = 0;

    for (uint32_t i = 0; i < place->bits; i++)
        number |= (uint64_t)(value[(place->bit + i) / 8] >> (place->bit + i) % 8 & 1) << i;
    if (typed_is_signed(place) && place->bits < 64 && number >> (place->bits - 1))
        number |= UINT64_MAX << place->bits;
    return number;
}

static bool has_room(const struct typed_place *place, uint64_t number, bool negative)
{
    bool is_signed = typed_is_signed(place);
    uint64_t max = place->type->kind == TYPED_BOOL ? 1 : UINT64_MAX >> (64 - place->bits) >> is_signed;

    return negative ? is_signed && (int64_t)number < 0 && ~number <= max : number <= max;
}

int typed_write(const struct typed_place *place, uint8_t *value, uint64_t number, bool negative)
{
    if (!has_room(place, number, negative))
        return -ERANGE;
    for (uint32_t i = 0; i < place->bits; i++) {
        uint8_t *byte = &value[(place->bit + i) / 8], mask = (uint8_t)(1u << (place->bit + i) % 8);

        *byte = number >> i & 1 ? *byte | mask : *byte & (uint8_t)~mask;
    }
    return 0;
}
