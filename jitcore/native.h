/* SPDX-License-Identifier: MIT */
/*
 * Functions of the workers' that programs call as helpers: what an object declares as
 *
 *      extern u32 checksum(const void *data, u32 size) __ksym;
 *
 * is what a worker offers to programs (DD_HELPER) under the same name and prototype.  Prototypes are in canonical form,
 * as proto/prototype.h has it: "u32(const void*,u32)".
 *
 * What may be passed is what the verifier can check by the prototype alone:
 *
 *      an integer              a number that the type has; of 32 and 64 bits: any
 *      a pointer, and behind it an integer     so many bytes that may be read and, without const, written
 *      a const pointer to the hook's context   the context
 *
 * The result is an integer, of which the verifier knows nothing, or void.
 */
#ifndef JITCORE_NATIVE_H
#define JITCORE_NATIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"

#define NATIVE_PROTOTYPE_SIZE 256       /* bytes, with the NUL */
#define NATIVE_ARGUMENTS_MAX 5

enum native_argument_kind {
    NATIVE_INTEGER,
    NATIVE_MEMORY,              /* pointer to bytes that are read; the next argument is a NATIVE_SIZE */
    NATIVE_MEMORY_WRITE,        /* that are read and written, likewise */
    NATIVE_SIZE,                /* integer: bytes of the argument before */
    NATIVE_CONTEXT,
};

struct native_argument {
    enum native_argument_kind kind;
    uint32_t bits;              /* INTEGER, SIZE: 1 (bool), 8, 16, 32, 64 */
    bool is_signed;
};

struct native_signature {
    uint32_t arguments;
    struct native_argument argument[NATIVE_ARGUMENTS_MAX];
    bool returns;               /* an integer, and not void: */
    struct native_argument result;      /* INTEGER: who calls it extends it to 64 bits */
};

/*
 * What a canonical prototype says, for programs with this context ("" for none).  The text is not trusted.
 * -EINVAL with `error`, rule "native": it is not canonical, or has what programs cannot pass, by its number.
 */
int native_parse(const char *prototype, const char *context, struct native_signature *ret, struct jit_error *error);

/*
 * The canonical prototype of function `name` that an object's BTF declares as __ksym.
 * -ENOENT: it does not.  -EINVAL with `error`, rule "native": it has a type that prototypes do not have.
 */
struct btf;
int native_from_btf(const struct btf *btf, const char *name, char ret[NATIVE_PROTOTYPE_SIZE], struct jit_error *error);

#endif
