/* SPDX-License-Identifier: MIT */
/* The x86-64 back end's row. */

#include "x86_64.h"

const struct architecture architecture_x86_64 = {
    .name = "x86_64",
    .emit_program = x86_64_emit_program,
    .emit_tree = x86_64_emit_tree,
    .emit_filter = x86_64_emit_filter,
    .emit_landing = x86_64_emit_landing,
    .slot_fall_through = x86_64_slot_fall_through,
    .slot_jump = x86_64_slot_jump,
    .poison = x86_64_poison,
};
