/* SPDX-License-Identifier: MIT */
/* Sequences of keys. */
#include "keys.h"

#include <math.h>

const char *const key_mix_name[MIXES] = { "hot", "zipf", "uniform", "shift" };

static uint64_t random_state = 0x9e3779b97f4a7c15;

static uint64_t random_next(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static void fill_hot(uint32_t n, uint32_t *ret_keys)
{
    for (unsigned i = 0; i < KEYS_LENGTH; i++)
        ret_keys[i] = n * 2 / 3;
}

static void fill_uniform(uint32_t n, uint32_t *ret_keys)
{
    for (unsigned i = 0; i < KEYS_LENGTH; i++)
        ret_keys[i] = (uint32_t)(random_next() % n);
}

/* The first rank whose sum reaches the point. */
static uint32_t find_rank(const double *sum, uint32_t n, double point)
{
    uint32_t low = 0, high = n - 1;

    while (low < high) {
        uint32_t middle = (low + high) / 2;

        if (sum[middle] < point)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void fill_zipf(uint32_t n, uint32_t *ret_keys)
{
    static double sum[KEYS_MAX];
    static uint32_t key_of_rank[KEYS_MAX];
    double total = 0;

    for (uint32_t rank = 0; rank < n; rank++) {
        uint32_t other = (uint32_t)(random_next() % (rank + 1));

        sum[rank] = total += pow(rank + 1, -1.2);
        key_of_rank[rank] = key_of_rank[other];
        key_of_rank[other] = rank;
    }
    for (unsigned i = 0; i < KEYS_LENGTH; i++)
        ret_keys[i] = key_of_rank[find_rank(sum, n, (double)(random_next() >> 11) / 0x1p53 * total)];
}

void keys_fill(enum key_mix mix, uint32_t n, uint32_t *ret_keys)
{
    static void (*const fill[MIXES])(uint32_t n, uint32_t *ret_keys) = {
        [MIX_HOT] = fill_hot,
        [MIX_ZIPF] = fill_zipf,
        [MIX_UNIFORM] = fill_uniform,
        [MIX_SHIFT] = fill_zipf,
    };

    fill[mix](n, ret_keys);
}
