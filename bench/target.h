/* SPDX-License-Identifier: MIT */
/* The targets of the benchmarks: one line of C, compiled once to BPF and once to the machine's own code. */
#ifndef BENCH_TARGET_H
#define BENCH_TARGET_H

#include <linux/types.h>

#define TARGETS 64          /* different ones; key k has target k % TARGETS */

struct bench_context {
    __u64 value;
};

#define TARGET_DEFAULT 0
#define TARGET_VERDICT(number) ((number) + 1)

#endif
