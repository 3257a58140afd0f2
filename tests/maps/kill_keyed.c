/* SPDX-License-Identifier: MIT */
/* Maps with keys: keys of each actor alone, whose values are known exactly, and keys that all change. */
#include <errno.h>
#include <linux/bpf.h>
#include <string.h>

#include "kill.h"
#include "unit/table_walker.h"
#include "unit/trie_walker.h"

#define KEYS (ACTORS * OWN_KEYS + SHARED_KEYS)
#define CROWD 256               /* keys */
#define KEY_SIZE_MAX 16
#define WORDS_MAX 64            /* of a value */
#define MAKER_OF(value) ((unsigned)((value) >> 56) - 1)         /* kill_value() */
#define KEY_OF(value) ((uint32_t)((value) >> 32 & 0xffffff))    /* kill_value() */

static bool is_array(const struct map *map)
{
    return map->kind == BPF_MAP_TYPE_ARRAY || map->kind == BPF_MAP_TYPE_PERCPU_ARRAY;
}

/* Of arrays the index; of tries a prefix, of which some contain others; else spread over the table. */
static void key_write(const struct map *map, uint32_t number, uint8_t *ret)
{
    uint32_t spread = number * 0x9e3779b1, length;

    memset(ret, 0, KEY_SIZE_MAX);
    if (map->kind == BPF_MAP_TYPE_LPM_TRIE) {
        length = number % 2 ? 32 : 24;
        memcpy(ret, &length, sizeof(length));
        ret[4] = 10;
        ret[5] = (uint8_t)(number / 8);
        ret[6] = (uint8_t)(number / 2);
        ret[7] = number % 2 ? (uint8_t)number : 0;
    } else {
        memcpy(ret, is_array(map) ? &number : &spread, sizeof(number));
    }
}

/* A value is one word, again and again: half of one shows. */
static long write_value(struct actor *actor, uint32_t number, uint64_t value)
{
    const struct map_kind *kind = actor->fixture->kind;
    uint8_t key[KEY_SIZE_MAX];
    uint64_t words[WORDS_MAX];

    key_write(actor->fixture->map, number, key);
    if (value == 0 && !is_array(actor->fixture->map))
        return kind->call_delete(actor->fixture->map, key, 0, 0, 0, &actor->thread);
    for (unsigned i = 0; i < WORDS_MAX; i++)
        words[i] = value;
    return kind->call_update(actor->fixture->map, key, words, BPF_ANY, 0, &actor->thread);
}

static uint64_t read_words(const struct map *map, const uint64_t *words, uint32_t number)
{
    for (uint32_t i = 1; i < map->value_size / 8; i++)
        if (words[i] != words[0])
            fixture_fail("key %u has half of a value", number);
    return words[0];
}

/* 0: it is not there. */
static uint64_t read_value(struct actor *actor, uint32_t number)
{
    const struct map *map = actor->fixture->map;
    uint8_t key[KEY_SIZE_MAX];
    const uint64_t *words;

    key_write(map, number, key);
    words = actor->fixture->kind->call_lookup(map, key, 0, 0, 0, &actor->thread);
    if (!words || read_words(map, words, number) == 0)
        return 0;
    if (map->kind == BPF_MAP_TYPE_LPM_TRIE && KEY_OF(words[0]) != number)
        return 0;               /* a shorter prefix was found */
    return words[0];
}

/* Of kinds with copies: the last value that `maker` has left in any; 0: none.  All must be whole, and the key's. */
static uint64_t read_copies(const struct actor *actor, uint32_t number, unsigned maker)
{
    const struct map *map = actor->fixture->map;
    uint8_t key[KEY_SIZE_MAX];
    uint64_t last = 0;
    const uint8_t *copy;

    key_write(map, number, key);
    copy = actor->fixture->kind->call_copies(map, key);
    for (unsigned seat = 0; copy && seat < SEATS_MAX; seat++, copy += map->copy_stride) {
        uint64_t value = read_words(map, (const uint64_t *)(const void *)copy, number);

        if (value != 0 && KEY_OF(value) != number)
            fixture_fail("key %u has another's value %#llx", number, (unsigned long long)value);
        if (value != 0 && MAKER_OF(value) == maker && value > last)
            last = value;
    }
    return last;
}

static bool is_there(struct actor *actor, uint32_t number)
{
    uint8_t key[KEY_SIZE_MAX];

    if (!actor->fixture->map->copy_stride)
        return read_value(actor, number) != 0;
    key_write(actor->fixture->map, number, key);
    return actor->fixture->kind->call_copies(actor->fixture->map, key) != NULL;
}

void kill_keyed_act(struct actor *actor)
{
    struct record *record = actor->record;
    uint32_t own = random_below(&actor->random, OWN_KEYS + 2), number;
    /* Zeros in one copy say nothing about those of former seats. */
    bool always_writes = actor->fixture->map->kind == BPF_MAP_TYPE_PERCPU_ARRAY;

    if (own > OWN_KEYS)
        own = OWN_KEYS;
    number = own < OWN_KEYS ? actor->index * OWN_KEYS + own :
                              ACTORS * OWN_KEYS + random_below(&actor->random, SHARED_KEYS);
    record->pending_key = own;
    record->pending_value = always_writes || random_percent(&actor->random, 70) ? kill_value(actor, number) : 0;
    __atomic_store_n(&record->pending, true, __ATOMIC_SEQ_CST);
    if (kill_result(actor, write_value(actor, number, record->pending_value), record->pending_value ? 0 : -ENOENT) &&
        own < OWN_KEYS)
        record->own[own] = record->pending_value;
    __atomic_store_n(&record->pending, false, __ATOMIC_SEQ_CST);
}

/* What is there of a key is what its actor has done last, or, of the victim, what it was about to do. */
static void check_own(struct actor *parent, unsigned victim, unsigned owner, uint32_t own)
{
    struct record *record = &parent->all[owner];
    uint32_t number = owner * OWN_KEYS + own;
    uint64_t found = parent->fixture->map->copy_stride ? read_copies(parent, number, owner) :
                                                         read_value(parent, number);

    if (found == record->own[own])
        return;
    if (owner == victim && record->pending && record->pending_key == own && found == record->pending_value)
        record->own[own] = found;
    else
        fixture_fail("actor %u's key %u is %#llx, not %#llx%s", owner, own, (unsigned long long)found,
                     (unsigned long long)record->own[own], owner == victim ? " (it was killed)" : "");
}

static void check_shared(struct actor *parent, uint32_t number)
{
    uint64_t found = parent->fixture->map->copy_stride ? read_copies(parent, number, parent->index) :
                                                         read_value(parent, number);

    if (found != 0 && KEY_OF(found) != number)
        fixture_fail("key %u has another's value %#llx", number, (unsigned long long)found);
}

/* Iteration finds as many as lookups do, and no more than there may be. */
static void check_count(struct actor *parent, uint32_t keys)
{
    const struct map *map = parent->fixture->map;
    struct map_cursor cursor = { 0 };
    uint32_t seen = 0, there = 0;
    void *value;

    for (uint32_t i = 0; i < keys; i++)
        there += is_there(parent, i);
    while (seen <= map->max_entries && parent->fixture->kind->call_next(map, &cursor, &value, 0, 0, &parent->thread))
        seen++;
    if (!is_array(map) && (seen != there || seen > map->max_entries))
        fixture_fail("lookups find %u keys, iteration %u, and %u there may be", there, seen, map->max_entries);
}

/* By those who know the layout and not the code: links, owners, spares, counts and locks. */
static void check_structure(const struct fixture *fixture)
{
    const struct map *map = fixture->map;
    const char *wrong = NULL;

    if (map->buckets)
        wrong = table_check(map, NULL);
    else if (map->kind == BPF_MAP_TYPE_LPM_TRIE)
        wrong = trie_check(map, NULL, NULL);
    if (wrong)
        fixture_fail("%s: %s", fixture->kind->name, wrong);
}

/* No lock is left: each key can be changed.  In kinds with copies, those of the actors stay what they are. */
static void change_all(struct actor *parent)
{
    for (uint32_t number = 0; number < KEYS; number++) {
        uint64_t value = kill_value(parent, number);
        long r = write_value(parent, number, value);

        if (r != 0)
            fixture_fail("key %u cannot be changed any more: %s", number, strerror((int)-r));
        if (number < ACTORS * OWN_KEYS && !parent->fixture->map->copy_stride)
            parent->all[number / OWN_KEYS].own[number % OWN_KEYS] = value;
    }
}

void kill_keyed_check(struct actor *parent, unsigned victim)
{
    check_structure(parent->fixture);
    for (unsigned owner = 0; owner < ACTORS; owner++)
        for (uint32_t own = 0; own < OWN_KEYS; own++)
            check_own(parent, victim, owner, own);
    for (uint32_t number = ACTORS * OWN_KEYS; number < KEYS; number++)
        check_shared(parent, number);
    if (parent->fixture->kind->call_next)
        check_count(parent, KEYS);
    change_all(parent);
}

void kill_crowded_act(struct actor *actor)
{
    uint32_t number = random_below(&actor->random, CROWD);

    if (random_percent(&actor->random, 90))
        kill_result(actor, write_value(actor, number, kill_value(actor, number)), 0);
    else
        kill_result(actor, write_value(actor, number, 0), -ENOENT);
}

void kill_crowded_check(struct actor *parent, unsigned victim)
{
    check_structure(parent->fixture);
    for (uint32_t number = 0; number < CROWD; number++) {
        long r;

        check_shared(parent, number);
        r = write_value(parent, number, kill_value(parent, number));
        if (r != 0)
            fixture_fail("key %u cannot be changed any more: %s", number, strerror((int)-r));
    }
    check_count(parent, CROWD);
}
