/* SPDX-License-Identifier: MIT */
/*
 * What a program in real/ must do, as the comment at its begin says it, a line a case:
 *
 *      expect: packet=4500+"GET /"+00*20 key=3 size=64 -> 1 status=200
 *
 * On the left the packet, in pieces joined by `+` (hexadecimal digits, or a string with the escapes of C; `*N` repeats
 * a piece; after a `+` it may go on in the next line), the key, and the fields of the context that are not 0; on the
 * right the verdict and the fields that the program changes.  All others must keep their value.
 *
 * The cases run in order, on the same variables.  A line
 *
 *      with: limit=5 name=value
 *
 * begins anew, with these values for `const volatile` variables.
 */
#ifndef TESTS_PROGRAMS_CASES_H
#define TESTS_PROGRAMS_CASES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "packet.h"

#define CASES_MAX 64
#define SETTINGS_MAX 4

struct setting {
    char name[32], value[32];
};

struct test_case {
    unsigned line;              /* in the source */
    bool anew;                  /* the first one, and after "with" */
    unsigned settings;
    struct setting setting[SETTINGS_MAX];
    uint8_t *bytes;             /* of the packet */
    size_t size;
    uint32_t key, verdict;
    struct packet before, after;        /* the context, without the packet's addresses */
};

/* The cases of a source; a mistake in one ends this process with a message.  The caller's: cases_free(). */
struct test_case *cases_read(const char *path, size_t *ret_count);

/* NULL is fine. */
void cases_free(struct test_case *cases, size_t count);

#endif
