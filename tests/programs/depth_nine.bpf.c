/* SPDX-License-Identifier: MIT */
/* Refused: nine functions on the stack at once. */
#define DEPTH 9
#include "depth.bpf.c"
