/* SPDX-License-Identifier: MIT */
/* An object's program, verified, translated and placed in this process. */
#ifndef BENCH_TRANSLATED_H
#define BENCH_TRANSLATED_H

#include <stdint.h>

#include "jitcore/bytecode.h"
#include "jitcore/context.h"
#include "jitcore/machine.h"
#include "jitcore/verifier/verifier.h"

typedef uint32_t kernel_function(void *kernel, uint32_t key);

struct translated {
    struct bytecode *bytecode;
    struct machine machine;
    kernel_function *run;
    size_t size;                                /* of the machine code, bytes */
    struct verifier_statistics statistics;
    double verify_ns, compile_ns;
};

/* The description of struct kernel. */
struct context *kernel_context(void);

/* All of these end the process with a message if anything is refused. */
struct bytecode *bytecode_load(const char *path, const char *program);  /* NULL: the first one */

/* `bytecode` is taken.  Undo with translated_clear(). */
void translated_new(struct bytecode *bytecode, const struct context *context, struct translated *ret);

void translated_clear(struct translated *translated);

#endif
