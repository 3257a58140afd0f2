/* SPDX-License-Identifier: MIT */
/*
 * The image: executable memory as this side sees it, which is read+write and never executable.  Addresses are
 * offsets from its beginning; where workers map it is their business.
 *
 * Allocation is a transaction: reserve space, fill it, commit; or abort.  Freed bytes are poisoned at once, so a
 * thread that still executes them crashes there instead of running something else; the caller frees only
 * after a grace period.
 *
 * Colours: two chained jumps whose addresses are equal modulo a large power of two share a branch-predictor entry
 * (7.2 ns a call instead of 2.75 when measured).  Each reservation begins at another multiple of 64 bytes modulo 4096
 * than the ones before it.
 *
 * Bytes never executed in this generation and bytes that a thread may have executed are different things (a
 * slot may be poked to the former at once, to the latter only after a wait): the image knows which is which.
 */
#ifndef JITCORE_IMAGE_H
#define JITCORE_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "architecture.h"

struct image;

/*
 * Make sure that [offset, offset + size) of the image's memory really exists (no SIGBUS later in a worker).
 * 0 or negative errno.  Called before those bytes are first handed out.
 */
typedef int image_populate(void *userdata, uint64_t offset, size_t size);

/* `write` is borrowed memory of `size` bytes (page multiple), writable and filled by image_new with poison as it is
 * handed out.  -ENOMEM. */
int image_new(void *write, size_t size, const struct architecture *architecture, image_populate *populate,
              void *userdata, struct image **ret);
struct image *image_free_all(struct image *image);      /* NULL is fine; returns NULL; the memory stays the caller's */

enum image_bytes {
    IMAGE_FRESH,                /* never executed in this generation */
    IMAGE_ANY,                  /* may have been executed before: a grace period must pass between writing and poking */
};

/*
 * Reserve `size` bytes.  *ret_offset is 64-byte aligned.  IMAGE_FRESH takes never-executed bytes only; IMAGE_ANY prefers reused
 * ones.  -ENOSPC: no room of that kind (`image_usage` tells); or the error of populate.
 */
int image_reserve(struct image *image, size_t size, enum image_bytes kind, uint64_t *ret_offset);

/* Write address of a reserved or committed range, for the emitter. */
void *image_write(struct image *image, uint64_t offset);

/* The bytes are final: they count as executed from here on. */
void image_commit(struct image *image, uint64_t offset);

/* Give a reservation back; what was fresh stays fresh. */
void image_abort(struct image *image, uint64_t offset);

/* Poison a committed range and make it available as IMAGE_ANY.  Only after a grace period.  Allocates nothing. */
void image_release(struct image *image, uint64_t offset);

struct image_usage {
    size_t size, used, fresh, largest;  /* bytes; largest contiguous free range of any kind */
};
void image_usage(const struct image *image, struct image_usage *ret);

/* Copies of the architecture and the size for the modules that emit into the image. */
const struct architecture *image_architecture(const struct image *image);

#endif
