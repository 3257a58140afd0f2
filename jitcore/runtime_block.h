/* SPDX-License-Identifier: MIT */
/* What the Makefile makes of the runtime's linked code (runtime_bytes.c), for runtime.c alone. */
#ifndef JITCORE_RUNTIME_BLOCK_H
#define JITCORE_RUNTIME_BLOCK_H

#include <stddef.h>

extern const unsigned char runtime_block[];
extern const size_t runtime_block_size;

#endif
