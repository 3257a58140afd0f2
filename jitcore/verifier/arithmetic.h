/* SPDX-License-Identifier: MIT */
/*
 * Instructions that compute: numbers, and pointers with offsets.
 */
#ifndef JITCORE_VERIFIER_ARITHMETIC_H
#define JITCORE_VERIFIER_ARITHMETIC_H

#include "analysis.h"

int arithmetic_process(struct analysis *analysis);

/* lddw: a number, a map, a place in a region, a function. */
int arithmetic_process_load_64(struct analysis *analysis);

#endif
