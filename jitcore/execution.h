/* SPDX-License-Identifier: MIT */
/*
 * One run of a program, by the machine code or by the interpreter, so that both can be compared; here or in a child
 * process, where a crash is a result.
 */
#ifndef JITCORE_EXECUTION_H
#define JITCORE_EXECUTION_H

#include <stdbool.h>
#include <stdint.h>

#include "bytecode.h"
#include "context.h"
#include "error.h"
#include "verifier/verifier.h"

#define EXECUTION_STEPS_MAX (64u << 20)         /* of the interpreter */

struct execution {
    const struct bytecode *bytecode;
    const struct context *context;      /* of what R1 points to; NULL: bytes */
    bool verify;                        /* before it is compiled; needs a context */
    const struct verifier_options *options;     /* for that; NULL: the usual ones */
    const uint8_t *memory;              /* what R1 points to, is copied; NULL: R1 is 0 */
    uint32_t size;                      /* bytes */
    uint64_t r2;
    /* If the context has a packet: its contents; the fields that delimit it are filled in. */
    const uint8_t *packet;
    uint32_t packet_size;               /* bytes */
};

struct execution_outcome {
    int result;                 /* 0, or negative errno with `error` */
    int signal;                 /* that ended the child, else 0; SIGPROF: its time was over */
    uint64_t r0;
    uint64_t digest;            /* of all memory that a program can change, after the run */
    struct jit_error error;
};

typedef void execution_function(const struct execution *execution, struct execution_outcome *ret);

/* Only verify; nothing is run. */
execution_function execution_verify;

/* Verify if it is to be, compile, run.  The memory ends at a page that faults. */
execution_function execution_compiled;

/* Interpret; nothing is verified. */
execution_function execution_interpreted;

/* From now on, this process has so many seconds of processor time; then SIGPROF ends it. */
void execution_limit(unsigned seconds);

/* One of them in a child with such a limit.  Without a child: -errno and rule "child". */
void execution_in_child(execution_function *function, const struct execution *execution, unsigned seconds,
                        struct execution_outcome *ret);

#endif
