/* SPDX-License-Identifier: MIT */
/*
 * What a failure of jitcore tells its caller besides a negative errno: which rule, where, and in
 * words.
 */
#ifndef JITCORE_ERROR_H
#define JITCORE_ERROR_H

#include <stdint.h>

/*
 * Filled on failure only.  `rule` is a stable word for programs ("stack-bounds"); `text` is one
 * sentence for people that names the place, the object, the reason and, where there is one, the
 * next step.  It is printable ASCII: other bytes, which names in objects may have, become '?'.
 */
struct jit_error {
    const char *rule;           /* static string */
    char function[64];          /* function of the object, "" if none */
    int64_t instruction;        /* index within that function, -1 if none */
    char text[512];
    char file[256], source[256];        /* where that is in the source, and that line; "" if it is not known */
    uint32_t line;              /* 0 if it is not known */
    char registers[1024];       /* the verifier: what it knows of them on that path, "" if it says nothing */
    char hint[256];             /* what would make the program pass, "" if that is not known */
};

/* Fill `error` (may be NULL) and return `result`, so that a failing function ends in one line. */
__attribute__((format(printf, 4, 5)))
int jit_error_set(struct jit_error *error, int result, const char *rule, const char *format, ...);

/*
 * The same for a place in the object; the text begins with it.  `instruction` -1: the whole
 * function.
 */
__attribute__((format(printf, 6, 7)))
int jit_error_set_at(struct jit_error *error, int result, const char *rule, const char *function,
                     int64_t instruction, const char *format, ...);

#endif
