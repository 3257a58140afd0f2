/* SPDX-License-Identifier: MIT */
/*
 * A hook's entry: the landing pad, the slot, and behind it room for the hook's code (its home).
 *
 *      entry   landing pad (8 bytes)
 *      +8      slot: falls through to the home, or jumps to a copy elsewhere
 *      +16     home
 *
 * A change writes the new code elsewhere, into fresh bytes, and pokes the slot to it: that is all
 * that a caller waits for.  Settling then moves the code home, off the caller's path, so that the
 * steady state has no extra jump.  Settling needs waits; this module takes the steps and says when
 * a wait is due, the daemon waits.
 *
 *      state        slot            next step, each after a grace period has passed
 *      SETTLED      fall through    -
 *      MOVED        jump to copy    nobody is in the home: write its code   -> WRITTEN
 *      WRITTEN      jump to copy    all have serialised since: poke back    -> RETURNED
 *      RETURNED     fall through    nobody is in the copy: release it       -> SETTLED
 *
 * A change in any state starts again at MOVED; the copy that it replaces is released after a grace
 * period.  Code that does not fit in the home stays a copy (state MOVED for good: one more jump in
 * each call).
 *
 * Not thread-safe; no function is signal-safe.
 */
#ifndef JITCORE_ENTRY_H
#define JITCORE_ENTRY_H

#include <stdbool.h>
#include <stdint.h>

#include "architecture.h"
#include "image.h"

#define ENTRY_HOME_SIZE 4080    /* bytes: with pad and slot one page */

struct entry;

/*
 * Reserve an entry whose home returns `default_verdict` for all keys.  Its bytes are fresh: hooks
 * may lead to it at once.  Errors of image_reserve; -ENOMEM.
 */
int entry_new(struct image *image, uint32_t default_verdict, struct entry **ret);

/*
 * Release an entry and its copy.  Only after a grace period in which no hook led to it, and with no
 * change prepared.  NULL is fine; returns NULL.
 */
struct entry *entry_free(struct entry *entry);

/* Image offset that workers call. */
uint64_t entry_offset(const struct entry *entry);

/*
 * A change of an entry's code, prepared: all that can fail has been done.  Emits the tree for
 * `cases` (sorted, distinct; copied) into fresh bytes and reserves what commit needs.  One at a
 * time per entry.
 * -ENOSPC image full; -ENOMEM; other errors of image_reserve.  On error nothing changed.
 * *ret is dropped with entry_change_abort() or used up by entry_change_commit().
 */
struct entry_change;
int entry_prepare(struct entry *entry, const struct dispatcher_case *cases, size_t count,
                  struct entry_change **ret);

/* NULL is fine; returns NULL. */
struct entry_change *entry_change_abort(struct entry_change *change);

/*
 * Poke.  Cannot fail but for a broken invariant (-ESTALE: somebody else wrote the slot; nothing was
 * changed, and the change was dropped).  Allocates nothing.  *ret_replaced: an image range that no
 * call enters any more, to be given to image_release() after a grace period; IMAGE_NONE: none.
 */
int entry_change_commit(struct entry_change *change, uint64_t *ret_replaced);

enum entry_state { ENTRY_SETTLED, ENTRY_MOVED, ENTRY_WRITTEN, ENTRY_RETURNED };
enum entry_state entry_state(const struct entry *entry);

/* Is there a settling step to take after the next grace period? */
bool entry_unsettled(const struct entry *entry);

/*
 * Take the next settling step, if there is one.  The caller states that a grace period has begun
 * and ended since the last change or step of this entry.  0: another step remains or all is settled
 * (entry_unsettled()); -ESTALE: somebody else wrote the slot, nothing was changed.  Allocates
 * nothing.
 */
int entry_settle(struct entry *entry);

/* Bytes of the current code, for display. */
size_t entry_code_size(const struct entry *entry);

#endif
