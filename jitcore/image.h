/* SPDX-License-Identifier: MIT */
/*
 * The image: executable memory as this side sees it, which is read+write and never executable.
 * Addresses are offsets from its beginning; where workers map it is their business.
 *
 * Allocation is a transaction: reserve space, fill it, commit; or abort.  Freed bytes are poisoned
 * at once, so a thread that still executes them crashes there instead of running something else;
 * the caller frees only after a grace period.
 *
 * Colours: two chained jumps whose addresses are equal modulo a large power of two share a
 * branch-predictor entry (7.2 ns a call instead of 2.75 when measured).  Where there is room, a
 * reservation begins at another multiple of 64 bytes modulo 4096 than the eight before it.
 *
 * Fresh bytes are those that a slot may be poked to as soon as they are written: no thread can have
 * executed them since it last serialised.  Others need a grace period between writing and poking.
 * The image knows which is which:
 *
 *      never handed out               fresh
 *      committed                      executed, from here on
 *      released (after one wait)      free, but not fresh: nobody is inside any more, yet not
 *                                     everybody has serialised since (a signal handler's guard
 *                                     serialises for the guard that it interrupted, which then
 *                                     goes on in the old bytes)
 *      refreshed (after another)      fresh again: who enters now has serialised after it left
 *
 * Not thread-safe; no function is signal-safe.
 */
#ifndef JITCORE_IMAGE_H
#define JITCORE_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "architecture.h"

struct image;

#define IMAGE_NONE UINT64_MAX   /* no offset */

#define IMAGE_GRANULE 64        /* bytes; reservations are multiples of it and aligned to it */
#define IMAGE_PAGE 4096         /* bytes; after so many the colours begin again */

/*
 * Make sure that [offset, offset + size) of the image's memory really exists (no SIGBUS later in a
 * worker).  Whole IMAGE_PAGEs.  0 or negative errno.  Called once for each page, before it is first
 * handed out.
 */
typedef int image_populate(void *userdata, uint64_t offset, size_t size);

/*
 * `write` is borrowed memory of `size` bytes (a multiple of IMAGE_PAGE), writable; it is filled
 * with poison page by page as pages are populated.  -ENOMEM.
 */
int image_new(void *write, size_t size, const struct architecture *architecture,
              image_populate *populate, void *userdata, struct image **ret);

/* NULL is fine; returns NULL; the memory stays the caller's. */
struct image *image_free_all(struct image *image);

enum image_bytes {
    IMAGE_FRESH,        /* a slot may be poked to them as soon as they are written */
    IMAGE_ANY,          /* a grace period must pass first; prefers what is not fresh */
};

/*
 * Reserve `size` bytes, more than 0.  *ret_offset is 64-byte aligned; the bytes hold poison.
 * -ENOSPC: no contiguous room of that kind (`image_usage` tells); or the error of populate.  On
 * error nothing changed.
 */
int image_reserve(struct image *image, size_t size, enum image_bytes kind, uint64_t *ret_offset);

/* Write address of a reserved or committed range, for the emitter. */
void *image_write(struct image *image, uint64_t offset);

/* The bytes are final: they count as executed from here on. */
void image_commit(struct image *image, uint64_t offset);

/* Give a reservation back; what was fresh stays fresh. */
void image_abort(struct image *image, uint64_t offset);

/*
 * Poison a committed range and make it available as IMAGE_ANY.  Only after a grace period.
 * Allocates nothing.
 */
void image_release(struct image *image, uint64_t offset);

/*
 * Keep the stock of fresh bytes: what was released before image_refresh_begin() and is still free
 * at image_refresh_end() is fresh again.  The caller states that a grace period has begun after the
 * one and ended before the other.
 * Begin returns false, and has begun nothing, while there is too
 * little to gain to be worth a grace period.
 */
bool image_refresh_begin(struct image *image);
void image_refresh_end(struct image *image);

/*
 * Its owner ends, its readers go on: from here on no byte is written any more, and releasing is
 * book-keeping only.
 */
void image_freeze(struct image *image);

struct image_usage {
    size_t size, used, fresh, largest;  /* bytes; largest contiguous free range of any kind */
};
void image_usage(const struct image *image, struct image_usage *ret);

/* What code in this image is emitted for. */
const struct architecture *image_architecture(const struct image *image);

#endif
