/* SPDX-License-Identifier: MIT */
/* The typed description of a hook's context. */

#include "context.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool context_name_valid(const char *name, size_t room)
{
    size_t length = strnlen(name, room);

    if (length == 0 || length == room || length > CONTEXT_NAME_MAX)
        return false;
    for (size_t i = 0; i < length; i++) {
        char c = name[i];

        if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
              c == '_' || c == '.' || c == '-'))
            return false;
    }
    return true;
}

static bool size_valid(uint32_t size)
{
    return size == 1 || size == 2 || size == 4 || size == 8;
}

static int field_check(const struct context *context, const struct context_field *field,
                       struct jit_error *error)
{
    if (!context_name_valid(field->name, sizeof(field->name)))
        return jit_error_set(error, -EINVAL, "context",
                             "context \"%s\": the name of the field at offset %u is empty, "
                             "longer than %d bytes or has bytes other than [A-Za-z0-9_.-]",
                             context->name, field->offset, CONTEXT_NAME_MAX);
    if (!size_valid(field->size))
        return jit_error_set(error, -EINVAL, "context",
                             "context \"%s\": field \"%s\" has %u bytes; a field has 1, 2, 4 or 8",
                             context->name, field->name, field->size);
    if (field->offset % field->size != 0)
        return jit_error_set(error, -EINVAL, "context",
                             "context \"%s\": field \"%s\" of %u bytes is at offset %u, which "
                             "is not a multiple of its size",
                             context->name, field->name, field->size, field->offset);
    if (field->offset >= context->size || field->size > context->size - field->offset)
        return jit_error_set(
            error, -EINVAL, "context",
            "context \"%s\": field \"%s\" at offset %u ends outside the context of %u bytes",
            context->name, field->name, field->offset, context->size);
    if (field->rights < CONTEXT_READ || field->rights > CONTEXT_DATA_END)
        return jit_error_set(error, -EINVAL, "context",
                             "context \"%s\": field \"%s\" has unknown rights %d", context->name,
                             field->name, (int)field->rights);
    return 0;
}

/* Neighbours of the sorted fields: they may neither overlap nor have one name. */
static int fields_check(const struct context *context, struct jit_error *error)
{
    for (uint32_t i = 0; i < context->fields; i++) {
        const struct context_field *field = &context->field[i];

        if (i > 0 && field[-1].offset + field[-1].size > field->offset)
            return jit_error_set(error, -EINVAL, "context",
                                 "context \"%s\": fields \"%s\" and \"%s\" overlap", context->name,
                                 field[-1].name, field->name);
        for (uint32_t j = 0; j < i; j++)
            if (strcmp(context->field[j].name, field->name) == 0)
                return jit_error_set(error, -EINVAL, "context",
                                     "context \"%s\": two fields are named \"%s\"", context->name,
                                     field->name);
    }
    return 0;
}

/* Find the packet's pair: both or none, each once and of a pointer's size. */
static int packet_find(struct context *context, struct jit_error *error)
{
    context->data = context->data_end = -1;
    for (uint32_t i = 0; i < context->fields; i++) {
        const struct context_field *field = &context->field[i];
        int32_t *which;

        if (field->rights != CONTEXT_DATA && field->rights != CONTEXT_DATA_END)
            continue;
        which = field->rights == CONTEXT_DATA ? &context->data : &context->data_end;
        if (*which >= 0)
            return jit_error_set(error, -EINVAL, "context",
                                 "context \"%s\": \"%s\" and \"%s\" both delimit the packet; "
                                 "there can be one packet",
                                 context->name, context->field[*which].name, field->name);
        if (field->size != 8)
            return jit_error_set(error, -EINVAL, "context",
                                 "context \"%s\": field \"%s\" delimits the packet and must be "
                                 "a pointer of 8 bytes, not %u",
                                 context->name, field->name, field->size);
        *which = (int32_t)i;
    }
    if ((context->data < 0) != (context->data_end < 0))
        return jit_error_set(
            error, -EINVAL, "context",
            "context \"%s\": field \"%s\" delimits a packet whose other end is missing",
            context->name,
            context->field[context->data < 0 ? context->data_end : context->data].name);
    return 0;
}

static int compare_offsets(const void *a, const void *b)
{
    const struct context_field *x = a, *y = b;

    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static int context_check(struct context *context, struct jit_error *error)
{
    int r;

    for (uint32_t i = 0; i < context->fields; i++) {
        r = field_check(context, &context->field[i], error);
        if (r < 0)
            return r;
    }
    qsort(context->field, context->fields, sizeof(context->field[0]), compare_offsets);
    r = fields_check(context, error);
    if (r < 0)
        return r;
    return packet_find(context, error);
}

int context_new(const char *name, uint32_t size, const struct context_field *field, uint32_t fields,
                struct context **ret, struct jit_error *error)
{
    struct context *context;
    int r;

    if (!context_name_valid(name, CONTEXT_NAME_MAX + 1))
        return jit_error_set(error, -EINVAL, "context",
                             "the context's name is empty, longer than %d bytes or has bytes "
                             "other than [A-Za-z0-9_.-]",
                             CONTEXT_NAME_MAX);
    if (size == 0 || size > CONTEXT_SIZE_MAX)
        return jit_error_set(error, -EINVAL, "context",
                             "context \"%s\" has %u bytes; the limits are 1 and %d", name, size,
                             CONTEXT_SIZE_MAX);
    if (fields > CONTEXT_FIELDS_MAX)
        return jit_error_set(error, -EINVAL, "context",
                             "context \"%s\" has %u fields; the limit is %d", name, fields,
                             CONTEXT_FIELDS_MAX);
    context = calloc(1, sizeof(*context) + fields * sizeof(*field));
    if (!context)
        return -ENOMEM;
    strcpy(context->name, name);
    context->size = size;
    context->fields = fields;
    if (fields)
        memcpy(context->field, field, fields * sizeof(*field));
    r = context_check(context, error);
    if (r < 0) {
        context_free(context);
        return r;
    }
    *ret = context;
    return 0;
}

int context_new_arguments(const char *call, unsigned arguments, struct context **ret)
{
    unsigned fields = arguments < CONTEXT_ARGUMENTS_MAX ? arguments : CONTEXT_ARGUMENTS_MAX;
    struct context_field field[CONTEXT_ARGUMENTS_MAX];
    char name[CONTEXT_NAME_MAX + 1];

    if (snprintf(name, sizeof(name), CONTEXT_CALL_PREFIX "%s", call) >= (int)sizeof(name))
        return -EINVAL;
    for (unsigned i = 0; i < fields; i++) {
        field[i] = (struct context_field){ .offset = 8 * i, .size = 8, .rights = CONTEXT_READ };
        snprintf(field[i].name, sizeof(field[i].name), "argument_%u", i + 1);
    }
    return context_new(name, 8 * CONTEXT_ARGUMENTS_MAX, field, fields, ret, NULL);
}

bool context_is_arguments(const struct context *context)
{
    return context_name_is_arguments(context->name);
}

bool context_name_is_arguments(const char *name)
{
    return strncmp(name, CONTEXT_CALL_PREFIX, strlen(CONTEXT_CALL_PREFIX)) == 0;
}

int context_new_bytes(uint32_t size, struct context **ret, struct jit_error *error)
{
    struct context *context;

    if (size > CONTEXT_SIZE_MAX)
        return jit_error_set(error, -EINVAL, "context", "the context has %u bytes; the limit is %d", size,
                             CONTEXT_SIZE_MAX);
    context = calloc(1, sizeof(*context));
    if (!context)
        return -ENOMEM;
    strcpy(context->name, "bytes");
    context->size = size;
    context->data = context->data_end = -1;
    context->bytes = true;
    *ret = context;
    return 0;
}

struct context *context_free(struct context *context)
{
    free(context);
    return NULL;
}

static const char *rights_name(enum context_rights rights)
{
    switch (rights) {
    case CONTEXT_READ:
        return "read";
    case CONTEXT_WRITE:
        return "write";
    case CONTEXT_DATA:
        return "data";
    case CONTEXT_DATA_END:
        return "data_end";
    }
    return "unknown";
}

static bool field_equal(const struct context_field *x, const struct context_field *y)
{
    return strcmp(x->name, y->name) == 0 && x->offset == y->offset && x->size == y->size &&
           x->rights == y->rights;
}

bool context_equal(const struct context *a, const struct context *b, struct jit_error *error)
{
    if (strcmp(a->name, b->name) != 0) {
        jit_error_set(error, 0, "context", "the context is \"%s\" here and \"%s\" there", a->name,
                      b->name);
        return false;
    }
    if (a->size != b->size) {
        jit_error_set(error, 0, "context", "context \"%s\" has %u bytes here and %u there", a->name,
                      a->size, b->size);
        return false;
    }
    for (uint32_t i = 0; i < a->fields && i < b->fields; i++) {
        const struct context_field *x = &a->field[i], *y = &b->field[i];

        if (field_equal(x, y))
            continue;
        jit_error_set(error, 0, "context",
                      "context \"%s\" has field \"%s\" (offset %u, %u bytes, %s) here and "
                      "\"%s\" (offset %u, %u bytes, %s) there",
                      a->name, x->name, x->offset, x->size, rights_name(x->rights), y->name,
                      y->offset, y->size, rights_name(y->rights));
        return false;
    }
    if (a->fields != b->fields) {
        jit_error_set(error, 0, "context", "context \"%s\" has %u fields here and %u there",
                      a->name, a->fields, b->fields);
        return false;
    }
    return true;
}

const struct context_field *context_find(const struct context *context, uint32_t offset,
                                         uint32_t size)
{
    for (uint32_t i = 0; i < context->fields; i++) {
        const struct context_field *field = &context->field[i];

        if (offset >= field->offset && offset < field->offset + field->size &&
            size <= field->offset + field->size - offset)
            return field;
    }
    return NULL;
}
