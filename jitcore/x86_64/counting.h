/* SPDX-License-Identifier: MIT */
/* Code that counts, in the thread's counters (../counters.h).  Leaves the callers' argument registers as they are. */
#ifndef JITCORE_X86_64_COUNTING_H
#define JITCORE_X86_64_COUNTING_H

#include "../architecture.h"

/* One run more in the counter_block at `counters`; only r11 changes. */
void x86_64_emit_count_run(struct emitter *emitter, int64_t counters_stub, uint32_t counters);

/* Before a call: the time, into the quadword at rsp.  r10, rax change. */
void x86_64_emit_start_time(struct emitter *emitter);

/* Behind a call: what the target asks for, but for its runs.  rax stays, all others that a call may change do. */
void x86_64_emit_count_return(struct emitter *emitter, const struct chain *chain,
                              const struct dispatcher_target *target);

#endif
