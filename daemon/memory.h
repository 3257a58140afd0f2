/* SPDX-License-Identifier: MIT */
/*
 * The shared memory of one generation: the text and control memfds and the daemon's own mappings of them, which are read+write
 * and never executable.  After the seals no other writable mapping of either can be made, by anybody.
 */
#ifndef DAEMON_MEMORY_H
#define DAEMON_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#include <dispatchd/layout.h>

struct memory {
    int text_descriptor, control_descriptor;
    void *text;                         /* read+write; text_size bytes */
    size_t text_size;
    struct dd_control *control;         /* read+write */
};

/* What to say where a host refuses executable memory files (-EACCES, -EPERM). */
extern const char memory_forbidden[];

/*
 * Create, map and seal.  Owned by the caller.  On failure *reterr_text says in words what the host refuses and what to do
 * about it: -EACCES executable memfds are forbidden (vm.memfd_noexec, SELinux), -ENOMEM, others of memfd_create and mmap.
 */
int memory_new(uint64_t generation, size_t text_size, struct memory **ret, const char **reterr_text);

/* NULL is fine; returns NULL.  Workers keep their own mappings. */
struct memory *memory_free(struct memory *memory);

/* image_populate of the text: allocate its pages, so that no worker meets SIGBUS.  userdata: struct memory *. */
int memory_populate(void *userdata, uint64_t offset, size_t size);

#endif
