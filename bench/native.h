/* SPDX-License-Identifier: MIT */
/* The same targets as the processor's own compiler makes them, and the retpoline. */
#ifndef BENCH_NATIVE_H
#define BENCH_NATIVE_H

#include <stdint.h>

#include <dispatchd.h>

#include "target.h"

/* Target 0, for a plain direct call. */
uint32_t native_00(void *context, uint32_t key);

/* All of them, by number. */
extern dd_entry *const native_targets[TARGETS];

/* Call `target` through a return instead of an indirect branch: the thunk that compilers emit for
 * -mindirect-branch=thunk, which takes the target in rdx. */
uint32_t native_retpoline(void *context, uint32_t key, dd_entry *target);

#endif
