/* SPDX-License-Identifier: MIT */
/*
 * Is a history of concurrent operations linearisable?  Each operation must have happened at one instant between its call
 * and its return, in an order in which one thread alone would have had the same answers (Herlihy and Wing 1990; the search
 * is Wing and Gong's).
 */
#ifndef TESTS_MAPS_HISTORY_H
#define TESTS_MAPS_HISTORY_H

#include <stdbool.h>
#include <stdint.h>

#define HISTORY_MAX 16          /* operations */

enum operation_kind { UPDATE, INSERT, REPLACE, DELETE, LOOKUP, PUSH, POP, PEEK };

struct operation {
    enum operation_kind kind;
    uint32_t key;
    uint64_t value;             /* in: to be written; out: what was found or taken, 0 for nothing */
    long result;
    uint64_t called, returned;  /* instants: each number stands for one */
};

#define MODEL_VALUES 8

/* What a map would be, for one thread alone: values by key, 0 for none; or the values in a queue. */
struct plain {
    uint32_t limit, count;      /* of the keys that are there, of the values */
    uint64_t value[MODEL_VALUES];
};

bool history_linearisable(const struct operation *operations, unsigned count, uint32_t limit);

/* For people, each line behind a `#`. */
void history_print(const struct operation *operations, unsigned count);

#endif
