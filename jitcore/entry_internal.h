/* SPDX-License-Identifier: MIT */
/* What the two files of an entry share: what it is (entry.c) and how it is changed (entry_change.c). */
#ifndef JITCORE_ENTRY_INTERNAL_H
#define JITCORE_ENTRY_INTERNAL_H

#include "body.h"
#include "entry.h"
#include "poke.h"

/* Room for filters, oldest first. */
struct room {
    uint64_t offset;            /* IMAGE_NONE: there is none */
    size_t size;                /* filters that it has room for */
    size_t filters;             /* written */
};

#define NO_ROOM ((struct room){ IMAGE_NONE, 0, 0 })

struct entry {
    struct image *image;
    uint64_t offset;
    enum entry_state state;
    struct body *body;          /* what this entry runs */
    uint64_t copy;              /* where the copy of its head is, IMAGE_NONE: there is none */
    struct room room;
    uint64_t sampler;           /* stands before the code, never with filters; IMAGE_NONE: there is none */
    bool preparing;             /* a change is prepared */
};

/* Where the slot leads, unless somebody else wrote it. */
uint64_t entry_slot_target(const struct entry *entry);

/* The poke that makes the slot lead to `target`. */
struct slot_change entry_poke(const struct entry *entry, uint64_t target);

/* Reserve room for so many filters.  Errors of image_reserve. */
int entry_room_new(struct image *image, size_t size, struct room *ret);
uint64_t entry_filter_at(const struct room *room, size_t i);

/* At image offset `at`; `size` bytes, as body_head_size() has them. */
void entry_emit_head(const struct body *body, void *buffer, size_t size, uint64_t at);

#endif
