/* SPDX-License-Identifier: MIT */
/* In which order the keys arrive: the mixes of bench/dispatch and bench/shapes, the same in every run. */
#ifndef BENCH_KEYS_H
#define BENCH_KEYS_H

#include <stdint.h>

#define KEYS_LENGTH (1u << 16)          /* of a sequence */
#define KEYS_MAX 4096                   /* different ones */

enum key_mix {
    MIX_HOT,                    /* always one, which is at no end or middle of anything */
    MIX_ZIPF,                   /* Zipf's law with exponent 1.2; which key has which rank is random */
    MIX_UNIFORM,
    MIX_SHIFT,                  /* MIX_ZIPF with other ranks, each time */
    MIXES,
};

extern const char *const key_mix_name[MIXES];

/* KEYS_LENGTH keys below n. */
void keys_fill(enum key_mix mix, uint32_t n, uint32_t *ret_keys);

#endif
