/* SPDX-License-Identifier: MIT */
/* States that were kept and explored. */

#include "kept.h"

#include <errno.h>
#include <stdlib.h>

#include "inclusion.h"

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
    for (uint32_t i = 0; i < table->buckets; i++)
        while (table->bucket[i]) {
            struct kept *kept = table->bucket[i];

            table->bucket[i] = kept->next;
            kept_free(table, kept);
        }
    free(table->bucket);
    free(table->place);
    *table = (struct kept_table){ 0 };
}

struct kept *kept_new(struct kept_table *table, uint32_t at, const struct verifier_state *state)
{
    struct kept *kept = calloc(1, sizeof(*kept));

    if (!kept)
        return NULL;
    kept->at = at;
    kept->state = state_save(state);
    if (!kept->state) {
        free(kept);
        return NULL;
    }
    table->bytes += state_saved_size(state) + sizeof(*kept);
    table->count++;
    return kept;
}

void kept_free(struct kept_table *table, struct kept *kept)
{
    table->bytes -= state_saved_size(kept->state) + sizeof(*kept);
    table->count--;
    free(kept->state);
    free(kept);
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

static void choose_counter(struct kept_place *place)
{
    unsigned best = 0;

    for (unsigned reg = 1; reg < INSTRUCTION_REGISTERS - 1; reg++)
        if (place->changes[reg] > place->changes[best])
            best = reg;
    place->counter = place->changes[best] >= COUNTER_CHANGES ? (int8_t)(best + 1) : -1;
}

static void learn(struct kept_place *place, const struct kept *kept)
{
    if (place->counter != 0)
        return;
    for (unsigned reg = 0; reg < INSTRUCTION_REGISTERS - 1; reg++) {
        uint64_t value = state_top(kept->state)->reg[reg].number.tnum.value;

        if (!is_fixed(kept, reg))
            continue;
        place->changes[reg] += place->last[reg] != value;
        place->last[reg] = value;
    }
    if (++place->seen == COUNTER_SEEN)
        choose_counter(place);
}

static uint64_t hash_with(uint64_t hash, const struct value *counter)
{
    return counter ? mix(hash, counter->number.tnum.value + 1) : hash;
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
    const struct value *counter = NULL;

    if (table->count > table->buckets && grow(table) < 0) {
        kept_free(table, kept);
        return -ENOMEM;
    }
    learn(place, kept);
    if (place->counter > 0 && is_fixed(kept, (unsigned)place->counter - 1))
        counter = &state_top(kept->state)->reg[place->counter - 1];
    kept->hash = hash_with(hash_state(table->control, kept->at, kept->state), counter);
    put(table, kept);
    return 0;
}

void kept_table_find(struct kept_table *table, uint32_t at, const struct verifier_state *state,
                     struct kept **ret_buckets[2])
{
    int8_t counter = table->place[at].counter;
    uint64_t hash = hash_state(table->control, at, state);
    const struct value *value = counter > 0 ? &state_top(state)->reg[counter - 1] : NULL;

    ret_buckets[0] = bucket_of(table, hash);
    ret_buckets[1] = value && is_constant(value) ? bucket_of(table, hash_with(hash, value)) : NULL;
}

void kept_table_tidy(struct kept_table *table, struct kept **bucket)
{
    struct kept **link = bucket;

    for (unsigned i = 0; *link && i < KEPT_TRIALS; i++) {
        struct kept *kept = *link;

        if (kept->misses <= MISSES_MAX + MISSES_MAX * kept->hits) {
            link = &kept->next;
            continue;
        }
        *link = kept->next;
        kept_free(table, kept);
    }
}
