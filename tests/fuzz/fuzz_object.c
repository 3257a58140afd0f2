/* SPDX-License-Identifier: MIT */
/*
 * Fuzzing the way from an object's bytes to machine code: libelf, libbpf's BTF reader, linking,
 * checking, translating. Hooks with a packet and without are tried.  Besides what sanitizers find,
 * it must hold that what is accepted becomes code, and that what is refused has an error with a
 * rule and a text of printable ASCII.
 *
 * `make check` replays the corpus; to fuzz, from the source tree, with B a build tree:
 *
 *      clang -g -O1 -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE -Ijitcore tests/fuzz/fuzz_object.c \
 *          jitcore/[a-z]*.c jitcore/x86_64/[a-z]*.c -lelf -lbpf -lnettle -o $B/fuzz
 *      mkdir $B/found; $B/fuzz -max_len=16384 $B/found tests/fuzz/corpus/object
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition)                                                              \
    do {                                                                              \
        if (!(condition)) {                                                           \
            fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition); \
            abort();                                                                  \
        }                                                                             \
    } while (0)

static void check_error(int r, const struct jit_error *error)
{
    CHECK(r == -EINVAL || r == -EOPNOTSUPP || r == -E2BIG);
    CHECK(error->rule && error->text[0]);
    for (const char *c = error->text; *c; c++)
        CHECK(*c >= ' ' && *c < 0x7f);
}

static void try_compile(const struct object *object, const struct context_field *field, uint32_t fields)
{
    struct jit_error error = { 0 };
    struct context *context;
    struct code code;
    int r;

    CHECK(context_new(object->context, 64, field, fields, &context, NULL) == 0);
    r = compile(object, context, architecture_find("x86_64"), &code, &error);
    if (r == 0) {
        CHECK(code.size > 0);
        free(code.bytes);
    } else {
        check_error(r, &error);
    }
    context_free(context);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct context_field fields[] = {
        { "data", 0, 8, CONTEXT_DATA },     { "data_end", 8, 8, CONTEXT_DATA_END },
        { "offset", 16, 8, CONTEXT_READ },  { "size", 24, 4, CONTEXT_READ },
        { "status", 28, 4, CONTEXT_WRITE }, { "value", 32, 8, CONTEXT_WRITE },
    };
    struct jit_error error = { 0 };
    struct object *object;
    int r = object_read(data, size, &object, &error);

    if (r < 0) {
        check_error(r, &error);
        return 0;
    }
    try_compile(object, fields, sizeof(fields) / sizeof(fields[0]));
    try_compile(object, fields + 2, sizeof(fields) / sizeof(fields[0]) - 2);
    object_free(object);
    return 0;
}
