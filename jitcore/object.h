/* SPDX-License-Identifier: MIT */
/*
 * ELF objects from `clang -target bpf`: one program in a section "table/CONTEXT", the functions that it calls, and, where
 * the object has it, BTF.  Nothing here trusts the bytes.
 */
#ifndef JITCORE_OBJECT_H
#define JITCORE_OBJECT_H

#include <stddef.h>
#include <stdint.h>

#include "context.h"
#include "error.h"
#include "instruction.h"

#define OBJECT_SIZE_MAX (4u << 20)      /* bytes */

/* A function: instructions [first, first + count) of the object. Function 0 is the program. */
struct object_function {
    char name[64];
    uint32_t first, count;
};

struct object {
    char context[CONTEXT_NAME_MAX + 1]; /* from the section's name: "table/CONTEXT" */
    uint32_t instructions;
    uint32_t functions;
    struct instruction *instruction;    /* calls are resolved: imm = index of the called function */
    struct object_function *function;
    uint8_t digest[32];                 /* SHA-256 of the object's bytes */
};

/*
 * Read an object.  `bytes` are only borrowed.  The result is the caller's.
 * -EINVAL with `error`, rule: "elf" (no ELF, truncated, wrong class or byte order), "machine" (not BPF: compile with -target
 * bpf), "section" (no program section, several, empty, or of unknown kind), "relocation" (what the object refers to is not
 * there: maps, global data, helpers or kernel functions, by name), "instruction" (size not a multiple of 8, half an
 * instruction, jump out of its function), "limit".  -ENOMEM.
 */
int object_read(const void *bytes, size_t size, struct object **ret, struct jit_error *error);

/* NULL is fine.  Returns NULL. */
struct object *object_free(struct object *object);

#endif
