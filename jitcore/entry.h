/* SPDX-License-Identifier: MIT */
/*
 * A hook's entry: the landing pad, the slot, and behind it room for the head of the hook's code (its home; body.h says
 * what head and body are).
 *
 *      entry   landing pad (8 bytes)
 *      +8      slot: falls through to the home, or jumps to a copy elsewhere
 *      +16     home
 *
 * A change writes new code elsewhere, into fresh bytes, and pokes the slot to the new head: that is all that a caller
 * waits for.  Settling then moves the head home, off the caller's path, so that the steady state has no extra jump.
 * Settling needs waits; this module takes the steps and says when a wait is due, the daemon waits.
 *
 *      state        slot            next step, each after a grace period has passed
 *      SETTLED      fall through    -
 *      MOVED        jump to copy    nobody is in the home: write its code   -> WRITTEN
 *      WRITTEN      jump to copy    all have serialised since: poke back    -> RETURNED
 *      RETURNED     fall through    nobody is in the copy: release it       -> SETTLED
 *      FILTERED     jump to filter  none: waits for a change that finds room
 *
 * A change in any state starts again at MOVED; what it replaces is released after a grace period.  A head that does not
 * fit in the home stays a copy (state MOVED for good: one more jump in each call).
 *
 * An edit changes single keys of a table in place: the body stays, and the state too, unless a hot key is among them.
 *
 * A sampler can be put before the code of an entry that has nothing left to settle: it writes each key into the
 * thread's sample ring (counters.h).  The next change that pokes the slot takes it out.
 *
 * Removing cases and targets never fails for want of image memory, however full the image is and however long a reader
 * keeps what was replaced.  Targets of chains stand behind slots, and keys in tables are data; for each other case the
 * entry reserves room for a filter.  Where new code finds no room, a change that only removes pokes those slots and
 * data, and writes filters,
 *
 *      slot -> filter -> ... -> filter -> the code that ran before
 *
 * each of which gives its keys to what all other keys run and sends the rest on.  All can be removed so, one after
 * another and without a single grace period.  Only the filters of one change take effect together.  The next change
 * that finds room replaces code and filters alike.
 *
 * (The promise is about the image.  The request itself, its books on the heap included, can still meet -ENOMEM.)
 *
 * Not thread-safe; no function is signal-safe.
 */
#ifndef JITCORE_ENTRY_H
#define JITCORE_ENTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dispatcher.h"
#include "image.h"

#define ENTRY_HOME_SIZE 4080    /* bytes: with pad and slot one page */

struct entry;

/*
 * Reserve an entry whose home returns `default_verdict` for all keys.  Its bytes are fresh: hooks
 * may lead to it at once.  Errors of image_reserve; -ENOMEM.
 */
int entry_new(struct image *image, uint32_t default_verdict, struct entry **ret);

/*
 * The first code of an entry that no hook leads to yet: its head is written behind the slot at once where it fits,
 * without a copy meanwhile.  Reserves as entry_prepare() does.  Errors of image_reserve; -ENOMEM; -ESTALE.  On error
 * nothing changed.
 */
int entry_start(struct entry *entry, const struct dispatcher *dispatcher);

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
 * Emit the code for `dispatcher` (copied) into fresh bytes and reserve filters; or, without that room, and if all that
 * differs is that cases or targets are gone, remove those in place: then nothing is reserved.  One change at a time per
 * entry is between prepare and commit; any number may wait for their release.
 * -ENOSPC image full; -ENOMEM; other errors of image_reserve.  On error nothing changed.
 */
int entry_prepare(struct entry *entry, const struct dispatcher *dispatcher, struct entry_change **ret);

/* Image bytes that entry_prepare() asks for, in pieces, before it thinks of removing in place; 0 if that is unknown. */
size_t entry_prepare_size(const struct entry *entry, const struct dispatcher *dispatcher);

/*
 * Change single keys in place: a case with a target sets its key, one without removes it; keys are distinct.  As cheap
 * for a large table as for a small one.  -EOPNOTSUPP: that is not to be had (a tree, a range, a chain, what is counted,
 * many keys, an entry with filters); then and at any other error nothing changed, and entry_prepare() takes the whole.
 */
int entry_prepare_edit(struct entry *entry, const struct dispatcher_case *edits, size_t count,
                       struct entry_change **ret);

/*
 * Put the sampler in front of the entry's code, or take it out.  `counters_stub` as in struct dispatcher.
 * -EBUSY: there is something to settle first, or filters; -EALREADY; errors of image_reserve; -ENOMEM.
 */
int entry_prepare_sample(struct entry *entry, bool on, int64_t counters_stub, struct entry_change **ret);
bool entry_sampled(const struct entry *entry);

/* Drop a change that is not committed.  NULL is fine; returns NULL. */
struct entry_change *entry_change_abort(struct entry_change *change);

/* Is every slot that the change will poke as it was left?  0; -ESTALE: somebody else wrote one. */
int entry_change_check(const struct entry_change *change);

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

/* Bytes of head and body, for display: no filters, no room for them. */
size_t entry_code_size(const struct entry *entry);

/* The shape that the code has: the plan's, unless the keys did not allow it. */
enum dispatcher_shape entry_shape(const struct entry *entry);

#endif
