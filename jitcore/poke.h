/* SPDX-License-Identifier: MIT */
/*
 * The atomic replacement of one instruction slot.  Knows addresses and bytes only: who wants which
 * slot to lead where is its callers' business.
 */
#ifndef JITCORE_POKE_H
#define JITCORE_POKE_H

#include <stdint.h>

#include "image.h"

/* A slot is one naturally aligned quadword that holds one instruction (padded). */
#define SLOT_SIZE 8

/*
 * Replace the slot at image offset `slot` (8-byte aligned).
 *      1 compare the old bytes with `expect`; other bytes are -ESTALE, and nothing is written
 *      2 store `want` with one aligned 8-byte store
 *      3 make it visible to instruction fetch (on x86-64 it is; elsewhere clean and invalidate)
 *      4 the caller waits for the readers before it reuses what the slot led to
 * The daemon is the image's only writer, and single-threaded: 1 and 2 need not be one atomic step.
 */
int poke_slot(struct image *image, uint64_t slot, uint64_t expect, uint64_t want);

/* Several of them, in this order.  -ESTALE: nothing is changed, what had been written was written back. */
struct slot_change {
    uint64_t slot, expect, want;
};

int poke_slots(struct image *image, const struct slot_change *changes, size_t count);

/* Would poke_slots() find them as it expects?  The slots are distinct.  0, -ESTALE. */
int poke_check_slots(struct image *image, const struct slot_change *changes, size_t count);

/*
 * Does this host execute a slot correctly while another process pokes it?  A child executes one
 * through its own mapping, all the time, for `pokes` pokes; fewer where those take over 250 ms, as
 * on a host that is very busy.
 * 0; -EIO: a torn or lost instruction was executed; other negative errno: it could not be tried
 * (-EACCES: executable memfds are forbidden).
 * Forks and waits for its child; call it before threads and workers exist.
 */
int poke_check_host(const struct architecture *architecture, unsigned pokes);

#endif
