/* SPDX-License-Identifier: MIT */
/* Who runs the program: bpf_get_current_pid_tgid. */
#ifndef JITCORE_RUNTIME_PROCESS_H
#define JITCORE_RUNTIME_PROCESS_H

#include "seat.h"

/* process << 32 | thread */
uint64_t process_thread(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, struct thread *thread);

#endif
