/* SPDX-License-Identifier: MIT */
/*
 * The shared memory of one generation: the text, control and arena memfds and the daemon's own mappings of them, which
 * are read+write and never executable.  After the seals no other writable mapping of text or control can be made, by
 * anybody; the arena is for workers to write, and sealed in its size alone.  The linkage is constant: after its seals
 * nobody can write it.  The arena outlives generations: a daemon that starts may have that of the one before
 * (inheritance.h).
 *
 * Whether anybody still runs programs of an earlier generation is known by the arena, since each window maps it, in
 * processes too that no daemon was told of (forked while there was none).  Workers get it as an open file of its own
 * for each generation, which bears a lock of the byte of that number.  The lock lasts as long as the open file, and
 * that as long as any process has it open or mapped: fork, closed descriptors and the end of the daemon change nothing
 * of it; munmap, execve and the end of the process do.  The next daemon asks the kernel for locks of lower bytes.
 */
#ifndef DAEMON_MEMORY_H
#define DAEMON_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <dispatchd/layout.h>

#include "linkage.h"

struct memory {
    int text_descriptor, control_descriptor;
    int arena_descriptor;               /* the daemon's own open file: without a lock */
    int arena_of_windows;               /* for workers: with the lock of this generation */
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
 * Create, map and seal.  arena: of memory_reopen_arena(), or one that no worker has; taken over
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

/*
 * Another open file of an arena that a worker hands back, and in which memory_arena_mistake() finds none: to keep the
 * worker's would be to keep the lock of its window.  The caller owns the result.  -EACCES: of another user; of open(2).
 */
int memory_reopen_arena(int descriptor);

/*
 * Is there a process, known or not, with a window of an earlier generation onto this arena?  Once there is none there
 * will be none.  (A worker that plays with the lock can make this wrong; it can write to the arena anyway.)
 */
bool memory_has_earlier_windows(const struct memory *memory);

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
