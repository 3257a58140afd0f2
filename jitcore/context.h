/* SPDX-License-Identifier: MIT */
/*
 * The typed description of a hook's context: per field offset, size and rights, and which pair
 * delimits the packet.  Workers declare it, the verifier works from it.  Immutable
 * after context_new().
 */
#ifndef JITCORE_CONTEXT_H
#define JITCORE_CONTEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

#define CONTEXT_FIELDS_MAX 64
#define CONTEXT_SIZE_MAX 4096   /* bytes */
#define CONTEXT_NAME_MAX 63     /* bytes, without the NUL */

enum context_rights {           /* equal to enum dd_rights of the shared layout */
    CONTEXT_READ = 1,
    CONTEXT_WRITE = 2,
    CONTEXT_DATA = 3,
    CONTEXT_DATA_END = 4,
};

struct context_field {
    char name[CONTEXT_NAME_MAX + 1];
    uint32_t offset;            /* bytes */
    uint32_t size;              /* bytes: 1, 2, 4, 8 */
    enum context_rights rights;
};

struct context {
    char name[CONTEXT_NAME_MAX + 1];
    uint32_t size;              /* bytes */
    uint32_t fields;
    int32_t data, data_end;     /* index of the packet's fields, -1 if there is no packet */
    bool bytes;                 /* no fields: all of it may be read and written, in any size */
    struct context_field field[];       /* sorted by offset */
};

/*
 * Make a description from fields in any order.  Owned by the caller.  -EINVAL with `error`: a name
 * that is empty, too long or has other bytes than [A-Za-z0-9_.-]; a field outside the context,
 * misaligned or of another size; fields that overlap; half a packet pair or one that is not 8
 * bytes; too many.  -ENOMEM.
 */
int context_new(const char *name, uint32_t size, const struct context_field *field, uint32_t fields,
                struct context **ret, struct jit_error *error);

/*
 * The arguments of a static call, in the place of a context: programs get each of them as a number, as many as eBPF has
 * registers for.  Their name is that of the call behind CONTEXT_CALL_PREFIX.  Owned by the caller.  -EINVAL: the name
 * is too long; -ENOMEM.
 */
#define CONTEXT_CALL_PREFIX "call."
#define CONTEXT_ARGUMENTS_MAX 5

int context_new_arguments(const char *call, unsigned arguments, struct context **ret);

/* Is it one of these, then with a field for each argument?  By its name, as bytecode has it. */
bool context_is_arguments(const struct context *context);
bool context_name_is_arguments(const char *name);

/*
 * A context without a description, for tools that run programs of others: `size` bytes, perhaps 0,
 * which fit programs for any context.  Owned by the caller.  -EINVAL, -ENOMEM as above.
 */
int context_new_bytes(uint32_t size, struct context **ret, struct jit_error *error);

/*
 * May this be the name of a context or a field: 1 to CONTEXT_NAME_MAX bytes of [A-Za-z0-9_.-]?
 * `room`: bytes to look at.
 */
bool context_name_valid(const char *name, size_t room);

/* NULL is fine.  Returns NULL. */
struct context *context_free(struct context *context);

/*
 * The same description, field by field?  On a difference fill `error` (rule "context") with the
 * first one in words.
 */
bool context_equal(const struct context *a, const struct context *b, struct jit_error *error);

/* The field that covers exactly [offset, offset + size) or contains it; NULL if none does. */
const struct context_field *context_find(const struct context *context, uint32_t offset,
                                         uint32_t size);

#endif
