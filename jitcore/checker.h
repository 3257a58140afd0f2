/* SPDX-License-Identifier: MIT */
/*
 * What is proven of a program before it is translated.  Not a verifier: values are not tracked,
 * only where pointers point.  Proven at load: each instruction is well formed and supported,
 * control stays inside each function and ends in exit, calls are no deeper than 8 and not
 * recursive, and each access to the stack and the context is in bounds and of the right rights.
 * Everything else that is loaded is taken for packet memory and marked for a check in the generated
 * code.  Code that no path reaches is checked for its form only and not translated.  Not proven:
 * that the program ends, and that registers and stack are written before they are read.
 *
 * Rules (jit_error.rule), besides those of instruction.h:
 *      "jump"              leaves its function or leads into the second half of lddw
 *      "fall-through"      a path runs over the function's end
 *      "recursion"         a function that can call itself
 *      "call-depth"        more than CHECKER_DEPTH_MAX functions deep
 *      "stack-bounds"      outside the 512 bytes below R10
 *      "stack-variable"    at an offset of the stack that is not the same constant on all paths
 *      "stack-caller"      through a pointer to the stack of a calling function
 *      "context"           not inside a declared field, or without the right; or the object was
 *                          compiled against another layout, or is for another context
 *      "context-variable"  at an offset of the context that is not the same constant on all paths
 *      "packet"            other memory, for a context that has no packet
 *      "packet-store"      a store to other memory: the packet is read-only
 *      "limit"             too much to analyse
 */
#ifndef JITCORE_CHECKER_H
#define JITCORE_CHECKER_H

#include <stdbool.h>
#include <stdint.h>

#include "context.h"
#include "error.h"
#include "object.h"

/*
 * Functions on the stack at once: with 512 bytes each and what the native frames need, less than
 * 5 KiB of the worker's stack.
 */
#define CHECKER_DEPTH_MAX 8

enum checked_mark {
    MARK_REACHED = 1 << 0,      /* to be translated */
    MARK_PACKET = 1 << 1,       /* a load to be checked when it runs; if that fails, it ends */
};

/* A program with what is known of it. For a back end to read. */
struct checked_program {
    const struct object *object;        /* borrowed */
    uint8_t *mark;                      /* per instruction of the object: enum checked_mark */
    uint32_t *stack;                    /* per function: bytes below R10 that it uses */
    bool packet;                        /* some load is marked MARK_PACKET */
    uint32_t data, data_end;            /* if so: offsets in the context of its two pointers */
};

/*
 * Check `object` for hooks with this context; both are borrowed, `object` for as long as the result
 * is used.  Undo with checked_program_clear().
 * -EINVAL, -EOPNOTSUPP with `error` as above; -ENOMEM.
 */
int checker_run(const struct object *object, const struct context *context,
                struct checked_program *ret, struct jit_error *error);

/* What is zeroed is fine. */
void checked_program_clear(struct checked_program *program);

#endif
