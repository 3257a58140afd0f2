/* SPDX-License-Identifier: MIT */
/*
 * From a program to machine code: verify, then one translation.  The code is position-independent: its bytes run at any
 * address, apart from the distances to what lies outside (data, maps, the runtime, the linkage), which are filled in
 * where the code is placed.
 */
#ifndef JITCORE_COMPILER_H
#define JITCORE_COMPILER_H

#include <stddef.h>
#include <stdint.h>

#include "architecture.h"
#include "bytecode.h"
#include "context.h"
#include "error.h"
#include "verifier/verifier.h"

/*
 * Machine code of one program.  The entry is at offset 0: uint32_t (*)(void *context, uint32_t key).  Constant regions
 * (.rodata) follow the code in the same bytes, at multiples of 8.  It has no indirect branch, and is entered by a
 * direct jump only (from an entry's slot), so that no place in it needs a landing pad.
 */
struct code {
    uint8_t *bytes;
    size_t size;                /* bytes */
    struct code_relocation *relocation;
    size_t relocations;
};

/*
 * Verify and compile.  The result is the caller's (code_clear()).  -EINVAL, -E2BIG with `error`: what the verifier
 * refuses (rules in verifier.h); -EOPNOTSUPP: a helper that has no code yet, by name; -ENOMEM; -E2BIG: code over the
 * architecture's branch range.
 */
int compile(const struct bytecode *bytecode, const struct context *context, const struct architecture *architecture,
            const struct verifier_options *options, struct code *ret, struct jit_error *error);

/* Only translate what is proven already; errors as above, but for the verifier's. */
int compile_verified(const struct verified *verified, const struct architecture *architecture, struct code *ret,
                     struct jit_error *error);

/* Where what code refers to lies: image offsets. */
struct code_positions {
    const uint64_t *region;     /* per region: its bytes; of an array: its first value */
    const uint64_t *map;        /* per region: the descriptor, of those that are maps */
    const uint64_t *native;     /* per native of the program: the entry of its stub */
    uint64_t runtime;           /* the runtime's block of bytes */
    uint64_t linkage;           /* the linkage's first byte */
};

/*
 * Fill in the distances in a copy of the code at `write` that will run at image offset `final`.  Of the positions, only
 * those are read that the code refers to.  -ERANGE if one is out of reach; then nothing was written.
 */
int code_relocate(const struct code *code, uint8_t *write, uint64_t final, const struct code_positions *positions);

/* What is zeroed is fine. */
void code_clear(struct code *code);

#endif
