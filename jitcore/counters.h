/* SPDX-License-Identifier: MIT */
/*
 * A thread's counters, as generated code writes them.  Only their thread writes them, with single instructions, so that
 * a signal handler in the same thread loses nothing; whoever else reads them sees each word whole.
 *
 * They are reached through the counters stub, code outside the image: called with any stack, it returns their address
 * in r11 and changes nothing else.
 */
#ifndef JITCORE_COUNTERS_H
#define JITCORE_COUNTERS_H

#include <stdint.h>

/* Keys as they came, the newest at (position - 1) % SAMPLE_KEYS.  Stands first in a thread's counters. */
#define SAMPLE_KEYS 1024

struct sample_ring {
    uint64_t position;          /* keys written so far */
    uint32_t key[SAMPLE_KEYS];
};

#define COUNTER_VERDICTS 7
#define COUNTER_BUCKETS 31

#define COUNTER_VERDICT(verdict) (UINT64_C(1) << 32 | (uint32_t)(verdict))

struct counter_block {
    uint64_t runs;
    struct {
        uint64_t verdict;       /* COUNTER_VERDICT(); 0: free, and so are those behind it */
        uint64_t count;
    } verdict[COUNTER_VERDICTS];
    uint64_t other;             /* verdicts that found no room */
    uint64_t cycles;            /* of the time stamp counter, from call to return */
    uint64_t bucket[COUNTER_BUCKETS];   /* i: 2^i to 2^(i+1) - 1 cycles; the first has 0 too, the last all more */
};

_Static_assert(sizeof(struct counter_block) == 384, "whole cache lines");

#define COUNTERS_BLOCKS 8192    /* bytes from the beginning of a thread's counters to the first block */

_Static_assert(sizeof(struct sample_ring) <= COUNTERS_BLOCKS, "the ring stands before the blocks");

#endif
