/* SPDX-License-Identifier: MIT */
/* What makers of descriptions of types share. */
#ifndef JITCORE_TYPED_INTERNAL_H
#define JITCORE_TYPED_INTERNAL_H

#include "typed.h"

#define TYPED_DEPTH_MAX 16              /* types inside each other: JSON nests no deeper than messages may */

/* All zero, of these sizes; to be freed with typed_free().  NULL: no memory. */
struct typed *typed_new(uint32_t types, uint32_t members, uint32_t enumerators, uint32_t strings);

/* Does all hold that typed.h says of a description?  `typed` has the sizes that it says. */
bool typed_valid(const struct typed *typed);

static inline bool typed_is_integer_size(uint32_t size)
{
    return size == 1 || size == 2 || size == 4 || size == 8;
}

/* As a part of something bigger; reading: *typed stays as it is if it fails. */
struct stream;
void typed_transfer(struct stream *stream, struct typed **typed);

#endif
