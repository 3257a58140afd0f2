/* SPDX-License-Identifier: MIT */
/*
 * What an object's BTF says, with libbpf's reader: of the program's context, the members of the struct that it was
 * compiled against.  Nothing here trusts the bytes.
 */
#ifndef JITCORE_TYPES_H
#define JITCORE_TYPES_H

#include <stddef.h>
#include <stdint.h>

#include "context.h"
#include "error.h"

struct btf;
struct btf_type;

#define TYPES_FIELDS_MAX 512            /* members, those of nested structs included */

/* A member; those of a nested struct are named "outer.inner". Bit-fields are left out. */
struct types_field {
    char name[CONTEXT_NAME_MAX + 1];
    uint32_t offset;                    /* bytes */
    uint32_t size;                      /* bytes */
};

/*
 * Read the bytes of a section .BTF, which are only borrowed.  The result is the caller's (btf__free()).
 * -EINVAL with `error`, rule "btf": damaged.  -ENOMEM.
 */
int types_new(const void *bytes, size_t size, struct btf **ret, struct jit_error *error);

/* The type behind typedefs, const, volatile and the like; NULL if there is none. */
const struct btf_type *types_resolve(const struct btf *btf, uint32_t id);

/* A string of the BTF, hostile bytes; "" if there is none at this offset. */
const char *types_string(const struct btf *btf, uint32_t offset);

/* What is declared by this name in a section of this name, a variable or a function; NULL if there is none. */
const struct btf_type *types_find_declared(const struct btf *btf, const char *section, const char *name);

/* The variable (BTF_KIND_VAR) of this name that is in a section of this name; NULL if there is none. */
const struct btf_type *types_find_variable(const struct btf *btf, const char *section, const char *name);

/*
 * The members of the struct that `function`'s first parameter points to.  No function of that name
 * or no pointer to a struct: 0 and no fields.  *ret is the caller's (free()).
 * -EINVAL with `error`: rule "btf" (damaged), "context" (it points to another struct than
 * `context`), "limit".  -ENOMEM.
 */
int types_read_context(const struct btf *btf, const char *function, const char *context, struct types_field **ret,
                       uint32_t *ret_fields, struct jit_error *error);

#endif
