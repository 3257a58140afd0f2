/* SPDX-License-Identifier: MIT */
/*
 * Random programs that the verifier accepts, as close to what it would refuse as can be.  A generated program is
 * changed at random; what the verifier then refuses is amended, an instruction at a time.  In the end accesses are
 * moved to the first or the last bytes that the verifier thinks an object has there: if it is wrong by one, the program
 * is, too.
 */
#ifndef TESTS_SOUNDNESS_CANDIDATE_H
#define TESTS_SOUNDNESS_CANDIDATE_H

#include <stdbool.h>
#include <stdint.h>

#include "bytecode.h"
#include "context.h"
#include "verified.h"

#define CANDIDATE_INSTRUCTIONS_MAX 1000        /* processed by the verifier, over all paths */

/* What an accepted program has, in instructions that are reached; for histograms. */
struct candidate_features {
    bool variable_offset;       /* access through a pointer with a variable part */
    bool loop;                  /* a jump backwards, or bpf_loop() */
    bool spill;                 /* a register stored to the stack and loaded again */
    bool call, callback, atomic, lookup, packet, branch;
    bool inner;                 /* a map out of a map of maps */
    bool elements;              /* bpf_for_each_map_elem() */
    bool record;                /* bpf_ringbuf_reserve() */
    bool native;                /* a function of the workers' */
};

struct candidate {
    struct bytecode *bytecode;
    struct context *context;    /* with a packet if context->data >= 0, else bytes */
    struct verified verified;
    struct candidate_features features;
};

enum candidate_result { CANDIDATE_REFUSED, CANDIDATE_ACCEPTED };

/* The seed decides, and the verifier.  Undo with candidate_clear(), if it was accepted. */
enum candidate_result candidate_new(uint64_t seed, struct candidate *ret);

/* What is zeroed is fine. */
void candidate_clear(struct candidate *candidate);

#endif
