/* SPDX-License-Identifier: MIT */
/*
 * Machine code that runs in this process, with its regions beside it; for tests.  No page is ever writable and
 * executable at once: the code is written first, and made executable then.
 */
#ifndef JITCORE_MACHINE_H
#define JITCORE_MACHINE_H

#include <stddef.h>
#include <stdint.h>

#include "bytecode.h"
#include "compiler.h"

struct machine {
    uint64_t (*run)(void *context, uint64_t key);       /* all of R0 */
    uint8_t *memory[BYTECODE_REGIONS_MAX];              /* per region: its bytes; NULL: they are part of the code */
    uint8_t *base;                                      /* of the whole, */
    size_t size;                                        /* bytes */
};

/*
 * Place the code of `bytecode` and its regions, filled with their contents.  Undo with machine_clear().
 * -ENOMEM or what mmap() and mprotect() say; -ERANGE from code_relocate().
 */
int machine_load(const struct bytecode *bytecode, const struct code *code, struct machine *ret);

/* What is zeroed is fine. */
void machine_clear(struct machine *machine);

#endif
