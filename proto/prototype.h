/* SPDX-License-Identifier: MIT */
/*
 * Prototypes of functions whose arguments and result are integers and pointers, of arguments also pointers to such
 * functions, so that two spellings of one can be compared: `uint32_t (const struct request *, size_t n)` is
 * `u32(const request*,u64)`.
 */
#ifndef DISPATCHD_PROTOTYPE_H
#define DISPATCHD_PROTOTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROTOTYPE_BYTES 256             /* of a canonical prototype, with its NUL */
#define PROTOTYPE_ARGUMENTS_MAX 12      /* as many as DD_INVOKE takes */
#define PROTOTYPE_ARGUMENTS_IN_REGISTERS 6      /* the others are on the stack */

enum prototype_result { PROTOTYPE_VOID, PROTOTYPE_INTEGER, PROTOTYPE_BOOL, PROTOTYPE_POINTER };

struct prototype {
    enum prototype_result result;
    unsigned arguments;
    char text[PROTOTYPE_BYTES];         /* canonical */
};

/*
 * Read a prototype as C spells it; names of arguments and spaces do not matter, and what is canonical stays as it
 * is. -EINVAL: it is none, or has a type by value that is no integer of C, <stdint.h> or <stddef.h>; -E2BIG: too
 * long, too many arguments, or pointers to functions that take such, five deep.
 */
int prototype_read(const char *text, struct prototype *ret);

/* What is wrong with one that was not taken, and what to write instead: by the error. */
const char *prototype_mistake(int error);

/* What the directory of the shared layout calls a native: one that may block is another than one that does not. */
uint64_t prototype_native_digest(const char *name, const char *prototype, bool may_block);

/* That of all tables with this context (its name without `struct`). */
void prototype_of_table(const char *context, struct prototype *ret);

#endif
