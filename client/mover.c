/* SPDX-License-Identifier: MIT */
/* See mover.h: the steps have the same numbers here. */
#include "mover.h"

#include <assert.h>
#include <stddef.h>

#include "lines.h"
#include "serialise.h"

/* At most one window for each slot is mapped, so there is room. */
static void leave(struct mover *mover, struct window *window)
{
    for (unsigned i = 0; i < DD_WINDOW_SLOTS - 1; i++)
        if (!mover->leaving[i]) {
            mover->leaving[i] = window;
            return;
        }
    assert(!"more windows than slots");
}

void mover_switch(struct mover *mover, struct window *window)
{
    assert(!window || !mover->moving);
    if (mover->current)
        leave(mover, mover->current);
    mover->current = window;
    mover->moving = true;
    mover->barrier_done = false;
    window_switch(window);                                                      /* 3 */
}

bool mover_step(struct mover *mover)
{
    uint64_t generation = mover->current ? mover->current->generation : 0;

    if (!mover->moving)
        return true;
    if (!mover->barrier_done)
        mover->barrier_done = barrier_process() == 0;                           /* 4 */
    if (!mover->barrier_done || !lines_are_past(generation))                    /* 5 */
        return false;
    for (unsigned i = 0; i < DD_WINDOW_SLOTS - 1; i++)
        mover->leaving[i] = window_unmap(mover->leaving[i]);                    /* 6 */
    mover->moving = false;
    return true;
}

unsigned mover_free_slot(const struct mover *mover)
{
    assert(!mover->moving);
    return mover->current && mover->current->slot == 1 ? 2 : 1;
}
