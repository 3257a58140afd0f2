/* SPDX-License-Identifier: MIT */
/*
 * Configuration: the `const volatile` variables of an object, found by name with their BTF types, and their values read
 * from text.
 */
#ifndef JITCORE_VARIABLE_H
#define JITCORE_VARIABLE_H

#include <stdint.h>

#include "error.h"
#include "object.h"

/* A variable, or an element or a member of one. */
struct variable {
    uint32_t section;           /* of the object's file: sealed, and has all its bytes */
    uint32_t type;              /* BTF */
    uint64_t offset, size;      /* bytes; inside the section */
};

/* Find by name: "port", "ports[3]", "limits.burst".  Errors as object_set(). */
int variable_find(const struct object *object, const char *name, struct variable *ret, struct jit_error *error);

/*
 * The bytes of a value, variable->size of them, little endian: what object_set() says.  `name` is for messages.  Errors
 * as object_set(); then nothing is written.
 */
int variable_encode(const struct object *object, const struct variable *variable, const char *name, const char *value,
                    uint8_t *ret, struct jit_error *error);

#endif
