/* SPDX-License-Identifier: MIT */
/*
 * From an object to machine code: check what may be checked without the verifier, then one
 * translation. The code is position-independent and refers to nothing outside itself: its bytes run
 * at any address.
 */
#ifndef JITCORE_COMPILER_H
#define JITCORE_COMPILER_H

#include <stddef.h>
#include <stdint.h>

#include "architecture.h"
#include "context.h"
#include "error.h"
#include "object.h"

/*
 * Machine code of one program. The entry is at offset 0: uint32_t (*)(void *context, uint32_t key).
 */
struct code {
    uint8_t *bytes;
    size_t size;                /* bytes */
};

/*
 * Compile `object` for hooks with this context.  The result's bytes are the caller's (free()).
 * -EINVAL with `error`: what the checks refuse (rules in checker.h); -EOPNOTSUPP: an instruction
 * that is not supported yet, by name; -ENOMEM; -E2BIG: code over the architecture's branch range.
 */
int compile(const struct object *object, const struct context *context,
            const struct architecture *architecture, struct code *ret, struct jit_error *error);

#endif
