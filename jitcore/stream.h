/* SPDX-License-Identifier: MIT */
/*
 * Bytes for another process: one pass over all that is sent, in one of three modes: only counting (`at` is NULL),
 * writing, or reading.  One function describes a thing in all three, so that they cannot differ.  Numbers are little
 * endian.
 */
#ifndef JITCORE_STREAM_H
#define JITCORE_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct stream {
    uint8_t *at;
    size_t position, size;      /* bytes; reading: never beyond `size` */
    bool reading, failed;       /* once failed, nothing is transferred any more */
};

/* Reading: into what is pointed to; else from it. */
void stream_bytes(struct stream *stream, void *bytes, size_t size);
void stream_number(struct stream *stream, uint32_t *number);
void stream_long(struct stream *stream, uint64_t *number);

#endif
