/* SPDX-License-Identifier: MIT */
#include "sampling.h"

bool sampling_turn(struct sampling *sampling)
{
    if (sampling->skip == 0)
        return true;
    sampling->skip--;
    return false;
}

/*
 * Only of the longest window no keys say that the table is not called: a thread that calls many tables in turn, or has
 * no processor for a while, is elsewhere for longer than the shorter ones last.
 */
void sampling_adapt(struct sampling *sampling, size_t keys)
{
    bool called = keys > 0 || sampling->window_ms < SAMPLING_WINDOW_MAX;
    unsigned more = 2 * sampling->idle + 1;

    sampling->idle = called ? 0 : more < SAMPLING_IDLE_MAX ? more : SAMPLING_IDLE_MAX;
    sampling->skip = sampling->idle;
    if (keys >= SAMPLING_ENOUGH)
        sampling->window_ms = SAMPLING_WINDOW_MIN;
    else if (sampling->window_ms < SAMPLING_WINDOW_MAX)
        sampling->window_ms *= 2;
}
