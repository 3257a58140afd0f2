/* SPDX-License-Identifier: MIT */
/*
 * A process that writes garbage, for ever, over what a program's maps and variables lie in, as any worker may: maps'
 * memory, variables that are not constant, seats, the trace ring.  Not maps of maps, which lie in sealed memory.
 */
#ifndef TESTS_SOUNDNESS_VANDAL_H
#define TESTS_SOUNDNESS_VANDAL_H

#include <sys/types.h>

#include "interpreter.h"

struct vandal_board;

struct vandal {
    pid_t process;
    int descriptor;                     /* of the memory that it writes to */
    struct vandal_board *board;         /* what of it is in use */
};

/* Ends with this process.  Negative errno.  Undo with vandal_end(). */
int vandal_start(struct vandal *ret);
void vandal_end(struct vandal *vandal);

/* It writes from now on, or no longer; at first it does. */
void vandal_wake(const struct vandal *vandal);
void vandal_rest(const struct vandal *vandal);

/* From now on all of that lies in memory that the process writes to; what was in it is lost.  Negative errno. */
int vandal_expose(const struct vandal *vandal, const struct interpreter *interpreter);

#endif
