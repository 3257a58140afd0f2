/* SPDX-License-Identifier: MIT */
/*
 * Random programs: valid, ending, and full of what compilers emit and optimisers look for: byte-wise loads, rotates,
 * shift pairs, computed addresses, branches, loops, calls, callbacks, spills, atomics.  The seed decides.
 */
#ifndef TESTS_GENERATE_PROGRAM_H
#define TESTS_GENERATE_PROGRAM_H

#include <stdbool.h>
#include <stdint.h>

#include "bytecode.h"
#include "random.h"

#define GENERATE_CONTEXT_SIZE 64        /* bytes that R1 points to */
#define GENERATE_PACKET_SIZE_MAX 96     /* bytes */

struct generate_options {
    uint32_t statements;        /* about as many; 0: the seed decides */
    /*
     * R1 is a context with a packet (generate_packet_context()), else bytes.
     */
    bool packet;
    bool lookups;               /* bpf_map_lookup_elem(): they need the verifier, to know the map */
    bool hash;                  /* there is a hash table, too, and calls that change it; they need runtime beside the code */
    bool maps;                  /* with hash: of all kinds; ring buffers; functions of the workers' */
    /*
     * Each program has its own taste: it prefers some kinds of statements, and has none of others.  More differ than if
     * all had a little of everything (A. Groce and others, "Swarm Testing", ISSTA 2012).
     */
    bool taste;
    uint32_t bold;              /* percent of computed addresses whose bounds nobody has seen to: accesses that a
                                   verifier may refuse and that may fault */
};

/* What a program uses; for histograms. */
struct generate_features {
    bool variable_offset, loop, spill, call, callback, atomic, lookup, change, packet, branch, bold;
};

/* A program.  The result is the caller's (bytecode_free()); NULL: no memory.  `features` may be NULL. */
struct bytecode *generate_program(uint64_t seed, const struct generate_options *options,
                                  struct generate_features *features);

/* What R1 points to for the same seed, and the packet; returns the packet's size. */
void generate_context(uint64_t seed, uint8_t ret[GENERATE_CONTEXT_SIZE]);
uint32_t generate_packet(uint64_t seed, uint8_t ret[GENERATE_PACKET_SIZE_MAX]);

/* The description of a context with a packet: data at 0, data_end at 8, then six writable fields of 8 bytes. */
struct context *generate_packet_context(void);

#endif
