/* SPDX-License-Identifier: MIT */
/* Maps beside plain models of them: each operation at random, what it returns and leaves compared. */
#ifndef TESTS_MAPS_MODEL_H
#define TESTS_MAPS_MODEL_H

#include <stdint.h>

#include "fixture.h"
#include "generate/random.h"

#define MODEL_THREADS 3

/* A map and the threads that take turns with it. */
struct trial {
    struct fixture fixture;
    struct thread thread[MODEL_THREADS];
    struct random random;
};

/*
 * `steps` operations on an empty map of the definition; ends the process with a message when map and model differ.
 * By kind: those with keys; queue and stack; ring buffers.
 */
void model_keyed(struct trial *trial, unsigned steps);
void model_queue(struct trial *trial, unsigned steps);
void model_ring(struct trial *trial, unsigned steps);

#endif
