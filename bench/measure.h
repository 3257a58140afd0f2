/* SPDX-License-Identifier: MIT */
/* What all benchmarks need. */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include <stdint.h>

/* Write "bench: " and a sentence to standard error and end with 1. */
__attribute__((noreturn, format(printf, 1, 2)))
void die(const char *format, ...);

/* Nanoseconds, monotonic. */
uint64_t now_ns(void);

/* Nanoseconds that this thread has run: what it waits for a processor does not count. */
uint64_t thread_ns(void);

/* Median of n values, which are sorted on the way. */
double median(double *values, unsigned n);

/* The calling thread stays on its processor, and ahead of other programs where that is allowed: else moves to another
 * processor and time in which others run would be measured too. */
void pin_thread(void);

#endif
