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

/* Numbers that differ where one state covers another: the proof does not rest on them. */
struct inclusion_gap {
    uint16_t registers[VERIFIER_DEPTH_MAX];     /* by frame; bit n: Rn, which is live */
    bool slots;                                 /* and some slot, which is read */
};

/*
 * `outer` covers `inner` with this demand: which numbers of `inner` may be others than `outer` says?  Those that are not
 * in its ranges, and those that it says belong together (value.h, id) and here do not.
 */
void inclusion_find_gap(const struct control *control, uint32_t at, const struct verifier_state *outer,
                        const struct verifier_state *inner, const struct demand *demand, struct inclusion_gap *ret);

/* The registers of frame f that are live, with the running function at `at`. */
uint16_t inclusion_live(const struct control *control, uint32_t at, const struct verifier_state *state, uint32_t f);

#endif
