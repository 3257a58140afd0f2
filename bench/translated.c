/* SPDX-License-Identifier: MIT */
/* From an object to code that can be called. */
#include "translated.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jitcore/compiler.h"
#include "jitcore/object.h"
#include "kernels/kernel.h"
#include "measure.h"

#define FIELD(name, rights) { #name, offsetof(struct kernel, name), sizeof(((struct kernel *)0)->name), rights }

struct context *kernel_context(void)
{
    static const struct context_field fields[] = {
        FIELD(data, CONTEXT_DATA),
        FIELD(data_end, CONTEXT_DATA_END),
        FIELD(result, CONTEXT_WRITE),
    };
    struct context *context;

    if (context_new("kernel", sizeof(struct kernel), fields, 3, &context, NULL) < 0)
        die("no memory");
    return context;
}

static uint8_t *read_file(const char *path, size_t *ret_size)
{
    uint8_t *bytes = malloc(OBJECT_SIZE_MAX);
    FILE *file = fopen(path, "rb");

    if (!bytes || !file)
        die("%s cannot be read", path);
    *ret_size = fread(bytes, 1, OBJECT_SIZE_MAX, file);
    fclose(file);
    return bytes;
}

struct bytecode *bytecode_load(const char *path, const char *program)
{
    struct jit_error error = { 0 };
    struct object *object = NULL;
    struct bytecode *bytecode = NULL;
    uint32_t number = 0;
    size_t size;
    uint8_t *bytes = read_file(path, &size);

    if (object_read(bytes, size, &object, &error) < 0 ||
        (program && object_find(object, program, &number, &error) < 0) ||
        object_bytecode(object, number, &bytecode, &error) < 0)
        die("%s: %s", path, error.text);
    object_free(object);
    free(bytes);
    return bytecode;
}

void translated_new(struct bytecode *bytecode, const struct context *context, struct translated *ret)
{
    struct translated translated = { .bytecode = bytecode };
    struct verified verified = { 0 };
    struct jit_error error = { 0 };
    struct code code = { 0 };
    uint64_t begin = thread_ns(), middle;

    if (verifier_run(bytecode, context, NULL, &verified, &translated.statistics, &error) < 0)
        die("%s: refused (%s): %s", bytecode->function[0].name, error.rule, error.text);
    middle = thread_ns();
    if (compile_verified(&verified, architecture_native(), &code, &error) < 0)
        die("%s: not compiled (%s): %s", bytecode->function[0].name, error.rule, error.text);
    translated.compile_ns = (double)(thread_ns() - middle);
    translated.verify_ns = (double)(middle - begin);
    if (machine_load(bytecode, &code, &translated.machine, &error) < 0)
        die("%s: no memory for its code", bytecode->function[0].name);
    translated.size = code.size;
    translated.run = (kernel_function *)(uintptr_t)translated.machine.arena.base;
    code_clear(&code);
    verified_clear(&verified);
    *ret = translated;
}

void translated_clear(struct translated *translated)
{
    machine_clear(&translated->machine);
    bytecode_free(translated->bytecode);
    *translated = (struct translated){ .bytecode = NULL };
}
