/* SPDX-License-Identifier: MIT */
#include "perfect_hash.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define PLAIN_MAX 4096          /* more keys than these are hardly ever parted by one multiplier */
#define PLAIN_TRIES 64          /* for each number of slots */
#define PLAIN_BITS 3            /* up to 1 << so many times the least number of slots, to spare the second load */
#define DISPLACED_TRIES 32
#define DISPLACEMENTS 4096      /* tried for a bucket: half of the slots are free, and buckets have few keys */
#define BUCKET_KEYS 2           /* on average, about */

/* Multipliers that look random, the same in each run: a fixed sequence (xorshift32, Marsaglia 2003). */
static uint32_t next_multiplier(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state | 1;
}

static uint32_t multiply_shift(uint32_t key, uint32_t multiplier, unsigned bits)
{
    return key * multiplier >> (32 - bits);
}

uint32_t perfect_hash_slot(const struct perfect_hash *hash, uint32_t key)
{
    uint32_t slot = multiply_shift(key, hash->multiplier, hash->bits);

    if (hash->bucket_bits > 0)
        slot ^= hash->displacement[multiply_shift(key, hash->bucket_multiplier, hash->bucket_bits)];
    return slot;
}

/* The least number of bits that counts to `count`, 1 at least. */
static unsigned bits_for(size_t count)
{
    unsigned bits = 1;

    while ((size_t)1 << bits < count)
        bits++;
    return bits;
}

/* ---- one multiplier ---- */

static bool parts_all(const struct perfect_hash *hash, const uint32_t *key, size_t count, bool *taken)
{
    memset(taken, 0, sizeof(*taken) << hash->bits);
    for (size_t i = 0; i < count; i++) {
        uint32_t slot = perfect_hash_slot(hash, key[i]);

        if (taken[slot])
            return false;
        taken[slot] = true;
    }
    return true;
}

static int find_plain(const uint32_t *key, size_t count, struct perfect_hash *hash)
{
    unsigned least = bits_for(2 * count);
    bool *taken = malloc(sizeof(*taken) << (least + PLAIN_BITS));
    uint32_t state = 1;
    int r = -EDOM;

    if (!taken)
        return -ENOMEM;
    for (hash->bits = least; r < 0 && hash->bits <= least + PLAIN_BITS; hash->bits++)
        for (int i = 0; r < 0 && i < PLAIN_TRIES; i++) {
            hash->multiplier = next_multiplier(&state);
            if (parts_all(hash, key, count, taken))
                r = 0;
        }
    hash->bits--;               /* the loop's step after the one that was found */
    free(taken);
    return r;
}

/* ---- displacements ---- */

struct displacing {
    struct perfect_hash *hash;
    uint32_t *key;              /* bucket by bucket */
    uint32_t *begin;            /* of each bucket in `key`, and the end of the last */
    uint32_t *order;            /* buckets, the largest first */
    bool *taken;                /* slots */
};

static size_t bucket_count(const struct perfect_hash *hash)
{
    return (size_t)1 << hash->bucket_bits;
}

static uint32_t bucket_of(const struct perfect_hash *hash, uint32_t key)
{
    return multiply_shift(key, hash->bucket_multiplier, hash->bucket_bits);
}

/* By counting: first how many, then where each begins, then the keys. */
static void fill_buckets(struct displacing *d, const uint32_t *key, size_t count)
{
    size_t buckets = bucket_count(d->hash);

    memset(d->begin, 0, (buckets + 1) * sizeof(*d->begin));
    for (size_t i = 0; i < count; i++)
        d->begin[bucket_of(d->hash, key[i])]++;
    for (size_t b = 0, sum = 0; b <= buckets; b++) {
        sum += d->begin[b];
        d->begin[b] = (uint32_t)sum;            /* where it ends */
    }
    for (size_t i = 0; i < count; i++)
        d->key[--d->begin[bucket_of(d->hash, key[i])]] = key[i];
}

static uint32_t bucket_size(const struct displacing *d, uint32_t bucket)
{
    return d->begin[bucket + 1] - d->begin[bucket];
}

static void sort_buckets(struct displacing *d)
{
    size_t buckets = bucket_count(d->hash), sorted = 0;
    uint32_t largest = 0, next;

    for (uint32_t b = 0; b < buckets; b++)
        largest = bucket_size(d, b) > largest ? bucket_size(d, b) : largest;
    for (uint32_t size = largest; size > 0; size = next) {
        next = 0;
        for (uint32_t b = 0; b < buckets; b++) {
            if (bucket_size(d, b) == size)
                d->order[sorted++] = b;
            else if (bucket_size(d, b) < size && bucket_size(d, b) > next)
                next = bucket_size(d, b);
        }
    }
    while (sorted < buckets)
        d->order[sorted++] = UINT32_MAX;        /* empty ones */
}

/* Take a slot for each key of the bucket under this displacement, or none. */
static bool place_bucket(struct displacing *d, uint32_t bucket, uint32_t displacement)
{
    for (uint32_t i = d->begin[bucket]; i < d->begin[bucket + 1]; i++) {
        uint32_t slot = multiply_shift(d->key[i], d->hash->multiplier, d->hash->bits) ^ displacement;

        if (d->taken[slot]) {
            while (i-- > d->begin[bucket])
                d->taken[multiply_shift(d->key[i], d->hash->multiplier, d->hash->bits) ^ displacement] = false;
            return false;
        }
        d->taken[slot] = true;
    }
    return true;
}

/* Under the first displacement, from `*displacement` on, that has a slot for each of its keys. */
static bool displace_bucket(struct displacing *d, uint32_t bucket, uint32_t *displacement)
{
    uint32_t slots = UINT32_C(1) << d->hash->bits, at = *displacement;

    for (uint32_t tries = 0; tries < slots && tries < DISPLACEMENTS; tries++) {
        if (place_bucket(d, bucket, at)) {
            d->hash->displacement[bucket] = at;
            *displacement = (at + 1) & (slots - 1);
            return true;
        }
        at = (at + 1) & (slots - 1);
    }
    return false;
}

static void leave_bucket(struct displacing *d, uint32_t bucket)
{
    for (uint32_t i = d->begin[bucket]; d->hash->left && i < d->begin[bucket + 1]; i++)
        d->hash->left[d->hash->lefts++] = d->key[i];
}

/* All keys but those of buckets that find no slots: returns how many these are, or `enough` if they are as many. */
static size_t place_all(struct displacing *d, size_t enough)
{
    uint32_t displacement = 0;
    size_t left = 0;

    memset(d->taken, 0, sizeof(*d->taken) << d->hash->bits);
    memset(d->hash->displacement, 0, bucket_count(d->hash) * sizeof(*d->hash->displacement));
    for (size_t i = 0; i < bucket_count(d->hash) && d->order[i] != UINT32_MAX; i++) {
        if (displace_bucket(d, d->order[i], &displacement))
            continue;
        left += bucket_size(d, d->order[i]);
        if (left >= enough)
            return enough;
        leave_bucket(d, d->order[i]);
    }
    return left;
}

static size_t place_keys(struct displacing *d, const uint32_t *key, size_t count, size_t enough)
{
    fill_buckets(d, key, count);
    sort_buckets(d);
    return place_all(d, enough);
}

static int compare_keys(const void *first, const void *second)
{
    uint32_t a = *(const uint32_t *)first, b = *(const uint32_t *)second;

    return (a > b) - (a < b);
}

/* Again with the multipliers that left the fewest, now noting them. */
static int leave_keys(struct displacing *d, const uint32_t *key, size_t count, size_t left)
{
    d->hash->left = malloc(left * sizeof(*d->hash->left));
    if (!d->hash->left)
        return -ENOMEM;
    place_keys(d, key, count, SIZE_MAX);
    assert(d->hash->lefts == left);
    qsort(d->hash->left, left, sizeof(*d->hash->left), compare_keys);
    return 0;
}

static int find_displacements(struct displacing *d, const uint32_t *key, size_t count)
{
    uint32_t state = 2, multiplier = 0, bucket_multiplier = 0;
    size_t left = SIZE_MAX, least = SIZE_MAX;

    for (int i = 0; i < DISPLACED_TRIES && least > 0; i++) {
        d->hash->multiplier = next_multiplier(&state);
        d->hash->bucket_multiplier = next_multiplier(&state);
        left = place_keys(d, key, count, least);
        if (left >= least)
            continue;
        least = left;
        multiplier = d->hash->multiplier;
        bucket_multiplier = d->hash->bucket_multiplier;
    }
    d->hash->multiplier = multiplier;
    d->hash->bucket_multiplier = bucket_multiplier;
    return least > 0 ? leave_keys(d, key, count, least) : 0;
}

static int find_displaced(const uint32_t *key, size_t count, struct perfect_hash *hash)
{
    struct displacing d = { .hash = hash };
    int r = -ENOMEM;

    hash->bits = bits_for(2 * count);
    hash->bucket_bits = bits_for(count / BUCKET_KEYS);
    hash->displacement = malloc(bucket_count(hash) * sizeof(*hash->displacement));
    d.key = malloc(count * sizeof(*d.key));
    d.begin = malloc((bucket_count(hash) + 1) * sizeof(*d.begin));
    d.order = malloc(bucket_count(hash) * sizeof(*d.order));
    d.taken = malloc(sizeof(*d.taken) << hash->bits);
    if (hash->displacement && d.key && d.begin && d.order && d.taken)
        r = find_displacements(&d, key, count);
    free(d.key);
    free(d.begin);
    free(d.order);
    free(d.taken);
    if (r < 0)
        perfect_hash_done(hash);
    return r;
}

int perfect_hash_new(const uint32_t *key, size_t count, struct perfect_hash *ret)
{
    struct perfect_hash hash = { 0 };
    int r = -EDOM;

    assert(count > 0 && count <= 1 << 24);
    if (count <= PLAIN_MAX)
        r = find_plain(key, count, &hash);
    if (r == -EDOM)
        r = find_displaced(key, count, &hash);
    if (r >= 0)
        *ret = hash;
    return r;
}

bool perfect_hash_left(const struct perfect_hash *hash, uint32_t key)
{
    return hash->lefts > 0 && bsearch(&key, hash->left, hash->lefts, sizeof(key), compare_keys);
}

void perfect_hash_done(struct perfect_hash *hash)
{
    free(hash->displacement);
    free(hash->left);
    *hash = (struct perfect_hash){ 0 };
}
