/* SPDX-License-Identifier: MIT */
/* ELF objects from `clang -target bpf`: which functions and programs a file has, and a program with all its parts. */

#include "object.h"

#include <bpf/btf.h>
#include <elf.h>
#include <errno.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bytecode_check.h"
#include "context.h"
#include "lines.h"
#include "linker.h"
#include "object_file.h"
#include "types.h"
#include "variable.h"

#define TABLE_PREFIX "table/"
#define CALL_PREFIX "call/"
#define CODE_SECTION ".text"            /* and those with a suffix: functions that programs call */

_Static_assert(sizeof(((struct object *)0)->digest) == SHA256_DIGEST_SIZE, "SHA-256");

/* ---- functions ---- */

static bool is_code(const struct object_section *section)
{
    return section->type == SHT_PROGBITS && section->flags & SHF_EXECINSTR && section->size > 0;
}

static const char *behind(const char *text, const char *prefix)
{
    size_t length = strlen(prefix);

    return strncmp(text, prefix, length) == 0 ? text + length : NULL;
}

/*
 * The context of a section's programs: that of tables, or the arguments of a static call.  NULL: there are no programs
 * in it; "": its name is too long.
 */
static const char *context_name(const struct object_section *section, char text[CONTEXT_NAME_MAX + 1])
{
    const char *table = behind(section->name, TABLE_PREFIX), *call = behind(section->name, CALL_PREFIX);

    if (!table && !call)
        return NULL;
    if (snprintf(text, CONTEXT_NAME_MAX + 1, "%s%s", call ? CONTEXT_CALL_PREFIX : "",
                 call ? call : table) > CONTEXT_NAME_MAX)
        text[0] = '\0';
    return text;
}

static int check_code(const struct object_section *section, struct jit_error *error)
{
    char text[CONTEXT_NAME_MAX + 1];
    const char *context = context_name(section, text);
    size_t length = strlen(CODE_SECTION);

    if (section->size % sizeof(struct instruction) != 0)
        return jit_error_set(error, -EINVAL, "instruction",
                             "section \"%s\" has %llu bytes, which is not a multiple of 8: half an instruction",
                             section->name, (unsigned long long)section->size);
    if (context && !context_name_valid(context, CONTEXT_NAME_MAX + 1))
        return jit_error_set(error, -EINVAL, "section",
                             "section \"%s\": a context's name has 1 to %d bytes of [A-Za-z0-9_.-]", section->name,
                             CONTEXT_NAME_MAX);
    if (!context && (strncmp(section->name, CODE_SECTION, length) != 0 ||
                     (section->name[length] != '\0' && section->name[length] != '.')))
        return jit_error_set(error, -EINVAL, "section",
                             "section \"%s\" is of unknown kind; a program for a table is in section "
                             "\"table/CONTEXT\", one for a static call in section \"call/CALL\"",
                             section->name);
    return 0;
}

static int add_function(struct object *object, const struct object_symbol *symbol, struct jit_error *error)
{
    const struct object_section *section = &object->file->section[symbol->section];

    if (symbol->size == 0 || symbol->size % 8 != 0 || symbol->value % 8 != 0 || symbol->value > section->size ||
        symbol->size > section->size - symbol->value)
        return jit_error_set(error, -EINVAL, "instruction",
                             "function %s is empty, not whole instructions or outside section \"%s\"", symbol->name,
                             section->name);
    if (object->functions == OBJECT_FUNCTIONS_MAX)
        return jit_error_set(error, -EINVAL, "limit", "the object has more than %d functions", OBJECT_FUNCTIONS_MAX);
    object->function[object->functions++] = (struct object_function){
        .name = symbol->name,
        .section = symbol->section,
        .first = (uint32_t)(symbol->value / 8),
        .count = (uint32_t)(symbol->size / 8),
    };
    return 0;
}

static int compare_functions_and_names(const void *a, const void *b)
{
    const struct object_function *x = a, *y = b;
    int order = linker_compare_functions(x, y);

    return order ? order : strcmp(x->name, y->name);
}

/* A function with several names (aliases) is one function, with the first of them. */
static void merge_aliases(struct object *object)
{
    struct object_function *function = object->function;
    uint32_t kept = 0;

    for (uint32_t i = 0; i < object->functions; i++)
        if (kept == 0 || linker_compare_functions(&function[kept - 1], &function[i]) != 0 ||
            function[kept - 1].count != function[i].count)
            function[kept++] = function[i];
    object->functions = kept;
}

/* Afterwards they are sorted and disjoint. */
static int check_functions(struct object *object, struct jit_error *error)
{
    qsort(object->function, object->functions, sizeof(*object->function), compare_functions_and_names);
    merge_aliases(object);
    for (uint32_t i = 1; i < object->functions; i++) {
        const struct object_function *function = &object->function[i];

        if (function->section == function[-1].section && function->first < function[-1].first + function[-1].count)
            return jit_error_set(error, -EINVAL, "instruction", "functions %s and %s overlap", function[-1].name,
                                 function->name);
    }
    return 0;
}

static int read_functions(struct object *object, struct jit_error *error)
{
    const struct object_file *file = object->file;
    int r = 0;

    object->function = calloc(file->symbols + 1ul, sizeof(*object->function));
    if (!object->function)
        return -ENOMEM;
    for (uint32_t i = 1; r == 0 && i < file->sections; i++)
        if (is_code(&file->section[i]))
            r = check_code(&file->section[i], error);
    for (uint32_t i = 1; r == 0 && i < file->symbols; i++)
        if (file->symbol[i].type == STT_FUNC && is_code(&file->section[file->symbol[i].section]))
            r = add_function(object, &file->symbol[i], error);
    return r < 0 ? r : check_functions(object, error);
}

/* ---- programs ---- */

static int add_program(struct object *object, uint32_t function, const char *context, struct jit_error *error)
{
    struct object_program *program = &object->program[object->programs];

    object_name(program->name, object->function[function].name);
    strcpy(program->context, context);          /* check_code() */
    program->function = function;
    for (uint32_t i = 0; i < object->programs; i++)
        if (strcmp(object->program[i].name, program->name) == 0)
            return jit_error_set(error, -EINVAL, "section",
                                 "two programs have the name %s (of which %d bytes count), for contexts \"%s\" and "
                                 "\"%s\"; rename one",
                                 program->name, BYTECODE_NAME_MAX, object->program[i].context, context);
    object->programs++;
    return 0;
}

static int read_programs(struct object *object, struct jit_error *error)
{
    int r = 0;

    object->program = calloc(object->functions + 1ul, sizeof(*object->program));
    if (!object->program)
        return -ENOMEM;
    for (uint32_t i = 0; r == 0 && i < object->functions; i++) {
        char text[CONTEXT_NAME_MAX + 1];
        const char *context = context_name(&object->file->section[object->function[i].section], text);

        if (context)
            r = add_program(object, i, context, error);
    }
    if (r == 0 && object->programs == 0)
        return jit_error_set(error, -EINVAL, "section",
                             "the object has no program: no section \"table/CONTEXT\" or \"call/CALL\" with a function "
                             "in it");
    return r;
}

static void read_licence(struct object *object)
{
    const struct object_section *section = &object->file->section[object_file_find(object->file, "license")];
    char text[sizeof(object->licence)] = "";

    if (!section->bytes)
        return;
    memcpy(text, section->bytes, section->size < sizeof(text) - 1 ? section->size : sizeof(text) - 1);
    for (size_t i = 0; text[i]; i++)
        object->licence[i] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
}

static int read_types(struct object *object, struct jit_error *error)
{
    const struct object_section *section = &object->file->section[object_file_find(object->file, ".BTF")];

    return section->bytes ? types_new(section->bytes, section->size, &object->btf, error) : 0;
}

static void digest(const void *bytes, size_t size, uint8_t ret[SHA256_DIGEST_SIZE])
{
    struct sha256_ctx context;

    sha256_init(&context);
    sha256_update(&context, size, bytes);
    sha256_digest(&context, SHA256_DIGEST_SIZE, ret);
}

int object_read(const void *bytes, size_t size, struct object **ret, struct jit_error *error)
{
    struct object *object = calloc(1, sizeof(*object));
    int r = object ? object_file_new(bytes, size, &object->file, error) : -ENOMEM;

    if (r == 0)
        r = read_functions(object, error);
    if (r == 0)
        r = read_programs(object, error);
    if (r == 0)
        r = read_types(object, error);
    if (r < 0) {
        object_free(object);
        return r;
    }
    read_licence(object);
    digest(bytes, size, object->digest);
    *ret = object;
    return 0;
}

struct object *object_free(struct object *object)
{
    if (!object)
        return NULL;
    object_file_free(object->file);
    btf__free(object->btf);
    free(object->function);
    free(object->program);
    free(object);
    return NULL;
}

/* ---- one of them ---- */

int object_find(const struct object *object, const char *name, uint32_t *ret, struct jit_error *error)
{
    char known[256] = "";
    size_t used = 0;

    for (uint32_t i = 0; i < object->programs; i++) {
        if (name ? strcmp(object->program[i].name, name) == 0 : object->programs == 1) {
            *ret = i;
            return 0;
        }
        if (used < sizeof(known) - 1)
            used += (size_t)snprintf(known + used, sizeof(known) - used, "%s%s", i > 0 ? ", " : "",
                                     object->program[i].name);
    }
    if (name)
        return jit_error_set(error, -EINVAL, "program", "the object has no program %s; it has: %s", name, known);
    return jit_error_set(error, -EINVAL, "program", "the object has several programs, name one of them: %s", known);
}

int object_set(struct object *object, const char *name, const char *value, struct jit_error *error)
{
    struct variable variable;
    int r = variable_find(object, name, &variable, error);

    if (r < 0)
        return r;
    return variable_encode(object, &variable, name, value,
                           object->file->section[variable.section].bytes + variable.offset, error);
}

/* What is linked so far has its lines, too.  What is wrong with those is not what the program is refused for. */
static int refuse_linking(const struct object *object, const uint32_t *origin, struct bytecode *bytecode, int result,
                          struct jit_error *error)
{
    if (result != -ENOMEM && lines_read(object, origin, bytecode, NULL) == 0)
        bytecode_locate(bytecode, error);
    return result;
}

static int make_bytecode(const struct object *object, const struct object_program *program, struct bytecode *bytecode,
                         struct jit_error *error)
{
    uint32_t origin[BYTECODE_FUNCTIONS_MAX];
    int r;

    strcpy(bytecode->context, program->context);
    r = linker_run(object, program->function, bytecode, origin, error);
    if (r < 0)
        return refuse_linking(object, origin, bytecode, r, error);
    if (object->btf && !context_name_is_arguments(program->context))
        r = types_read_context(object->btf, object->function[program->function].name, program->context,
                               &bytecode->field, &bytecode->fields, error);
    if (r == 0)
        r = lines_read(object, origin, bytecode, error);
    if (r == 0)
        r = bytecode_check(bytecode, error);
    if (r < 0)
        bytecode_locate(bytecode, error);
    return r;
}

int object_bytecode(const struct object *object, uint32_t program, struct bytecode **ret, struct jit_error *error)
{
    struct bytecode *bytecode = calloc(1, sizeof(*bytecode));
    int r = bytecode ? make_bytecode(object, &object->program[program], bytecode, error) : -ENOMEM;

    if (r < 0) {
        bytecode_free(bytecode);
        return r;
    }
    *ret = bytecode;
    return 0;
}
