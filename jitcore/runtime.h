/* SPDX-License-Identifier: MIT */
/*
 * The runtime's functions (runtime/functions.h) as one block of bytes, which runs at any address and is placed once in
 * each image; programs call into it.  It has no indirect branches, writes to nothing but its arguments, and uses general
 * registers only.
 */
#ifndef JITCORE_RUNTIME_H
#define JITCORE_RUNTIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/functions.h"

#define RUNTIME_ALIGNMENT 64    /* bytes: of the place where it is put */

/* The bytes; for the life of the process. */
const uint8_t *runtime_bytes(void);
size_t runtime_size(void);

/* Of a function's first byte in them; 0: there is no such function (RUNTIME_NONE). */
uint32_t runtime_offset(enum runtime_function function);

/* Does it take the calling thread's words as its sixth argument? */
bool runtime_wants_thread(enum runtime_function function);

/* Of the trace ring's descriptor in them, a struct map, zeros: whoever places the bytes writes it there. */
uint32_t runtime_trace_map(void);

#endif
