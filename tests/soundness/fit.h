/* SPDX-License-Identifier: MIT */
/*
 * Where accesses may go: for each load and store of a program, which offsets keep it inside the object that its pointer
 * leads to, in all states in which the verifier has seen it.
 */
#ifndef TESTS_SOUNDNESS_FIT_H
#define TESTS_SOUNDNESS_FIT_H

#include <stdbool.h>
#include <stdint.h>

#include "bytecode.h"
#include "generate/random.h"
#include "verifier/verifier.h"

struct reach;

struct fit {
    const struct bytecode *bytecode;    /* borrowed */
    struct reach *reach;                /* per instruction */
};

/* False: no memory.  Undo with fit_clear(). */
bool fit_init(struct fit *fit, const struct bytecode *bytecode);
void fit_clear(struct fit *fit);

/* Nothing seen yet. */
void fit_reset(struct fit *fit);

/* For verifier_options.observe; `userdata` is the fit. */
void fit_observe(void *userdata, uint32_t instruction, const struct verifier_state *state);

/* An access by a pointer with a variable part; to the packet. */
bool fit_is_variable(const struct fit *fit, uint32_t at);
bool fit_is_packet(const struct fit *fit, uint32_t at);

/* An offset with which the access stays inside; false if there is none. */
bool fit_offset(const struct fit *fit, uint32_t at, struct random *random, int16_t *ret);

/* The first or the last one, and `beyond` by so many bytes. */
bool fit_edge(const struct fit *fit, uint32_t at, struct random *random, int32_t beyond, int16_t *ret);

#endif
