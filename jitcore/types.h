/* SPDX-License-Identifier: MIT */
/*
 * What an object's BTF says of the program's context: the members of the struct that it was
 * compiled against. Nothing here trusts the bytes.
 */
#ifndef JITCORE_TYPES_H
#define JITCORE_TYPES_H

#include <stddef.h>
#include <stdint.h>

#include "context.h"
#include "error.h"

#define TYPES_FIELDS_MAX 512            /* members, those of nested structs included */

/* A member; those of a nested struct are named "outer.inner". Bit-fields are left out. */
struct types_field {
    char name[CONTEXT_NAME_MAX + 1];
    uint32_t offset;                    /* bytes */
    uint32_t size;                      /* bytes */
};

/*
 * The members of the struct that `function`'s first parameter points to.  No function of that name
 * or no pointer to a struct: 0 and no fields.  *ret is the caller's (free()).
 * -EINVAL with `error`: rule "btf" (damaged), "context" (it points to another struct than
 * `context`), "limit".  -ENOMEM.
 */
int types_read(const void *btf, size_t size, const char *function, const char *context,
               struct types_field **ret, uint32_t *ret_fields, struct jit_error *error);

#endif
