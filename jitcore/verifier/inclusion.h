/* SPDX-License-Identifier: MIT */
/*
 * Does one state include another: is all that can happen in the second covered by what was proven of the first?
 */
#ifndef JITCORE_VERIFIER_INCLUSION_H
#define JITCORE_VERIFIER_INCLUSION_H

#include <stdbool.h>

#include "control.h"
#include "demand.h"
#include "state.h"

/*
 * Both are at instruction `at`.  `demand` is what the proof of `outer` rests on, complete; NULL: that is not known yet,
 * and everything counts.  *differs: a register of the running function that is looked at first, and the one that told
 * the two apart if one did.  Where states meet again and again it is mostly the same, a loop's counter.  NULL: none.
 */
bool inclusion_holds(const struct control *control, uint32_t at, const struct verifier_state *outer,
                     const struct verifier_state *inner, const struct demand *demand, uint8_t *differs);

/* The registers of frame f that are live, with the running function at `at`. */
uint16_t inclusion_live(const struct control *control, uint32_t at, const struct verifier_state *state, uint32_t f);

#endif
