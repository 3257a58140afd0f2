/* SPDX-License-Identifier: MIT */
/*
 * The mover: takes this process from one window to the next (doc/model/move.pml).
 *
 *   1 the reader lines are announced to the new daemon      (membership: Join)
 *   2 the entry pointers of the new window's slot are set   (membership)
 *   3 the slots of hooks that are called directly, and then the base, with one store, are switched    mover_switch
 *   4 a barrier in all threads of this process              mover_step
 *   5 poll our own lines until each is 0 or of the new generation
 *   6 unmap what was left
 *
 * In 3 the slots come first: an enter that sees the new base has serialised, so it sees the new slot.  Where slots
 * could not be replaced, step 4 waits for another try: until then they lead to a window that stays.
 *
 * 1 before 3: the new daemon knows of every guard that can enter its window.  4 before 5: an enter that stored its
 * line before the barrier is seen by 5, one that did not loads the new base.  5 before 6: nobody is in what is
 * unmapped.
 *
 * A slot of entry pointers is free again only after 6, so the next window comes only when mover_step() says true.
 * All functions are called with the library's lock.
 */
#ifndef DISPATCHD_MOVER_H
#define DISPATCHD_MOVER_H

#include <stdbool.h>

#include "window.h"

struct mover {
    struct window *current;     /* NULL: the default one */
    struct window *leaving[DD_WINDOW_SLOTS - 1];
    bool moving;
    int direct_result;          /* of direct_point(): 0, or why slots do not lead to the current window */
    bool barrier_done;
};

/* Switch to a window, which is the mover's from now on; NULL: to the default one. */
void mover_switch(struct mover *mover, struct window *window);

/* Let the slots of hooks see the current window.  Where that fails they stay as they are, and the next move tries again. */
void mover_point(struct mover *mover);

/* A table has new entry pointers, or a native or table has come or gone: let slots and stubs see it. */
void mover_refresh(struct mover *mover);

/* Go on.  true: there is nothing left of a move.  Never blocks; call again after a while. */
bool mover_step(struct mover *mover);

/* The slot for the next window.  Not while moving. */
unsigned mover_free_slot(const struct mover *mover);

#endif
