/* SPDX-License-Identifier: MIT */
/*
 * Machine code that runs in this process, with its regions and maps beside it; for tests.  No page is ever writable and
 * executable at once: the code is written first, and made executable then.
 */
#ifndef JITCORE_MACHINE_H
#define JITCORE_MACHINE_H

#include <stddef.h>
#include <stdint.h>

#include "bytecode.h"
#include "compiler.h"
#include "test_arena.h"

struct machine {
    uint64_t (*run)(void *context, uint64_t key);       /* all of R0 */
    struct test_arena arena;                            /* what it runs on; the code, the runtime and a linkage are in
                                                           its room */
};

/*
 * Place the code of `bytecode`, and make its regions.  Undo with machine_clear().  -ENOMEM or what mmap() and
 * mprotect() say; -ERANGE from code_relocate(); of test_arena_new() with `error`.
 */
int machine_load(const struct bytecode *bytecode, const struct code *code, struct machine *ret,
                 struct jit_error *error);

/* What is zeroed is fine. */
void machine_clear(struct machine *machine);

#endif
