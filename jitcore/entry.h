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
 *      FILTERED     jump to filter  none: waits for a change that finds room
 *
 * A change in any state starts again at MOVED; what it replaces is released after a grace period.
 * Code that does not fit in the home stays a copy (state MOVED for good: one more jump in each
 * call).
 *
 * Removing keys never fails for want of image memory, however full the image is and however long a
 * reader keeps what was replaced.  With each key the entry reserves a spare granule.  Where new code
 * finds no room, a change that only removes keys writes filters into spares instead, one a key,
 *
 *      slot -> filter -> ... -> filter -> the code that ran before
 *
 * each of which answers its key with the default verdict and sends all others on.  As the spares
 * are as many as the keys, all can be removed so, one after another and without a single grace
 * period.  The next change that finds room replaces code and filters alike.
 *
 * (The promise is about the image.  The request itself, its books on the heap included, can still
 * meet -ENOMEM.)
 *
 * Not thread-safe; no function is signal-safe.
 */
#ifndef JITCORE_ENTRY_H
#define JITCORE_ENTRY_H

#include <stdbool.h>
#include <stddef.h>
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
 * The first code of an entry that no hook leads to yet: written behind the slot at once where it
 * fits, without a copy meanwhile.  Reserves a spare for each of `cases` (as for entry_prepare()).
 * Errors of image_reserve; -ENOMEM; -ESTALE.  On error nothing changed.
 */
int entry_start(struct entry *entry, const struct dispatcher_case *cases, size_t count);

/*
 * Release an entry and all that it has in the image.  Only after a grace period in which no hook led to it, and with no
 * change prepared.  NULL is fine; returns NULL.
 */
struct entry *entry_free(struct entry *entry);

/* Image offset that workers call. */
uint64_t entry_offset(const struct entry *entry);

/*
 * A change of an entry's code:
 *
 *      entry_prepare()             all that can fail
 *      entry_change_commit()       or entry_change_abort()
 *      (a grace period)
 *      entry_change_release()      what was replaced
 */
struct entry_change;

/*
 * Emit the tree for `cases` (sorted, distinct; copied) into fresh bytes and reserve a spare for each
 * of them; or, without that room, and if all that differs is that keys are gone, filters: then
 * nothing is reserved.  One change at a time per entry is between prepare and commit; any number
 * may wait for their release.
 * -ENOSPC image full; -ENOMEM; other errors of image_reserve.  On error nothing changed.
 */
int entry_prepare(struct entry *entry, const struct dispatcher_case *cases, size_t count,
                  struct entry_change **ret);

/* Image bytes that entry_prepare() asks for, in pieces, before it thinks of filters. */
size_t entry_prepare_size(const struct entry *entry, const struct dispatcher_case *cases,
                          size_t count);

/* Drop a change that is not committed.  NULL is fine; returns NULL. */
struct entry_change *entry_change_abort(struct entry_change *change);

/*
 * Poke.  Cannot fail but for a broken invariant (-ESTALE: somebody else wrote the slot; nothing was
 * changed, and the change was dropped).  Allocates nothing.  Afterwards the change holds what no
 * call enters any more.
 */
int entry_change_commit(struct entry_change *change);

/*
 * After a grace period that began after the commit: release what was replaced.  The entry may be
 * gone by then, its image not.  Allocates nothing.  NULL is fine; returns NULL.
 */
struct entry_change *entry_change_release(struct entry_change *change);

enum entry_state { ENTRY_SETTLED, ENTRY_MOVED, ENTRY_WRITTEN, ENTRY_RETURNED, ENTRY_FILTERED };
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

/* Bytes of the tree for the current keys, for display: no filters, no spares. */
size_t entry_code_size(const struct entry *entry);

#endif
