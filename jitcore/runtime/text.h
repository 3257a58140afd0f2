/* SPDX-License-Identifier: MIT */
/* Comparing text: bpf_strncmp. */
#ifndef JITCORE_RUNTIME_TEXT_H
#define JITCORE_RUNTIME_TEXT_H

#include <stdint.h>

/* -1, 0, 1: as strncmp(left, right, size).  left is size bytes, and need not end; right ends with a NUL. */
long text_compare(const char *left, uint64_t size, const char *right);

#endif
