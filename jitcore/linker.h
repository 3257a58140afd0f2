/* SPDX-License-Identifier: MIT */
/*
 * Linking: from one function of an object to a program in canonical form, with the functions that calls and addresses
 * lead to and the data that it refers to.
 */
#ifndef JITCORE_LINKER_H
#define JITCORE_LINKER_H

#include <stdbool.h>
#include <stdint.h>

#include "bytecode.h"
#include "error.h"
#include "object.h"
#include "object_file.h"

/* A function of an object: whole instructions of a section with code, and no other function's. */
struct object_function {
    const char *name;           /* as the file has it: hostile bytes */
    uint32_t section;           /* index */
    uint32_t first, count;      /* instructions in its section; count > 0 */
};

/* Order of object->function, for qsort() and bsearch(). */
int linker_compare_functions(const void *a, const void *b);

/* Is the section data that programs may refer to (.rodata, .data, .bss, and those with a suffix), and of which kind? */
bool linker_region_kind(const struct object_section *section, enum bytecode_region_kind *ret);

/*
 * Fill the functions, instructions, regions and natives of `bytecode`, which says its context; its function 0 is
 * function `program` of the object.
 * `origin`: per function of the bytecode, its index in object->function.
 * Errors as object_bytecode(); then `bytecode` may be filled in part.
 */
int linker_run(const struct object *object, uint32_t program, struct bytecode *bytecode,
               uint32_t origin[BYTECODE_FUNCTIONS_MAX], struct jit_error *error);

#endif
