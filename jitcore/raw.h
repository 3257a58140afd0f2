/* SPDX-License-Identifier: MIT */
/*
 * Instructions as they are written down elsewhere (test suites, the kernel's own tests) in canonical form: local calls
 * and callbacks are distances there, and nothing says where a function begins.
 */
#ifndef JITCORE_RAW_H
#define JITCORE_RAW_H

#include <stdbool.h>
#include <stdint.h>

#include "bytecode.h"

/* The helper that test suites call in programs that run unverified: it returns its first argument. */
#define RAW_HELPER 5

/*
 * Make a program of raw instructions.  In them a map or its value (lddw, source 1 and 2) is named by the index of its
 * region; `region` is copied.  A function begins at instruction 0 and wherever a call or a callback leads.
 * `helper`: RAW_HELPER may be called, by call and by callx of R1 to R5; it becomes a local function.  Otherwise callx
 * is refused.
 * The result is the caller's (bytecode_free()).  -ENOMEM, or the errors of bytecode_check().
 */
int raw_bytecode(const struct instruction *instruction, uint32_t instructions, const struct bytecode_region *region,
                 uint32_t regions, bool helper, struct bytecode **ret, struct jit_error *error);

#endif
