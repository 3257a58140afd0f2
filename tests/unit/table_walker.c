/* SPDX-License-Identifier: MIT */
#include "table_walker.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/element.h"
#include "runtime/hash.h"

struct walk {
    const struct map *map;
    const uint8_t *memory;
    uint8_t *reached;           /* of each element: how often */
    uint32_t elements;
};

static uint64_t fold(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;

    return (uint64_t)(product >> 64) ^ (uint64_t)product;
}

/* Pairs of words of the key, padded with zeros; one word alone if what is left is not more. */
uint64_t table_hash(const struct map *map, const void *key)
{
    const uint64_t root2 = 0x6a09e667f3bcc909, root3 = 0xbb67ae8584caa73b;
    uint64_t word[80] = { 0 }, hash = map->seed ^ root2;
    uint32_t at = 0;

    memcpy(word, key, map->key_size);
    for (; map->key_size - 8 * at > 16; at += 2)
        hash = fold(word[at] ^ hash, word[at + 1] ^ root3);
    hash = fold(word[at] ^ hash, (map->key_size - 8 * at > 8 ? word[at + 1] : 0) ^ root3);
    return fold(hash ^ root3, map->seed ^ root2 ^ map->key_size);
}

static const uint8_t *element(const struct map *map, uint32_t link)
{
    return (const uint8_t *)map + map->memory + map->elements_at + (uint64_t)(link - 1) * map->stride;
}

static uint8_t owner(const struct walk *walk, uint32_t link)
{
    return walk->memory[walk->map->owners_at + link - 1];
}

/* Of the byte for each 512 owners, behind all of them in a line of its own. */
static uint8_t group(const struct walk *walk, uint32_t link)
{
    uint32_t count = walk->map->elements + walk->map->spares;

    return walk->memory[walk->map->owners_at + (count + 63) / 64 * 64 + (link - 1) / 512];
}

static const struct bucket *bucket(const struct map *map, uint32_t number)
{
    return (const struct bucket *)(const void *)((const uint8_t *)map + map->memory) + number;
}

uint32_t table_bucket(const struct map *map, const void *key)
{
    return (uint32_t)table_hash(map, key) & (map->buckets - 1);
}

/* ---- what buckets reach ---- */

static const char *check_element(struct walk *walk, uint32_t number, uint32_t link, uint64_t *ret_hash)
{
    if (link > walk->map->elements + walk->map->spares)
        return "a link leads outside";
    if (walk->reached[link - 1]++ > 0)
        return "an element is reached twice";
    walk->elements++;
    *ret_hash = table_hash(walk->map, element(walk->map, link) + 8);
    if (((uint32_t)*ret_hash & (walk->map->buckets - 1)) != number)
        return "an element is in another key's bucket";
    return NULL;
}

static const char *check_bucket(struct walk *walk, uint32_t number)
{
    const struct bucket *b = bucket(walk->map, number);
    const char *wrong = NULL;
    uint64_t hash, last = 0;
    unsigned length = 0;

    if (b->lock != 0)
        return "a lock is held";
    for (int i = 0; !wrong && i < 6; i++) {
        if (b->slot[i] == 0)
            continue;
        wrong = check_element(walk, number, (uint32_t)b->slot[i], &hash);
        if (!wrong && hash >> 32 != b->slot[i] >> 32)
            wrong = "a slot has another key's hash";
    }
    for (uint32_t link = b->overflow; !wrong && link != 0; last = hash, length++) {
        wrong = check_element(walk, number, link, &hash);
        if (!wrong && (hash < last || length == 64))
            wrong = "a list is not in order, or too long";
        if (!wrong)
            memcpy(&link, element(walk->map, link), sizeof(link));
    }
    return wrong;
}

static const char *check_keys(const struct walk *walk)
{
    uint32_t count = walk->map->elements + walk->map->spares;

    for (uint32_t a = 1; a <= count; a++)
        for (uint32_t b = a + 1; walk->reached[a - 1] && b <= count; b++)
            if (walk->reached[b - 1] &&
                memcmp(element(walk->map, a) + 8, element(walk->map, b) + 8, walk->map->key_size) == 0)
                return "a key is there twice";
    return NULL;
}

/* ---- who owns the others ---- */

/* Marks the spares in `reached` with 2. */
static const char *check_spares(struct walk *walk)
{
    const struct hash_seat *seat = (const void *)(walk->memory + walk->map->part_at[0]);

    for (uint32_t i = 0; i < walk->map->spares; i++) {
        uint32_t link = seat[i].spare ? seat[i].spare : walk->map->elements + 1 + i;

        if (link > walk->map->elements + walk->map->spares)
            return "a spare is outside";
        if (walk->reached[link - 1] != 0)
            return "a spare is reached, or another seat's too";
        walk->reached[link - 1] = 2;
    }
    return NULL;
}

static const char *check_owners(const struct walk *walk)
{
    for (uint32_t link = 1; link <= walk->map->elements + walk->map->spares; link++) {
        bool is_tail = link > walk->map->elements;
        uint8_t of_free = is_tail ? 0xfe : 0, of_used = is_tail && owner(walk, link) == 0 ? 0 : 0xff;

        if (owner(walk, link) != (walk->reached[link - 1] ? of_used : of_free))
            return walk->reached[link - 1] ? "an element in use is not owned" : "an element is lost";
        if (owner(walk, link) == of_free && group(walk, link) == 0xff)
            return "a free element is in a group that counts as full";
    }
    return NULL;
}

const char *table_check(const struct map *map, uint32_t *ret_elements)
{
    struct walk walk = { .map = map, .memory = (const uint8_t *)map + map->memory };
    const char *wrong = NULL;

    walk.reached = calloc(map->elements + map->spares, 1);
    for (uint32_t i = 0; !wrong && i < map->buckets; i++)
        wrong = check_bucket(&walk, i);
    if (!wrong)
        wrong = check_keys(&walk);
    if (!wrong)
        wrong = check_spares(&walk);
    if (!wrong)
        wrong = check_owners(&walk);
    free(walk.reached);
    if (!wrong && ret_elements)
        *ret_elements = walk.elements;
    return wrong;
}

const void *table_value(const struct map *map, const void *key)
{
    const struct bucket *b = bucket(map, table_bucket(map, key));
    uint32_t found = 0, link;

    for (int i = 0; i < 6; i++) {
        link = (uint32_t)b->slot[i];
        if (link != 0 && memcmp(element(map, link) + 8, key, map->key_size) == 0)
            found = link;
    }
    for (link = b->overflow; link != 0; memcpy(&link, element(map, link), sizeof(link)))
        if (memcmp(element(map, link) + 8, key, map->key_size) == 0)
            found = link;
    if (found == 0)
        return NULL;
    if (map->copy_stride)
        return (const uint8_t *)map + map->memory + map->part_at[2] + (uint64_t)(found - 1) * map->value_stride;
    return element(map, found) + map->value_at;
}
