/* SPDX-License-Identifier: MIT */
/*
 * Memory for the states of one run: some hundred bytes to some KiB each, taken and given back all the time, and
 * freed all at once in the end.  With malloc() and free() the verifier takes a third longer (bench/programs --verifier).
 */
#ifndef JITCORE_VERIFIER_POOL_H
#define JITCORE_VERIFIER_POOL_H

#include <stddef.h>
#include <stdint.h>

#define POOL_GRAIN 128          /* bytes: sizes are rounded up to it */
#define POOL_PIECE_MAX (80u << 10)

struct pool_chunk;

/* Zeroed before use. */
struct pool {
    struct pool_chunk *chunk;   /* the newest */
    char *unused, *end;         /* of it */
    size_t bytes;               /* of all pieces, in use or given back */
    void *free[POOL_PIECE_MAX / POOL_GRAIN + 1];        /* by size: pieces that were given back, in a list */
};

/* A piece of `size` bytes, at most POOL_PIECE_MAX, aligned as by malloc(), with anything in it.  NULL: no memory. */
void *pool_take(struct pool *pool, size_t size);

/* It is not used any more.  `size` as when it was taken.  NULL is nothing. */
void pool_give_back(struct pool *pool, void *piece, size_t size);

/* Free all there is. */
void pool_clear(struct pool *pool);

#endif
