/* SPDX-License-Identifier: MIT */
/*
 * Perfect hashing of 32-bit keys: a function that gives each key of a set a slot of its own.
 *
 *      slot(key) = key * multiplier >> (32 - bits)                 where one multiplier is found that parts all keys
 *      slot(key) = key * multiplier >> (32 - bits) ^ displacement[key * bucket_multiplier >> (32 - bucket_bits)]
 *
 * The second is hash and displace (Belazzougui, Botelho, Dietzfelbinger, 2009): the keys of one bucket are moved
 * together to where all of them find free slots, the largest buckets first.
 */
#ifndef JITCORE_PERFECT_HASH_H
#define JITCORE_PERFECT_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct perfect_hash {
    uint32_t multiplier;        /* odd */
    unsigned bits;              /* 1 to 31: there are 1 << bits slots */
    uint32_t bucket_multiplier; /* odd */
    unsigned bucket_bits;       /* 0: without displacements */
    uint32_t *displacement;     /* of each bucket, below 1 << bits; NULL without */
    uint32_t *left;             /* keys that got no slot of their own, sorted; NULL: there are none */
    size_t lefts;
};

/*
 * A function for `count` distinct keys, at least one and at most 2^24, with at least twice as many slots.  The same
 * keys always get the same one.  Keys that no function tried parts are left out, as few as may be; that happens to keys
 * that were chosen for it.  -ENOMEM.
 */
int perfect_hash_new(const uint32_t *key, size_t count, struct perfect_hash *ret);
void perfect_hash_done(struct perfect_hash *hash);

/* Is `key` one of those that were left out? */
bool perfect_hash_left(const struct perfect_hash *hash, uint32_t key);

uint32_t perfect_hash_slot(const struct perfect_hash *hash, uint32_t key);

#endif
