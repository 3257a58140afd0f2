/* SPDX-License-Identifier: MIT */
/*
 * The states in which the verifier has seen each instruction of a program, and the question whether one of them
 * describes what the interpreter has there: all live registers, all written bytes of all stacks, what is linked by ids,
 * the chain of calls.
 */
#ifndef TESTS_SOUNDNESS_RECORDING_H
#define TESTS_SOUNDNESS_RECORDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytecode.h"
#include "interpreter.h"
#include "verifier/verifier.h"

struct recorded;

struct recording {
    const struct bytecode *bytecode;    /* borrowed */
    struct recorded **at;               /* per instruction: the states */
    uint16_t *live, *live_behind;       /* per instruction: registers that may be read from it, from behind it, on */
    uint64_t states;
    bool complete;                      /* memory sufficed */
};

/* Where the interpreter has what no region is: indices into its memory[]. */
struct recording_places {
    uint32_t context, packet;           /* UINT32_MAX: no packet */
};

/* False: no memory.  Undo with recording_clear(). */
bool recording_init(struct recording *recording, const struct bytecode *bytecode);
void recording_clear(struct recording *recording);

/* For verifier_options.observe; `userdata` is the recording. */
void recording_observe(void *userdata, uint32_t instruction, const struct verifier_state *state);

/*
 * Does one of the recorded states describe the interpreter, before the instruction that it is at?  If none does, why
 * the one that came closest does not is written to `reason`.
 */
bool recording_describes(const struct recording *recording, const struct interpreter *interpreter,
                         const struct recording_places *places, char *reason, size_t size);

#endif
