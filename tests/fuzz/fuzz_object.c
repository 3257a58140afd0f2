/* SPDX-License-Identifier: MIT */
/*
 * Fuzzing the way from an object's bytes to programs in canonical form: libelf, libbpf's BTF reader, configuration,
 * linking, maps and their types, source lines.  Besides what sanitizers find, it must hold that each program survives
 * the way to another process unchanged, and that what is refused has an error with a rule and a text of printable
 * ASCII.
 *
 * `make check` replays the corpus, `make fuzz FUZZ=object` goes on.
 */
#include <elf.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "object.h"
#include "object_file.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void check_error(int r, const struct jit_error *error)
{
    CHECK(r == -EINVAL || r == -EOPNOTSUPP || r == -E2BIG);
    CHECK(error->rule && error->text[0]);
    for (const char *c = error->text; *c; c++)
        CHECK(*c >= ' ' && *c <= '~');
}

/* All variables that there may be, with values of several types. */
static void try_set(struct object *object)
{
    static const char *const suffixes[] = { "", "[1]", ".low", ".ports[2]" };
    static const char *const values[] = { "1", "-1", "true", "PASS", "text" };

    for (uint32_t i = 0; i < object->file->symbols && i < 64; i++)
        for (size_t j = 0; object->file->symbol[i].type == STT_OBJECT && j < COUNT(suffixes); j++)
            for (size_t k = 0; k < COUNT(values); k++) {
                struct jit_error error = { 0 };
                char name[256];
                int r;

                snprintf(name, sizeof(name), "%s%s", object->file->symbol[i].name, suffixes[j]);
                r = object_set(object, name, values[k], &error);
                if (r < 0)
                    check_error(r, &error);
            }
}

static void try_program(const struct object *object, uint32_t program)
{
    struct jit_error error = { 0 };
    struct bytecode *bytecode, *decoded;
    void *bytes, *again;
    size_t size, again_size;
    int r = object_bytecode(object, program, &bytecode, &error);

    if (r < 0) {
        check_error(r, &error);
        return;
    }
    CHECK(bytecode_encode(bytecode, &bytes, &size) == 0);
    CHECK(bytecode_decode(bytes, size, &decoded, &error) == 0);
    CHECK(bytecode_encode(decoded, &again, &again_size) == 0);
    CHECK(size == again_size && memcmp(bytes, again, size) == 0);
    free(bytes);
    free(again);
    bytecode_free(bytecode);
    bytecode_free(decoded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct jit_error error = { 0 };
    struct object *object;
    int r = object_read(data, size, &object, &error);

    if (r < 0) {
        check_error(r, &error);
        return 0;
    }
    try_set(object);
    for (uint32_t i = 0; i < object->programs; i++)
        try_program(object, i);
    object_free(object);
    return 0;
}
