/* SPDX-License-Identifier: MIT */
/* What verifying takes: instructions a second, and a long packet program. */
#ifndef BENCH_VERIFICATION_H
#define BENCH_VERIFICATION_H

#include <stdbool.h>
#include <stddef.h>

/* Verify and compile these objects, and a program of 3,000 instructions; print what they took. */
void verification_bench(const char *const *paths, size_t count, bool json);

#endif
