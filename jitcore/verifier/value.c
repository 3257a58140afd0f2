/* SPDX-License-Identifier: MIT */
/* What the verifier knows of a register. */

#include "value.h"

#include <stdio.h>

struct value value_number(struct scalar number)
{
    return (struct value){ .type = VALUE_SCALAR, .number = number };
}

struct value value_unknown(void)
{
    return value_number(scalar_unknown());
}

struct value value_pointer(enum value_type type)
{
    return (struct value){ .type = (uint8_t)type, .number = scalar_constant(0) };
}

bool value_is_zero(const struct value *value)
{
    return value_is_number(value) && scalar_is_constant(&value->number) && value->number.tnum.value == 0;
}

static const struct {
    const char *name;           /* in a sentence */
    const char *word;           /* in a list of registers */
} types[] = {
    [VALUE_NOT_INIT] = { "nothing that was written", "not written" },
    [VALUE_SCALAR] = { "a number", "" },
    [VALUE_CTX] = { "a pointer to the context", "context" },
    [VALUE_STACK] = { "a pointer to the stack", "stack" },
    [VALUE_MAP] = { "a map", "map" },
    [VALUE_MAP_OR_NULL] = { "a map or NULL", "NULL or map" },
    [VALUE_MAP_VALUE] = { "a pointer to a map's or a variable's bytes", "bytes of" },
    [VALUE_MAP_VALUE_OR_NULL] = { "a pointer to a map's value or NULL", "NULL or bytes of" },
    [VALUE_MEMORY] = { "a pointer to memory", "memory" },
    [VALUE_MEMORY_OR_NULL] = { "a pointer to memory or NULL", "NULL or memory" },
    [VALUE_PACKET] = { "a pointer to the packet", "packet" },
    [VALUE_PACKET_END] = { "a pointer to the packet's end", "packet end" },
    [VALUE_FUNCTION] = { "a function", "function" },
};

const char *value_type_name(enum value_type type)
{
    return types[type].name;
}

/* Which object, in words. */
static int format_object(const struct value *value, const struct bytecode *bytecode, char *buffer, size_t size)
{
    const char *word = types[value->type].word;

    switch (value->type) {
    case VALUE_STACK:
        return snprintf(buffer, size, value->frame ? "%s of frame %u" : "%s", word, value->frame);
    case VALUE_MAP:
    case VALUE_MAP_OR_NULL:
    case VALUE_MAP_VALUE:
    case VALUE_MAP_VALUE_OR_NULL:
        return snprintf(buffer, size, "%s %s", word, bytecode->region[value->region].name);
    case VALUE_FUNCTION:
        return snprintf(buffer, size, "%s %s", word, bytecode->function[value->region].name);
    case VALUE_MEMORY:
    case VALUE_MEMORY_OR_NULL:
        return snprintf(buffer, size, "%s of %u bytes", word, value->size);
    default:
        return snprintf(buffer, size, "%s", word);
    }
}

const char *value_format(const struct value *value, const struct bytecode *bytecode, char buffer[VALUE_FORMAT_SIZE])
{
    char number[SCALAR_FORMAT_SIZE];
    int length;

    if (value_is_number(value))
        return scalar_format(&value->number, buffer);
    length = format_object(value, bytecode, buffer, VALUE_FORMAT_SIZE);
    if (value->offset)
        length += snprintf(buffer + length, VALUE_FORMAT_SIZE - (size_t)length, "%+d", value->offset);
    if (value_is_pointer(value) && !scalar_is_constant(&value->number))
        length += snprintf(buffer + length, VALUE_FORMAT_SIZE - (size_t)length, "+(%s)",
                           scalar_format(&value->number, number));
    if (value->type == VALUE_PACKET)
        snprintf(buffer + length, VALUE_FORMAT_SIZE - (size_t)length, " (range %u)", value->range);
    return buffer;
}
