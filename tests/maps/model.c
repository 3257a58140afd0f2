/* SPDX-License-Identifier: MIT */
/*
 * All kinds of maps beside plain models, in random sequences of operations.
 *
 *      model [SEQUENCES [SEED]]
 */
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>

#include "model.h"
#include "util.h"

#define STEPS 1000
#define SEQUENCES 40

static const struct subject {
    const char *name;
    struct map_definition definition;
    void (*run)(struct trial *trial, unsigned steps);
} subjects[] = {
#define SUBJECT(kind, key, value, entries, run) \
    { #kind " of " #key " and " #value " bytes, " #entries, { BPF_MAP_TYPE_##kind, key, value, entries, 0 }, run }
    SUBJECT(ARRAY, 4, 8, 16, model_keyed),
    SUBJECT(ARRAY, 4, 13, 1, model_keyed),
    SUBJECT(HASH, 8, 8, 16, model_keyed),
    SUBJECT(HASH, 4, 8, 32, model_keyed),
    SUBJECT(HASH, 16, 40, 31, model_keyed),
    SUBJECT(HASH, 3, 5, 7, model_keyed),
    SUBJECT(HASH, 37, 1, 1, model_keyed),
    SUBJECT(LRU_HASH, 8, 8, 16, model_keyed),
    SUBJECT(LRU_HASH, 5, 64, 3, model_keyed),
    SUBJECT(LRU_HASH, 5, 3, 1, model_keyed),
    SUBJECT(PERCPU_ARRAY, 4, 8, 16, model_keyed),
    SUBJECT(PERCPU_HASH, 8, 24, 16, model_keyed),
    { "LPM_TRIE of 8 and 8 bytes, 16", { BPF_MAP_TYPE_LPM_TRIE, 8, 8, 16, BPF_F_NO_PREALLOC }, model_keyed },
    { "LPM_TRIE of 20 and 3 bytes, 32", { BPF_MAP_TYPE_LPM_TRIE, 20, 3, 32, BPF_F_NO_PREALLOC }, model_keyed },
    SUBJECT(QUEUE, 0, 8, 8, model_queue),
    SUBJECT(QUEUE, 0, 8, 1, model_queue),
    SUBJECT(STACK, 0, 8, 8, model_queue),
    SUBJECT(STACK, 0, 8, 1, model_queue),
    SUBJECT(RINGBUF, 0, 0, 4096, model_ring),
    SUBJECT(RINGBUF, 0, 0, 8192, model_ring),
};

static void run(const struct subject *subject, unsigned sequences, uint64_t seed)
{
    struct trial trial = { .random = { seed } };

    fixture_make(&subject->definition, &trial.fixture);
    for (unsigned i = 0; i < sequences; i++) {
        for (unsigned t = 0; t < MODEL_THREADS; t++)
            trial.thread[t] = fixture_thread(t);
        fixture_reset(&trial.fixture);
        subject->run(&trial, STEPS);
    }
    fixture_clear(&trial.fixture);
}

int main(int argc, char **argv)
{
    unsigned sequences = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 0) : SEQUENCES;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;

    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("1..%zu\n", ARRAY_LENGTH(subjects));
    for (size_t i = 0; i < ARRAY_LENGTH(subjects); i++) {
        run(&subjects[i], sequences, seed);
        printf("ok - %s\n", subjects[i].name);
    }
    return 0;
}
