/* SPDX-License-Identifier: MIT */
/*
 * The x86-64 back end: what the row in x86_64.c is made of. What each does is said in
 * architecture.h.
 */
#ifndef JITCORE_X86_64_H
#define JITCORE_X86_64_H

#include "../architecture.h"

extern const struct architecture architecture_x86_64;

/* With BMI2, as the third level of the psABI has it. */
extern const struct architecture architecture_x86_64_v3;
bool x86_64_v3_supported(void);

/* program.c, call.c */
void x86_64_emit_program(struct emitter *emitter, const struct verified *verified);
void x86_64_v3_emit_program(struct emitter *emitter, const struct verified *verified);
bool x86_64_has_helper(const struct verified *verified, uint32_t call);

/* tree.c */
void x86_64_emit_tree(struct emitter *emitter, const struct branch *branches, size_t count,
                      const struct fallback *fallback);
void x86_64_emit_filter(struct emitter *emitter, uint32_t first, uint32_t last, const struct fallback *fallback,
                        uint64_t next);

/* linkage.c */
void x86_64_emit_linkage(struct emitter *emitter, const struct linkage *linkage);

/* jump.c */
void x86_64_emit_jump(struct emitter *emitter, const struct jump *jump);

/* chain.c */
void x86_64_emit_chain(struct emitter *emitter, const struct chain *chain, struct skip *skip);

/* counting.c */
void x86_64_emit_verdict_counter(struct emitter *emitter);
void x86_64_emit_sampler(struct emitter *emitter, int64_t counters_stub, uint64_t next);

/* slot.c */
void x86_64_emit_landing(struct emitter *emitter);
uint64_t x86_64_slot_fall_through(void);
uint64_t x86_64_slot_jump(uint64_t from, uint64_t to);
uint64_t x86_64_slot_target(uint64_t from, uint64_t slot);
void x86_64_poison(void *write, size_t size);

#endif
