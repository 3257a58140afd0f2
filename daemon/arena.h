/* SPDX-License-Identifier: MIT */
/*
 * The arena: memory that programs write, in all workers at once.  This module keeps the book of which bytes are whose;
 * the book is the daemon's own, for any worker may write anything into the arena at any time.  So nothing here or above
 * ever reads it back.
 */
#ifndef DAEMON_ARENA_H
#define DAEMON_ARENA_H

#include <stddef.h>
#include <stdint.h>

struct arena;
struct memory;

#define ARENA_NONE UINT64_MAX   /* no offset */
#define ARENA_GRANULE 64        /* bytes; a cache line, so that two programs never share one */

/* All of memory->arena, which is borrowed. -ENOMEM. */
int arena_new(struct memory *memory, struct arena **ret);
struct arena *arena_free(struct arena *arena);                  /* NULL is fine; returns NULL */

/*
 * Reserve `size` bytes, more than 0: allocated, so that no worker meets SIGBUS, and zero.  *ret_offset is a multiple of
 * ARENA_GRANULE.  -ENOSPC: no such gap; -ENOMEM; others of fallocate(2).  On error nothing changed.
 */
int arena_reserve(struct arena *arena, size_t size, uint64_t *ret_offset);

/* The daemon's address of reserved bytes, for their initial contents. */
void *arena_write(struct arena *arena, uint64_t offset);

/* Give them back.  Only when no program that refers to them can run.  Allocates nothing. */
void arena_release(struct arena *arena, uint64_t offset);

/* Bytes reserved, and the largest gap. */
size_t arena_used(const struct arena *arena);
size_t arena_largest(const struct arena *arena);

#endif
