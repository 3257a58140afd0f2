/* SPDX-License-Identifier: MIT */
/*
 * The beginning of the runtime as one block of bytes (runtime.ld): where each function is, and the descriptor that
 * whoever places it fills in.  jitcore/runtime.c reads it.
 */
#include "functions.h"

        .section .runtime.head, "a", @progbits

/* Per enum runtime_function: bytes from the beginning. */
        .balign 64
runtime:
        .long 0                 /* RUNTIME_NONE */
#define OFFSET(name, thread) .hidden name; .long name - runtime;
RUNTIME_FUNCTIONS(OFFSET)

/* struct map of the ring that trace_print writes to (trace.h). */
        .balign 64
        .globl trace_map
        .hidden trace_map
trace_map:
        .skip 128

        .section .note.GNU-stack, "", @progbits
