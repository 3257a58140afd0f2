/* SPDX-License-Identifier: MIT */
/* Bytes of machine code under construction. */

#include "emitter.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

void emitter_init(struct emitter *emitter, void *buffer, size_t capacity, uint64_t final)
{
    *emitter = (struct emitter){ .buffer = buffer, .capacity = capacity, .final = final };
}

static void fail(struct emitter *emitter, int error)
{
    if (!emitter->error)
        emitter->error = error;
}

void emit_bytes(struct emitter *emitter, const void *bytes, size_t size)
{
    if (emitter->error)
        return;
    if (emitter->buffer) {
        if (size > emitter->capacity - emitter->size) {
            fail(emitter, -ENOSPC);
            return;
        }
        memcpy(emitter->buffer + emitter->size, bytes, size);
    }
    emitter->size += size;
}

void emit_8(struct emitter *emitter, uint8_t value)
{
    emit_bytes(emitter, &value, sizeof(value));
}

/* Both back ends that the design knows are little endian, and so is every host that runs them. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "values are emitted in the host's byte order");

void emit_32(struct emitter *emitter, uint32_t value)
{
    emit_bytes(emitter, &value, sizeof(value));
}

void emit_64(struct emitter *emitter, uint64_t value)
{
    emit_bytes(emitter, &value, sizeof(value));
}

uint64_t emitter_position(const struct emitter *emitter)
{
    return emitter->final + emitter->size;
}

static void patch(struct emitter *emitter, size_t at, const void *bytes, size_t size)
{
    if (emitter->error)
        return;
    assert(at <= emitter->size && emitter->size - at >= size);
    if (emitter->buffer)
        memcpy(emitter->buffer + at, bytes, size);
}

void emitter_patch_8(struct emitter *emitter, size_t at, uint8_t value)
{
    patch(emitter, at, &value, sizeof(value));
}

void emitter_patch_32(struct emitter *emitter, size_t at, uint32_t value)
{
    patch(emitter, at, &value, sizeof(value));
}

void emit_relative_32(struct emitter *emitter, uint64_t to)
{
    int64_t distance = (int64_t)(to - (emitter_position(emitter) + 4));

    if (distance != (int32_t)distance) {
        fail(emitter, -ERANGE);
        distance = 0;
    }
    emit_32(emitter, (uint32_t)distance);
}

void emit_relocation_32(struct emitter *emitter, enum relocation_kind kind, uint32_t index, int32_t addend)
{
    if (emitter->relocation && emitter->relocations == emitter->relocations_max)
        fail(emitter, -ENOSPC);
    if (emitter->error)
        return;
    if (emitter->relocation)
        emitter->relocation[emitter->relocations] =
            (struct code_relocation){ (uint32_t)emitter->size, kind, index, addend };
    emitter->relocations++;
    emit_32(emitter, 0);
}
