/* SPDX-License-Identifier: MIT */
/*
 * ELF objects from `clang -target bpf`: programs, each a function in a section "table/CONTEXT", what they call, their
 * data, and, where the object has it, BTF.  Nothing here trusts the bytes.
 *
 *      object_read()           what is in the file
 *      object_set()            any number of times: the value of a `const volatile` variable
 *      object_bytecode()       a program in canonical form, with all that it reaches and nothing else
 *
 * Not thread-safe: libbpf's print function is switched off meanwhile.
 */
#ifndef JITCORE_OBJECT_H
#define JITCORE_OBJECT_H

#include <stddef.h>
#include <stdint.h>

#include "bytecode.h"
#include "context.h"
#include "error.h"

#define OBJECT_SIZE_MAX (4u << 20)      /* bytes */
#define OBJECT_SECTIONS_MAX 4096
#define OBJECT_FUNCTIONS_MAX 4096

struct object_program {
    char name[BYTECODE_NAME_MAX + 1];     /* its function's: printable, no other program has it; cut off if longer */
    char context[CONTEXT_NAME_MAX + 1]; /* the hooks that it is for, from its section's name */
    uint32_t function;                  /* index into object->function */
};

struct object {
    uint32_t programs;                  /* at least one */
    struct object_program *program;     /* by section and place */
    char licence[BYTECODE_NAME_MAX + 1];  /* section "license", printable; "" if there is none */
    uint8_t digest[32];                 /* SHA-256 of the object's bytes, as read */

    struct object_file *file;           /* object_file.h */
    struct btf *btf;                    /* libbpf's; NULL if the object has none */
    uint32_t functions;
    struct object_function *function;   /* all, by section and place: linker.h */
};

/*
 * Read an object.  `bytes` are only borrowed.  The result is the caller's.
 * -EINVAL with `error`, rule: "elf" (no ELF, truncated, wrong class or byte order), "machine" (not BPF: compile with
 * -target bpf), "section" (no program, two of one name, code in a section of unknown kind), "instruction" (a function
 * that is not whole instructions), "btf" (damaged), "limit".  -ENOMEM.
 */
int object_read(const void *bytes, size_t size, struct object **ret, struct jit_error *error);

/*
 * The index of the program of this name; NULL: of the only one.
 * -EINVAL with `error`, rule "program": there is none, or several; it lists those that there are.
 */
int object_find(const struct object *object, const char *name, uint32_t *ret, struct jit_error *error);

/*
 * Give a `const volatile` variable another value than the source does.  `name` is a variable's, or leads on from one:
 * "ports[3]", "limits.burst".  `value` depends on its type: an integer in decimal or 0x form; for a bool also true and
 * false; for an enum one of its names; for an array of char a string, shorter than the array.
 * -EINVAL with `error`, rule "variable": no such variable, one that may change while the program runs, one whose type
 * cannot be set, a value that the type does not have; or "btf" (there is none: compile with -g).
 */
int object_set(struct object *object, const char *name, const char *value, struct jit_error *error);

/*
 * Program `program` of the object in canonical form.  The result is the caller's (bytecode_free()).  Its regions are
 * the sections of data that it refers to, by name.
 * -EINVAL, -EOPNOTSUPP, -E2BIG with `error`, rule: "relocation" (it refers to what is not there, by name), "map" (of a
 * map's definition), "native" (of a function of the workers'), "instruction" (a call that leads to no function),
 * "context" (BTF: it takes another struct than its section says), "btf" (damaged), "limit"; and what bytecode_check()
 * returns.  Of an error in an instruction also where that is in the source.  -ENOMEM.
 */
int object_bytecode(const struct object *object, uint32_t program, struct bytecode **ret, struct jit_error *error);

/* NULL is fine.  Returns NULL. */
struct object *object_free(struct object *object);

#endif
