/* SPDX-License-Identifier: MIT */
/*
 * The bytes of the stack.  Offsets are counted from R10 of the frame: -512 to -1.
 */
#ifndef JITCORE_VERIFIER_STACK_H
#define JITCORE_VERIFIER_STACK_H

#include "analysis.h"

/* All slots that [lowest, highest] touches; both in the stack. */
uint64_t stack_slots(int64_t lowest, int64_t highest);

/* An access of this size through `pointer` stays in the stack of its frame.  -EINVAL: "stack-bounds". */
int stack_check(struct analysis *analysis, const struct value *pointer, int64_t offset, uint32_t size);

/* Load `size` bytes through `pointer` + `offset`, checked.  -EINVAL: "stack-read": not written; "pointer-leak". */
int stack_load(struct analysis *analysis, const struct value *pointer, int32_t offset, unsigned size,
               struct value *ret);

/* Store the lowest `size` bytes of `value`, likewise; all of a number are linked with it.  -EINVAL: "pointer-leak". */
int stack_store(struct analysis *analysis, const struct value *pointer, int32_t offset, unsigned size,
                struct value *value);

/*
 * A helper reads `size` bytes, at least 1; or writes them, `surely` all.  -EINVAL: "stack-bounds", "stack-read",
 * "pointer-leak".
 */
int stack_read_bytes(struct analysis *analysis, const struct value *pointer, uint32_t size);
int stack_write_bytes(struct analysis *analysis, const struct value *pointer, uint32_t size, bool surely);

#endif
