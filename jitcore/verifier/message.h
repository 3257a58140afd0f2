/* SPDX-License-Identifier: MIT */
/*
 * Refusals and the log.
 */
#ifndef JITCORE_VERIFIER_MESSAGE_H
#define JITCORE_VERIFIER_MESSAGE_H

#include <stdint.h>

struct analysis;

/* What an argument of a function must be; said in front of what is wrong with the memory that it points to. */
struct message_argument {
    unsigned reg;
    const char *prefix;         /* of the function's name: "bpf_" of a helper's */
    const char *function;
    uint32_t size;              /* bytes that it must point to */
    const char *what;           /* "a key", "a value"; NULL: as many bytes as the next register says */
    const char *map;            /* whose key or value */
};

/*
 * The hint where an index is out of bounds.  Compilers leave out the comparison where it follows from the source, also
 * where it does not follow from the instructions: x % 10 next to x / 10 is x - x / 10 * 10.
 */
#define MESSAGE_COMPARE "compare the index with constants before it is added; if the compiler leaves that out, " \
                        "put barrier_var(index) before it"

/*
 * Refuse the program at the instruction at hand: fill analysis->error with the sentence, the registers on this path and
 * what would make it pass (`hint`, NULL if that is not known).  Returns -EINVAL.
 */
__attribute__((format(printf, 4, 5)))
int message_refuse(struct analysis *analysis, const char *rule, const char *hint, const char *format, ...);

/* The same for what is too much: -E2BIG, rule "limit". */
__attribute__((format(printf, 3, 4)))
int message_limit(struct analysis *analysis, const char *hint, const char *format, ...);

/*
 * The log.  A line of its own begins with the place, "function+7: "; the first one writes the instruction at hand there,
 * and the state before it, below a line with its source: "; text @ file:line".
 */
void message_log_state(struct analysis *analysis);
__attribute__((format(printf, 2, 3)))
void message_log(struct analysis *analysis, const char *format, ...);

#endif
