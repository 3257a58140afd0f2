/* SPDX-License-Identifier: MIT */
/* Random numbers for programs: bpf_get_prandom_u32.  Good enough for sampling, not for secrets. */
#ifndef JITCORE_RUNTIME_RANDOM_H
#define JITCORE_RUNTIME_RANDOM_H

#include "seat.h"

/* 32 bits, from the thread's own generator.  A signal handler may be given the number that its thread is given, too. */
uint64_t random_number(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, struct thread *thread);

#endif
