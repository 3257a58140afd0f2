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

/* ---- the sample ---------------------------------------------------------------------------------------- */

#define BLOCK 16
#define FRESH_MAX (UINT64_C(1) << 48)   /* no thread makes more calls in a window */

void sample_begin(struct sample *sample)
{
    sample->keys = 0;
    sample->every = 1;
    sample->rest = 0;
}

/* Half of it goes: of a few keys all, every second time. */
static void halve(struct sample *sample, unsigned phase)
{
    size_t keys = 0;

    for (size_t i = 0; i < sample->keys; i++)
        if (i / BLOCK % 2 == phase)
            sample->key[keys++] = sample->key[i];
    sample->keys = keys;
}

static void coarsen(struct sample *sample)
{
    halve(sample, (unsigned)__builtin_ctzll(sample->every) % 2);
    sample->every *= 2;
}

static uint64_t share(const struct sample *sample, uint64_t calls)
{
    return (sample->rest + calls) / sample->every;
}

void sample_add(struct sample *sample, const struct sample_ring *ring, uint64_t fresh)
{
    uint64_t calls = fresh < FRESH_MAX ? fresh : FRESH_MAX, most = calls < SAMPLE_KEYS ? calls : SAMPLE_KEYS, keys;

    while (share(sample, calls) > SAMPLE_KEYS || sample->keys + share(sample, calls) > SAMPLE_MAX)
        coarsen(sample);
    keys = share(sample, calls);
    sample->rest = (sample->rest + calls) % sample->every;
    for (uint64_t i = 0; i < keys && i < most; i++)
        sample->key[sample->keys++] = ring->key[(ring->position - 1 - i) % SAMPLE_KEYS];
}
