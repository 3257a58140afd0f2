/* SPDX-License-Identifier: MIT */
/* The x86-64 back end's rows: for all processors, and for those of the psABI's third level. */

#include "x86_64.h"

static uint64_t read_cycles(void)
{
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#else
    return 0;
#endif
}

#define COMMON                                          \
    .has_helper = x86_64_has_helper,                    \
    .emit_tree = x86_64_emit_tree,                      \
    .emit_filter = x86_64_emit_filter,                  \
    .emit_linkage = x86_64_emit_linkage,                \
    .emit_chain = x86_64_emit_chain,                    \
    .emit_verdict_counter = x86_64_emit_verdict_counter,        \
    .emit_jump = x86_64_emit_jump,                      \
    .emit_sampler = x86_64_emit_sampler,                \
    .emit_landing = x86_64_emit_landing,                \
    .slot_fall_through = x86_64_slot_fall_through,      \
    .slot_jump = x86_64_slot_jump,                      \
    .slot_target = x86_64_slot_target,                  \
    .read_cycles = read_cycles,                         \
    .poison = x86_64_poison

const struct architecture architecture_x86_64 = {
    .name = "x86_64",
    .emit_program = x86_64_emit_program,
    COMMON,
};

const struct architecture architecture_x86_64_v3 = {
    .name = "x86_64-v3",
    .emit_program = x86_64_v3_emit_program,
    COMMON,
};

bool x86_64_v3_supported(void)
{
#if defined(__x86_64__)
    return __builtin_cpu_supports("bmi2");
#else
    return false;
#endif
}
