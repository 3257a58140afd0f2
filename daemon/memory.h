/* SPDX-License-Identifier: MIT */
/*
 * The shared memory of one generation: the text, control and arena memfds and the daemon's own mappings of them, which
 * are read+write and never executable.  After the seals no other writable mapping of text or control can be made, by
 * anybody; the arena is for workers to write, and sealed in its size alone.  The linkage is constant: after its seals
 * nobody can write it.  The arena outlives generations: a daemon that starts may have that of the one before
 * (inheritance.h).
 */
#ifndef DAEMON_MEMORY_H
#define DAEMON_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <dispatchd/layout.h>

#include "linkage.h"

struct memory {
    int text_descriptor, control_descriptor, arena_descriptor;
    int linkage_descriptor[2];          /* [1]: without indirect jumps */
    void *text;                         /* read+write; text_size bytes */
    size_t text_size;
    struct dd_control *control;         /* read+write */
    struct dd_directory_entry *directory;       /* read+write; DD_LINKAGE_MAX of them; in the mapping of control */
    void *arena;                        /* read+write; DD_ARENA_SIZE bytes: what is in it is hostile input */
};

/* Where the counters stub lies, as an image offset: before the image. */
#define LINKAGE_COUNTERS_STUB ((int64_t)DD_WINDOW_LINKAGE - (int64_t)DD_WINDOW_TEXT + LINKAGE_COUNTERS)

/* What to say where a host refuses executable memory files (-EACCES, -EPERM). */
extern const char memory_forbidden[];

/*
 * Create, map and seal.  arena: the memfd of one that there is, in which memory_arena_mistake() finds none; taken over
 * in any case; -EBADF: make a new one.  Owned by the caller.  On failure *reterr_text says in words what the host
 * refuses and what to do about it: -EACCES executable memfds are forbidden (vm.memfd_noexec, SELinux), -ENOMEM, others
 * of memfd_create and mmap.
 */
int memory_new(uint64_t generation, size_t text_size, int arena, struct memory **ret, const char **reterr_text);

/*
 * May this descriptor, from anybody, be mapped as an arena?  NULL: yes;
 * else why not: it is no memfd, its seals, its size.
 */
const char *memory_arena_mistake(int descriptor);

/* NULL is fine; returns NULL.  Workers keep their own mappings. */
struct memory *memory_free(struct memory *memory);

/* image_populate of the text: allocate its pages, so that no worker meets SIGBUS.  userdata: struct memory *. */
int memory_populate(void *userdata, uint64_t offset, size_t size);

/* The same for the arena: what is there stays.  -ENOSPC, -ENOMEM: the host has no memory. */
int memory_populate_arena(struct memory *memory, uint64_t offset, size_t size);

/* Make it zero, and give whole pages back to the host. */
int memory_discard_arena(struct memory *memory, uint64_t offset, size_t size);

/* Write one 0 there, so that memory_arena_in_use() finds the page, also in memory that was only populated. */
int memory_mark_arena(struct memory *memory, uint64_t offset);

/*
 * The first pages at or behind `offset`, and before `*end`, that somebody wrote to: [*ret_begin, *end).
 * false: there are none.
 */
bool memory_arena_in_use(const struct memory *memory, uint64_t offset, uint64_t *ret_begin, uint64_t *end);

#endif
