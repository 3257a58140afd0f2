/* SPDX-License-Identifier: MIT */
/*
 * Instructions that are still to be looked at, each at most once at a time: for analyses that go on until nothing
 * changes.
 */
#ifndef JITCORE_WORKLIST_H
#define JITCORE_WORKLIST_H

#include <stdbool.h>
#include <stdint.h>

struct worklist {
    uint32_t *item;
    uint32_t items;
    bool *waiting;              /* per number: it is in the list */
};

/* Empty, for the numbers 0 to count - 1.  -ENOMEM.  Undo with worklist_clear(). */
int worklist_init(struct worklist *worklist, uint32_t count);
void worklist_clear(struct worklist *worklist);

/* Put a number in, if it is not there. */
void worklist_put(struct worklist *worklist, uint32_t number);

/* Take the last one out.  False: there is none. */
bool worklist_take(struct worklist *worklist, uint32_t *ret);

#endif
