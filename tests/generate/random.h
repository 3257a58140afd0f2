/* SPDX-License-Identifier: MIT */
/* Random numbers that a seed decides (splitmix64), the same on every machine. */
#ifndef TESTS_GENERATE_RANDOM_H
#define TESTS_GENERATE_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

struct random {
    uint64_t state;
};

static inline uint64_t random_next(struct random *random)
{
    uint64_t x = random->state += 0x9e3779b97f4a7c15;

    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return x ^ x >> 31;
}

/* From 0 to limit - 1; limit > 0. */
static inline uint32_t random_below(struct random *random, uint32_t limit)
{
    return (uint32_t)(random_next(random) >> 32) % limit;
}

/* From low to high, both included. */
static inline int32_t random_between(struct random *random, int32_t low, int32_t high)
{
    return low + (int32_t)random_below(random, (uint32_t)(high - low) + 1);
}

static inline bool random_percent(struct random *random, uint32_t percent)
{
    return random_below(random, 100) < percent;
}

/* A number whose neighbourhood matters: around 0, powers of two, limits of widths; or any. */
static inline uint64_t random_edge(struct random *random)
{
    uint64_t value = random_percent(random, 50) ? 0 : 1ull << random_below(random, 64);

    switch (random_below(random, 4)) {
    case 0:
        return random_next(random) >> random_below(random, 64);
    case 1:
        return ~value + random_below(random, 3);
    default:
        return value + random_below(random, 3) - 1;
    }
}

#endif
