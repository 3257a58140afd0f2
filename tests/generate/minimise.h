/* SPDX-License-Identifier: MIT */
/* A program that fails, made small. */
#ifndef TESTS_GENERATE_MINIMISE_H
#define TESTS_GENERATE_MINIMISE_H

#include <stdbool.h>

#include "bytecode.h"

/*
 * Replace instructions by ones that do nothing (`ja +0`) as long as the program is well formed and `fails` says that it
 * still fails.
 */
void minimise(struct bytecode *bytecode, bool (*fails)(void *userdata, const struct bytecode *bytecode),
              void *userdata);

/* The instructions that do something, as TAP comments. */
void minimise_print(const struct bytecode *bytecode);

#endif
