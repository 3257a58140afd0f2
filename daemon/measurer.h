/* SPDX-License-Identifier: MIT */
/*
 * What the code of a table costs on this host: a stage of the daemon's children (translator.h), which makes the code
 * from a plan and cases, in memory of its own, and calls it with sampled keys in the order in which they came.  The
 * programs behind it are stubs.  It works on nothing but numbers, and so needs no sandbox, which would not let it
 * execute what it makes.
 */
#ifndef DAEMON_MEASURER_H
#define DAEMON_MEASURER_H

#include <stdint.h>

#include "error.h"
#include "wire.h"

#define MEASURER_TARGETS 64     /* stubs: as many different programs, at most */

/* One case, as it is sent. */
struct measurer_case {
    uint32_t first, last, weight;
    uint32_t target;            /* below MEASURER_TARGETS: which stub it runs */
};

/*
 * Request: struct dispatcher_plan, cases, keys, as byte strings.  Answer: 0, and picoseconds a call, without guard and
 * program.  Errors of making the code; -EINVAL: there are no keys.
 */
int measurer_serve(struct wire_reader *request, struct wire_writer *answer, struct jit_error *error);

#endif
