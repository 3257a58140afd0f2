/* SPDX-License-Identifier: MIT */
/*
 * Fewer states where many paths meet.  If a state differs from one that was explored from the same place in some ranges
 * only, these are made wider, so that it covers the next ones, too: a range that decided jumps is forgotten, one that
 * is a part of addresses is joined with the other's.  Two different constants stay: they are what loops count with.
 *
 * A wider state is always as safe to explore; it may be refused where the program is fine.  So a refusal after this
 * does not count: verifier.c starts again without.
 */
#ifndef JITCORE_VERIFIER_GENERALISATION_H
#define JITCORE_VERIFIER_GENERALISATION_H

#include <stdbool.h>

#include "control.h"
#include "demand.h"
#include "state.h"

/* Make `state`, which `explored` with its demand does not include, wider.  False: they differ in more. */
bool generalise(const struct control *control, uint32_t at, const struct verifier_state *explored,
                const struct demand *demand, struct verifier_state *state);

#endif
