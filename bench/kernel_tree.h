/* SPDX-License-Identifier: MIT */
/*
 * Linux's own shape of a multi-way branch (its BPF dispatcher), for comparison: a binary search by comparisons, one
 * key a leaf, jumps to multiples of 16 bytes.  No guard, no slot, and not made for the keys that come.
 */
#ifndef BENCH_KERNEL_TREE_H
#define BENCH_KERNEL_TREE_H

#include <stdint.h>

#include <dispatchd.h>

#define KERNEL_TREE_ALIGNMENT 4096
/* Bytes that are enough for n keys; whole pages. */
#define KERNEL_TREE_SIZE(n) (((n) * 64 + 2 * 4096 - 1) / 4096 * 4096)

/*
 * Write the tree for the keys 0 to n - 1, whose targets are given, into `code`, which lies within 2 GiB of them, and
 * make these pages executable instead of writable.  Ends the process where that fails.
 */
void kernel_tree_make(uint8_t *code, uint32_t n, dd_entry *const *target, uint32_t default_verdict);

#endif
