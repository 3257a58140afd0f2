/* SPDX-License-Identifier: MIT */
/* See mover.h: the steps have the same numbers here. */
#include "mover.h"

#include <assert.h>
#include <stddef.h>

#include "direct.h"
#include "lines.h"
#include "stubs.h"
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

void mover_point(struct mover *mover)
{
    mover->direct_result = direct_point(mover->current ? mover->current->slot : 0);
}

void mover_switch(struct mover *mover, struct window *window)
{
    assert(!window || !mover->moving);
    if (mover->current)
        leave(mover, mover->current);
    mover->current = window;
    mover->moving = true;
    mover->barrier_done = false;
    mover_point(mover);                                                         /* 3 */
    window_switch(window);
}

void mover_refresh(struct mover *mover)
{
    mover_point(mover);
    if (mover->direct_result < 0 && mover->current)
        mover->moving = true;           /* mover_step tries again; without a window they lead to the defaults in any case */
    stubs_forget(mover->current);
    for (unsigned i = 0; i < DD_WINDOW_SLOTS - 1; i++)
        stubs_forget(mover->leaving[i]);
}

bool mover_step(struct mover *mover)
{
    uint64_t generation = mover->current ? mover->current->generation : 0;

    if (mover->direct_result < 0)
        mover_point(mover);
    if (!mover->moving)
        return true;
    if (mover->direct_result < 0)
        return false;
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
