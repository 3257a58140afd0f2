/* SPDX-License-Identifier: MIT */
/* The generator is SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014). */

#include "random.h"

#define GAMMA UINT64_C(0x9e3779b97f4a7c15)      /* 2^64 divided by the golden ratio */

static uint64_t mix(uint64_t word)
{
    word = (word ^ word >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    word = (word ^ word >> 27) * UINT64_C(0x94d049bb133111eb);
    return word ^ word >> 31;
}

uint64_t random_number(uint64_t unused_1, uint64_t unused_2, uint64_t unused_3, uint64_t unused_4, uint64_t unused_5,
                       struct thread *thread)
{
    /* Threads that begin at the same time have different lines. */
    if (!thread->random)
        thread->random = mix(__builtin_ia32_rdtsc()) ^ mix(thread->line);
    thread->random += GAMMA;
    return mix(thread->random) >> 32;
}
