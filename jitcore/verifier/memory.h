/* SPDX-License-Identifier: MIT */
/*
 * Instructions that access memory, and what may be accessed.
 */
#ifndef JITCORE_VERIFIER_MEMORY_H
#define JITCORE_VERIFIER_MEMORY_H

#include "analysis.h"

int memory_process_load(struct analysis *analysis);
int memory_process_store(struct analysis *analysis);    /* of a register or an immediate */
int memory_process_atomic(struct analysis *analysis);

/* What a helper does with memory. */
enum memory_use { MEMORY_READ, MEMORY_WRITE, MEMORY_WRITE_SOME /* at most so many bytes */ };

/* A helper uses `size` bytes from the pointer in this register on.  0 or -EINVAL. */
int memory_check_bytes(struct analysis *analysis, unsigned reg, uint32_t size, enum memory_use use);

#endif
