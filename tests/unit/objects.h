/* SPDX-License-Identifier: MIT */
/* For tests of the object reader: objects of tests/programs, whole and damaged. */
#ifndef TESTS_UNIT_OBJECTS_H
#define TESTS_UNIT_OBJECTS_H

#include "jit.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "object.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* `name`: of a source in tests/programs, with the kind of object: "several", "several.v3".  NULL: not built. */
static inline uint8_t *objects_bytes(const char *name, size_t *ret_size)
{
    char path[256];

    snprintf(path, sizeof(path), "tests/programs/%s.bpf.o", name);
    return jit_read_file("BUILD_DIR", path, ret_size);
}

/* Asserts that it is there and is read. */
static inline struct object *objects_read(const char *name)
{
    struct object *object = NULL;
    struct jit_error error = { 0 };
    size_t size;
    uint8_t *bytes = objects_bytes(name, &size);

    if (!bytes)
        fail_msg("%s is not there", name);
    if (object_read(bytes, size, &object, &error) < 0)
        fail_msg("%s: %s", name, error.text);
    free(bytes);                /* the object needs them no more */
    return object;
}

/* A program by name, NULL: the only one.  Asserts success, and that it survives the way to another process. */
static inline struct bytecode *objects_bytecode(const struct object *object, const char *name)
{
    struct jit_error error = { 0 };
    struct bytecode *bytecode = NULL, *decoded = NULL;
    uint32_t program;
    void *bytes;
    size_t size;

    if (object_find(object, name, &program, &error) < 0 || object_bytecode(object, program, &bytecode, &error) < 0)
        fail_msg("%s: %s", name ? name : "", error.text);
    assert_int_equal(bytecode_encode(bytecode, &bytes, &size), 0);
    if (bytecode_decode(bytes, size, &decoded, &error) < 0)
        fail_msg("%s: %s", name ? name : "", error.text);
    free(bytes);
    bytecode_free(bytecode);
    return decoded;
}

/* Read the object and make all its programs: 0, or the first error, which must have a rule and a printable text. */
static inline int objects_try(const uint8_t *bytes, size_t size, struct jit_error *error)
{
    uint8_t *exact = malloc(size ? size : 1);           /* for sanitizers */
    struct object *object = NULL;
    int r;

    assert_non_null(exact);
    memcpy(exact, bytes, size);
    r = object_read(exact, size, &object, error);
    free(exact);
    assert_int_equal(r == 0, object != NULL);
    for (uint32_t i = 0; r == 0 && i < object->programs; i++) {
        struct bytecode *bytecode = NULL;

        r = object_bytecode(object, i, &bytecode, error);
        assert_int_equal(r == 0, bytecode != NULL);
        bytecode_free(bytecode);
    }
    object_free(object);
    if (r < 0) {
        assert_true(r == -EINVAL || r == -EOPNOTSUPP || r == -E2BIG);
        assert_true(error->rule && error->text[0]);
        for (const char *c = error->text; *c; c++)
            assert_true(*c >= ' ' && *c <= '~');
    }
    return r;
}

/* `what` is refused with this rule and a text that holds this one. */
static inline void objects_refused(const char *what, const uint8_t *bytes, size_t size, const char *rule,
                                   const char *text)
{
    struct jit_error error = { 0 };
    int r = objects_try(bytes, size, &error);

    if (r == 0 || strcmp(error.rule, rule) != 0 || !strstr(error.text, text))
        fail_msg("%s: %d, rule \"%s\" (not \"%s\"), \"%s\" (not \"...%s...\")", what, r, error.rule ? error.rule : "",
                 rule, error.text, text);
}

/* A section's header in the bytes of an object.  They are aligned as malloc() does. */
static inline Elf64_Shdr *objects_section(uint8_t *bytes, const char *name)
{
    Elf64_Ehdr *header = (Elf64_Ehdr *)(void *)bytes;
    Elf64_Shdr *section = (Elf64_Shdr *)(void *)(bytes + header->e_shoff);
    const char *names = (const char *)bytes + section[header->e_shstrndx].sh_offset;

    for (unsigned i = 1; i < header->e_shnum; i++)
        if (strcmp(names + section[i].sh_name, name) == 0)
            return &section[i];
    fail_msg("the object has no section %s", name);
    abort();                    /* it does not return, which compilers do not know */
}

/* A symbol in the bytes of an object. */
static inline Elf64_Sym *objects_symbol(uint8_t *bytes, const char *name)
{
    const Elf64_Shdr *table = objects_section(bytes, ".symtab"), *strings = objects_section(bytes, ".strtab");
    Elf64_Sym *symbol = (Elf64_Sym *)(void *)(bytes + table->sh_offset);

    for (size_t i = 0; i < table->sh_size / sizeof(*symbol); i++)
        if (strcmp((char *)bytes + strings->sh_offset + symbol[i].st_name, name) == 0)
            return &symbol[i];
    fail_msg("the object has no symbol %s", name);
    abort();
}

#endif
