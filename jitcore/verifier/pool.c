/* SPDX-License-Identifier: MIT */
/* Memory for states. */

#include "pool.h"

#include <assert.h>
#include <errno.h>
#include <stdalign.h>
#include <stdlib.h>
#include <sys/mman.h>

/* Chunks are whole huge pages: to fault small ones in, one by one, took a quarter of the verifier's time. */
#define HUGE_PAGE ((size_t)2 << 20)
#define CHUNK_MAX ((size_t)32 << 20)

/* Address sanitizers shall see what is used after it was given back, as they do with malloc(). */
#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#endif

struct pool_chunk {
    struct pool_chunk *next;
    alignas(max_align_t) char memory[];
};

static size_t rounded(size_t size)
{
    return (size + POOL_GRAIN - 1) / POOL_GRAIN * POOL_GRAIN;
}

/* As much as there is already, up to a limit.  What is left of the last one is given up: less than a piece. */
static int add_chunk(struct pool *pool)
{
    size_t size = pool->bytes < HUGE_PAGE ? HUGE_PAGE : pool->bytes > CHUNK_MAX ? CHUNK_MAX :
                  pool->bytes / HUGE_PAGE * HUGE_PAGE;
    struct pool_chunk *chunk = aligned_alloc(HUGE_PAGE, size);

    if (!chunk)
        return -ENOMEM;
    (void)madvise(chunk, size, MADV_HUGEPAGE);          /* or small ones it is */
    chunk->next = pool->chunk;
    pool->chunk = chunk;
    pool->unused = chunk->memory;
    pool->end = (char *)chunk + size;
    ASAN_POISON_MEMORY_REGION(pool->unused, (size_t)(pool->end - pool->unused));
    return 0;
}

void *pool_take(struct pool *pool, size_t size)
{
    size_t class = rounded(size) / POOL_GRAIN;
    char *piece;

    assert(size > 0 && size <= POOL_PIECE_MAX);
    piece = pool->free[class];
    if (piece) {
        ASAN_UNPOISON_MEMORY_REGION(piece, size);
        pool->free[class] = *(void **)(void *)piece;
        return piece;
    }
    if ((size_t)(pool->end - pool->unused) < rounded(size) && add_chunk(pool) < 0)
        return NULL;
    piece = pool->unused;
    pool->unused += rounded(size);
    pool->bytes += rounded(size);
    ASAN_UNPOISON_MEMORY_REGION(piece, size);
    return piece;
}

void pool_give_back(struct pool *pool, void *piece, size_t size)
{
    if (!piece)
        return;
    *(void **)piece = pool->free[rounded(size) / POOL_GRAIN];
    pool->free[rounded(size) / POOL_GRAIN] = piece;
    ASAN_POISON_MEMORY_REGION(piece, size);
}

void pool_clear(struct pool *pool)
{
    while (pool->chunk) {
        struct pool_chunk *chunk = pool->chunk;

        pool->chunk = chunk->next;
        free(chunk);
    }
    *pool = (struct pool){ 0 };
}
