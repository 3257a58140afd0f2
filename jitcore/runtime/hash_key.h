/* SPDX-License-Identifier: MIT */
/*
 * Keys of hash tables: their hash and their comparison.
 *
 * The hash multiplies 64 by 64 bits and folds the product, 16 bytes of the key at a time (the scheme of wyhash by Wang
 * Yi, with constants of our own): whoever chooses keys without knowing the map's seed cannot choose their buckets.
 */
#ifndef JITCORE_RUNTIME_HASH_KEY_H
#define JITCORE_RUNTIME_HASH_KEY_H

#include "map.h"

/* Odd, half of the bits set: the fractions of the square roots of 2 and 3. */
#define HASH_FIRST UINT64_C(0x6a09e667f3bcc909)
#define HASH_SECOND UINT64_C(0xbb67ae8584caa73b)

static inline uint64_t hash_fold(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;

    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Up to 8 bytes from any address, as a number. */
static inline uint64_t key_word(const void *place, uint32_t size)
{
    uint64_t word = 0;
    uint32_t half;

    switch (size) {
    case 8:
        __builtin_memcpy(&word, place, 8);
        return word;
    case 4:
        __builtin_memcpy(&half, place, 4);
        return half;
    default:
        for (uint32_t i = 0; i < size; i++)
            word |= (uint64_t)((const uint8_t *)place)[i] << 8 * i;
        return word;
    }
}

/* `size` is the map's key_size: a constant where a size has code of its own. */
static inline __attribute__((always_inline))
uint64_t key_hash_sized(const struct map *map, const void *key, uint32_t size)
{
    const uint8_t *place = key;
    uint64_t hash = map->seed ^ HASH_FIRST;
    uint32_t left = size;

    for (; left > 16; left -= 16, place += 16)
        hash = hash_fold(key_word(place, 8) ^ hash, key_word(place + 8, 8) ^ HASH_SECOND);
    if (left > 8)
        hash = hash_fold(key_word(place, 8) ^ hash, key_word(place + 8, left - 8) ^ HASH_SECOND);
    else
        hash = hash_fold(key_word(place, left) ^ hash, HASH_SECOND);
    return hash_fold(hash ^ HASH_SECOND, map->seed ^ HASH_FIRST ^ size);
}

/* `element` is an element's key: shared, at a multiple of 8, its last word filled up with zeros. */
static inline __attribute__((always_inline))
bool key_equal_sized(const void *element, const void *key, uint32_t size)
{
    const uint64_t *word = element;
    const uint8_t *place = key;
    uint32_t left = size;

    for (; left >= 8; left -= 8, place += 8)
        if (READ_ONCE(*word++) != key_word(place, 8))
            return false;
    return left == 0 || READ_ONCE(*word) == key_word(place, left);
}

static inline uint64_t key_hash(const struct map *map, const void *key)
{
    return key_hash_sized(map, key, map->key_size);
}

static inline bool key_equal(const struct map *map, const void *element, const void *key)
{
    return key_equal_sized(element, key, map->key_size);
}

#endif
