/* SPDX-License-Identifier: MIT */
/*
 * ELF objects from `clang -target bpf`: one program in a section "table/CONTEXT", the functions
 * that it calls, and, where the object has it, BTF.  Nothing here trusts the bytes.
 */
#ifndef JITCORE_OBJECT_H
#define JITCORE_OBJECT_H

#include <stddef.h>
#include <stdint.h>

#include "context.h"
#include "error.h"
#include "instruction.h"
#include "types.h"

#define OBJECT_SIZE_MAX (4u << 20)      /* bytes */
#define OBJECT_SECTIONS_MAX 4096
#define OBJECT_FUNCTIONS_MAX 256
#define OBJECT_INSTRUCTIONS_MAX 65536

/* A function: instructions [first, first + count) of the object. Function 0 is the program. */
struct object_function {
    char name[64];              /* printable; cut off if longer */
    uint32_t first, count;      /* count > 0 */
};

struct object {
    char context[CONTEXT_NAME_MAX + 1]; /* from the section's name: "table/CONTEXT" */
    uint32_t instructions;
    uint32_t functions;
    uint32_t fields;                    /* 0 without BTF, or if the program takes no struct */
    struct instruction *instruction;    /* local calls: imm = index of the function */
    struct object_function *function;   /* the program and all that it calls; none is dead */
    struct types_field *field;          /* the context as the object was compiled against it */
    uint8_t digest[32];                 /* SHA-256 of the object's bytes */
};

/*
 * Read an object.  `bytes` are only borrowed.  The result is the caller's.
 * -EINVAL with `error`, rule: "elf" (no ELF, truncated, wrong class or byte order), "machine" (not
 * BPF: compile with -target bpf), "section" (no program section, several, empty, or of unknown
 * kind), "relocation" (what the object refers to is not there: maps, global data or kernel
 * functions, by name), "instruction" (a function that is not whole instructions, a call that leads
 * to no function), "btf" (damaged), "context" (BTF: the program takes another struct than its
 * section says), "limit".  -ENOMEM.
 * What the instructions do is checked by checker.h.  Not thread-safe (libbpf's print function is
 * switched off meanwhile).
 */
int object_read(const void *bytes, size_t size, struct object **ret, struct jit_error *error);

/* NULL is fine.  Returns NULL. */
struct object *object_free(struct object *object);

#endif
