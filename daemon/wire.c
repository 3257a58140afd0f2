/* SPDX-License-Identifier: MIT */
#include "wire.h"

#include <stdlib.h>
#include <string.h>

/* ---- writing ------------------------------------------------------------------------------------------- */

static bool reserve(struct wire_writer *writer, size_t size)
{
    size_t wanted = writer->capacity ? writer->capacity : 256;
    uint8_t *larger;

    if (writer->failed)
        return false;
    while (wanted - writer->size < size)
        wanted *= 2;
    if (wanted == writer->capacity)
        return true;
    larger = realloc(writer->bytes, wanted);
    if (!larger) {
        writer->failed = true;
        return false;
    }
    writer->bytes = larger;
    writer->capacity = wanted;
    return true;
}

void wire_append(struct wire_writer *writer, const void *bytes, size_t size)
{
    if (size == 0 || !reserve(writer, size))
        return;
    memcpy(writer->bytes + writer->size, bytes, size);
    writer->size += size;
}

void wire_put_number(struct wire_writer *writer, uint64_t number)
{
    wire_append(writer, &number, sizeof(number));
}

void wire_put_bytes(struct wire_writer *writer, const void *bytes, size_t size)
{
    wire_put_number(writer, size);
    wire_append(writer, bytes, size);
}

void wire_put_text(struct wire_writer *writer, const char *text)
{
    const char *written = text ? text : "";

    wire_put_bytes(writer, written, strlen(written) + 1);
}

/* ---- reading ------------------------------------------------------------------------------------------- */

static const void *fail(struct wire_reader *reader)
{
    reader->failed = true;
    reader->left = 0;
    return NULL;
}

static const void *take(struct wire_reader *reader, uint64_t size)
{
    const void *taken = reader->at;

    if (reader->failed || size > reader->left)
        return fail(reader);
    reader->at += size;
    reader->left -= size;
    return taken;
}

uint64_t wire_number(struct wire_reader *reader, uint64_t maximum)
{
    const void *bytes = take(reader, sizeof(uint64_t));
    uint64_t number = 0;

    if (bytes)
        memcpy(&number, bytes, sizeof(number));
    if (number > maximum) {
        fail(reader);
        number = 0;
    }
    return number;
}

const void *wire_bytes(struct wire_reader *reader, size_t *ret_size)
{
    uint64_t size = wire_number(reader, SIZE_MAX);
    const void *bytes = take(reader, size);

    *ret_size = bytes ? size : 0;
    return bytes;
}

const char *wire_text(struct wire_reader *reader, size_t maximum)
{
    size_t size;
    const char *text = wire_bytes(reader, &size);

    if (text && size > 0 && size - 1 <= maximum && strnlen(text, size) == size - 1)
        return text;
    fail(reader);
    return "";
}

bool wire_complete(const struct wire_reader *reader)
{
    return !reader->failed && reader->left == 0;
}
