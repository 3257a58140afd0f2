/* SPDX-License-Identifier: MIT */
/*
 * What bench/poke and its readers share: which versions of the code may be seen, what they answer,
 * and the counts.
 *
 * The code changes all the time, and each version has a serial number.  It answers key number c
 * with verdict_of(serial, c); one more key is never in the table and gets the default.
 */
#ifndef BENCH_POKE_H
#define BENCH_POKE_H

#include <stdint.h>

#define READERS_MAX 16

#define KEYS 7                          /* in the table; MISSING_KEY follows */
#define MISSING_KEY UINT32_C(1500)
#define DEFAULT_VERDICT UINT32_C(0xffffffff)

static const uint32_t poke_keys[KEYS + 1] = {
    0, 1, 100, 1000, 0x7fffffff, 0x80000000, 0xfffffffe, MISSING_KEY,
};

/* Serial numbers up to 2^28; 0 is the entry before the first version, which has defaults only. */
static inline uint32_t verdict_of(uint32_t serial, uint32_t key_number)
{
    return serial << 4 | key_number;
}

struct poke_reader {
    uint64_t executions, wrong;         /* written by the reader */
    uint8_t padding[48];
};

struct poke_shared {
    uint32_t live;                      /* no call that begins now may see an older version */
    uint32_t newest;                    /* nor any call a newer one */
    uint32_t stop;
    uint8_t padding[52];
    struct poke_reader reader[READERS_MAX];
};

/*
 * Descriptors that a reader inherits: a socket to send its lines on and to be started by, and memfds.
 */
enum {
    READER_SOCKET = 3, READER_CONTROL, READER_TEXT, READER_ARENA, READER_LINKAGE, READER_SHARED, READER_DESCRIPTORS_END,
};

/*
 * Arguments of the reader program: its number, the generation, the size of the text, the entry's
 * offset.
 */

#endif
