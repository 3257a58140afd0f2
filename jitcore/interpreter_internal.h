/* SPDX-License-Identifier: MIT */
/* What the interpreter's two files share: instructions (interpreter.c) and helpers (interpreter_call.c). */
#ifndef JITCORE_INTERPRETER_INTERNAL_H
#define JITCORE_INTERPRETER_INTERNAL_H

#include "interpreter.h"

#define INTERPRETER_ELEMENTS_MAX (1u << 20)     /* an element's number in an address is below */

/* The bytes that an access means. */
struct interpreter_access {
    uint8_t *bytes, *initialised;       /* NULL: all are */
};

/* The frame that is running. */
struct interpreter_frame *interpreter_top(struct interpreter *interpreter);

/* The first fault ends the run; what is computed between it and the end of the instruction is without effect. */
__attribute__((format(printf, 3, 4)))
void interpreter_fault(struct interpreter *interpreter, const char *rule, const char *format, ...);

/* A register; to read one that holds nothing is a fault. */
uint64_t interpreter_get(struct interpreter *interpreter, unsigned number);
void interpreter_set(struct interpreter *interpreter, unsigned number, uint64_t value);

/* Of the first byte of a place; of a value. */
uint64_t interpreter_address(enum interpreter_kind kind, uint32_t index);
uint64_t interpreter_value_address(uint32_t map, uint32_t element);

/* `size` bytes at `address`, all in one memory.  On a fault false. */
bool interpreter_bytes(struct interpreter *interpreter, uint64_t address, uint32_t size, bool write,
                       struct interpreter_access *ret);

/* Begin a function; its frame holds nothing but R10. */
void interpreter_enter(struct interpreter *interpreter, uint32_t function);

/* A helper is done: the program goes on behind its call. */
void interpreter_return(struct interpreter *interpreter, uint64_t value);

/*
 * interpreter_call.c: call a native (test_arena_native()); a helper; go on with the one that called what has returned
 * `result` now.
 */
void interpreter_call_native(struct interpreter *interpreter, uint32_t index);
void interpreter_call_helper(struct interpreter *interpreter, int32_t number);
void interpreter_call_again(struct interpreter *interpreter, uint64_t result);

#endif
