/* SPDX-License-Identifier: MIT */
/* States that were kept and explored. */

#include "kept.h"

#include <errno.h>
#include <stdlib.h>

#include "inclusion.h"

_Static_assert(sizeof(struct kept) + sizeof(struct verifier_state) + VERIFIER_DEPTH_MAX * sizeof(struct frame) <=
               POOL_PIECE_MAX, "the largest state is a piece of the pool");

#define BUCKETS_MIN 256
#define MISSES_MAX 32           /* of a kept state, for each hit and one more: then it is freed */
#define COUNTER_SEEN 8          /* kept states at a place before its counter is looked for */
#define COUNTER_CHANGES 5       /* of them, so many must have had another value than the one before */

int kept_table_init(struct kept_table *table, const struct control *control, uint32_t instructions)
{
    table->control = control;
    table->place = calloc(instructions, sizeof(*table->place));
    table->bucket = calloc(BUCKETS_MIN, sizeof(struct kept *));
    table->buckets = table->bucket ? BUCKETS_MIN : 0;
    return table->place && table->bucket ? 0 : -ENOMEM;
}

void kept_table_clear(struct kept_table *table)
{
    pool_clear(&table->pool);
    free(table->bucket);
    free(table->place);
    *table = (struct kept_table){ 0 };
}

struct kept *kept_new(struct kept_table *table, uint32_t at, const struct verifier_state *state)
{
    struct kept *kept = pool_take(&table->pool, sizeof(*kept) + state_bytes(state));

    if (!kept)
        return NULL;
    *kept = (struct kept){ .at = at, .state = state_save_at(kept + 1, state) };
    table->count++;
    return kept;
}

void kept_free(struct kept_table *table, struct kept *kept)
{
    table->count--;
    pool_give_back(&table->pool, kept, sizeof(*kept) + kept->state->bytes);
}

/* ---- places ---- */

static uint64_t mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 29;
}

/* Calls, and where pointers point. */
static uint64_t hash_state(const struct control *control, uint32_t at, const struct verifier_state *state)
{
    uint64_t hash = mix(at, state->depth);

    for (uint32_t f = 0; f < state->depth; f++) {
        uint16_t live = inclusion_live(control, at, state, f);

        hash = mix(hash, state->frame[f]->call);
        for (unsigned reg = 0; reg < INSTRUCTION_REGISTERS - 1; reg++) {
            const struct value *value = &state->frame[f]->reg[reg];

            if (live >> reg & 1 && value_is_pointer(value))
                hash = mix(hash, (uint64_t)value->type << 56 ^ (uint64_t)reg << 48 ^
                                     (uint64_t)value->region << 32 ^ (uint32_t)value->offset);
        }
    }
    return hash;
}

static bool is_constant(const struct value *value)
{
    return value_is_number(value) && scalar_is_constant(&value->number);
}

/* A register's constant that the proof from there rests on. */
static bool is_fixed(const struct kept *kept, unsigned reg)
{
    return demand_of_registers(&kept->demand, kept->state->depth - 1) >> reg & 1 &&
           is_constant(&state_top(kept->state)->reg[reg]);
}

static void choose_counters(struct kept_place *place)
{
    for (unsigned reg = 0; reg < INSTRUCTION_REGISTERS - 1; reg++)
        if (place->changes[reg] >= COUNTER_CHANGES)
            place->counters |= (uint16_t)(1u << reg);
}

static void learn(struct kept_place *place, const struct kept *kept)
{
    if (place->seen == COUNTER_SEEN)
        return;
    for (unsigned reg = 0; reg < INSTRUCTION_REGISTERS - 1; reg++) {
        uint64_t value = state_top(kept->state)->reg[reg].number.tnum.value;

        if (!is_fixed(kept, reg))
            continue;
        place->changes[reg] += place->last[reg] != value;
        place->last[reg] = value;
    }
    if (++place->seen == COUNTER_SEEN)
        choose_counters(place);
}

/* With the counters; false: they are not all constants. */
static bool hash_counters(uint16_t counters, const struct verifier_state *state, uint64_t *hash)
{
    uint64_t h = *hash;

    for (; counters; counters &= counters - 1) {
        const struct value *value = &state_top(state)->reg[__builtin_ctz(counters)];

        if (!is_constant(value))
            return false;
        h = mix(h, value->number.tnum.value + 1);
    }
    *hash = h;
    return true;
}

static struct kept **bucket_of(struct kept_table *table, uint64_t hash)
{
    return &table->bucket[hash & (table->buckets - 1)];
}

static void put(struct kept_table *table, struct kept *kept)
{
    struct kept **bucket = bucket_of(table, kept->hash);

    kept->next = *bucket;
    *bucket = kept;
}

/* Twice as many buckets.  States of one hash stay in their order. */
static int grow(struct kept_table *table)
{
    uint32_t old_buckets = table->buckets;
    struct kept **old = table->bucket, **new = calloc(2ul * old_buckets, sizeof(struct kept *));

    if (!new)
        return -ENOMEM;
    table->bucket = new;
    table->buckets = 2 * old_buckets;
    for (uint32_t i = 0; i < old_buckets; i++) {
        struct kept *reversed = NULL, *kept, *next;

        for (kept = old[i]; kept; kept = next) {
            next = kept->next;
            kept->next = reversed;
            reversed = kept;
        }
        for (kept = reversed; kept; kept = next) {
            next = kept->next;
            put(table, kept);
        }
    }
    free(old);
    return 0;
}

int kept_table_add(struct kept_table *table, struct kept *kept)
{
    struct kept_place *place = &table->place[kept->at];

    if (table->count > table->buckets && grow(table) < 0) {
        kept_free(table, kept);
        return -ENOMEM;
    }
    learn(place, kept);
    kept->hash = hash_state(table->control, kept->at, kept->state);
    if (!(place->counters & ~demand_of_registers(&kept->demand, kept->state->depth - 1)))
        hash_counters(place->counters, kept->state, &kept->hash);
    put(table, kept);
    return 0;
}

void kept_table_find(struct kept_table *table, uint32_t at, const struct verifier_state *state,
                     struct kept **ret_buckets[2])
{
    uint16_t counters = table->place[at].counters;
    uint64_t hash = hash_state(table->control, at, state);

    ret_buckets[0] = bucket_of(table, hash);
    ret_buckets[1] = counters && hash_counters(counters, state, &hash) ? bucket_of(table, hash) : NULL;
}

struct kept **kept_table_miss(struct kept_table *table, struct kept **link)
{
    struct kept *kept = *link;

    if (++kept->misses <= MISSES_MAX + MISSES_MAX * kept->hits)
        return &kept->next;
    *link = kept->next;
    kept_free(table, kept);
    return link;
}
