/* SPDX-License-Identifier: MIT */
/* The model of all kinds with keys: a list of keys and values. */
#include <errno.h>
#include <linux/bpf.h>
#include <string.h>

#include "model.h"

#define KEYS_MAX 64             /* different ones in one trial */
#define SIZE_MAX_BYTES 64       /* of keys and values here */

struct entry {
    bool present;
    uint8_t key[SIZE_MAX_BYTES];
    uint8_t value[MODEL_THREADS][SIZE_MAX_BYTES];       /* a copy for each thread; other kinds use the first */
};

struct model {
    const struct map *map;
    const struct map_kind *kind;
    bool copies;                /* one for each thread */
    uint32_t keys, present;
    struct entry entry[KEYS_MAX];
};

static bool is_array(const struct map *map)
{
    return map->kind == BPF_MAP_TYPE_ARRAY || map->kind == BPF_MAP_TYPE_PERCPU_ARRAY;
}

static void fill(struct random *random, void *bytes, uint32_t size)
{
    for (uint32_t i = 0; i < size; i++)
        ((uint8_t *)bytes)[i] = (uint8_t)random_next(random);
}

/* ---- prefixes ---- */

static uint32_t prefix_length(const uint8_t *key)
{
    uint32_t length;

    memcpy(&length, key, sizeof(length));
    return length;
}

static bool bits_equal(const uint8_t *a, const uint8_t *b, uint32_t bits)
{
    for (uint32_t i = 0; i < bits; i++)
        if ((a[4 + i / 8] ^ b[4 + i / 8]) & 0x80 >> i % 8)
            return false;
    return true;
}

/* Keys that share beginnings, so that they part everywhere. */
static void prefix_make(struct random *random, struct model *model, uint32_t index, uint8_t *ret)
{
    uint32_t bits = (model->map->key_size - 4) * 8, length = random_below(random, bits + 1);

    fill(random, ret + 4, model->map->key_size - 4);
    if (index > 0)
        for (uint32_t i = 0, same = random_below(random, bits + 1); i < same / 8; i++)
            ret[4 + i] = model->entry[random_below(random, index)].key[4 + i];
    memcpy(ret, &length, sizeof(length));
}

/* The entry that a lookup must find; NULL: none. */
static struct entry *expected(struct model *model, const struct entry *wanted)
{
    struct entry *best = NULL;

    for (uint32_t i = 0; i < model->keys; i++) {
        struct entry *entry = &model->entry[i];
        uint32_t length = prefix_length(entry->key);

        if (!entry->present)
            continue;
        if (model->map->kind != BPF_MAP_TYPE_LPM_TRIE ? entry == wanted :
            length <= prefix_length(wanted->key) && bits_equal(entry->key, wanted->key, length) &&
            (!best || length > prefix_length(best->key)))
            best = entry;
    }
    return best;
}

/* ---- making ---- */

static bool known(const struct model *model, uint32_t count, const uint8_t *key)
{
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *other = model->entry[i].key;

        if (model->map->kind == BPF_MAP_TYPE_LPM_TRIE ?
            prefix_length(other) == prefix_length(key) && bits_equal(other, key, prefix_length(key)) :
            memcmp(other, key, model->map->key_size) == 0)
            return true;
    }
    return false;
}

static void key_make(struct random *random, struct model *model, uint32_t index)
{
    uint8_t *key = model->entry[index].key;

    do {
        if (is_array(model->map))
            memcpy(key, &index, sizeof(index));
        else if (model->map->kind == BPF_MAP_TYPE_LPM_TRIE)
            prefix_make(random, model, index, key);
        else
            fill(random, key, model->map->key_size);
    } while (known(model, index, key));
}

static void model_make(struct trial *trial, struct model *ret)
{
    const struct map *map = trial->fixture.map;

    memset(ret, 0, sizeof(*ret));
    ret->map = map;
    ret->kind = trial->fixture.kind;
    ret->copies = map->kind == BPF_MAP_TYPE_PERCPU_ARRAY || map->kind == BPF_MAP_TYPE_PERCPU_HASH;
    ret->keys = 2 * map->max_entries;
    for (uint32_t i = 0; i < ret->keys; i++) {
        key_make(&trial->random, ret, i);
        if (is_array(map) && i < map->max_entries)
            ret->entry[i].present = true;
    }
}

/* ---- operations ---- */

static uint8_t *copy_of(struct model *model, struct entry *entry, unsigned who)
{
    return entry->value[model->copies ? who : 0];
}

static void check_lookup(struct trial *trial, struct model *model, struct entry *entry, unsigned who)
{
    const void *value = model->kind->call_lookup(model->map, entry->key, 0, 0, 0, &trial->thread[who]);
    struct entry *found = expected(model, entry);

    if (!value != !found)
        fixture_fail("%s: key %td is %s", model->kind->name, entry - model->entry, found ? "missing" : "there");
    if (value && memcmp(value, copy_of(model, found, who), model->map->value_size) != 0)
        fixture_fail("%s: the value of key %td is another", model->kind->name, entry - model->entry);
}

static long expected_of_update(const struct model *model, const struct entry *entry, uint64_t flags)
{
    if (flags > BPF_EXIST)
        return -EINVAL;
    if (is_array(model->map) && !entry->present)
        return -E2BIG;
    if (entry->present)
        return flags == BPF_NOEXIST ? -EEXIST : 0;
    if (flags == BPF_EXIST)
        return -ENOENT;
    if (model->present < model->map->max_entries || model->map->kind == BPF_MAP_TYPE_LRU_HASH)
        return 0;
    return model->map->kind == BPF_MAP_TYPE_LPM_TRIE ? -ENOSPC : -E2BIG;
}

/* The key that had to go when another came into a full map: exactly one. */
static void find_evicted(struct trial *trial, struct model *model, const struct entry *newest)
{
    unsigned gone = 0;

    for (uint32_t i = 0; i < model->keys; i++) {
        struct entry *entry = &model->entry[i];

        if (entry == newest || !entry->present ||
            model->kind->call_lookup(model->map, entry->key, 0, 0, 0, &trial->thread[0]))
            continue;
        entry->present = false;
        model->present--;
        gone++;
    }
    if (gone != 1)
        fixture_fail("%s: %u keys were evicted for one", model->kind->name, gone);
}

static void update(struct trial *trial, struct model *model, struct entry *entry, unsigned who)
{
    static const uint64_t flags[] = { BPF_ANY, BPF_ANY, BPF_ANY, BPF_NOEXIST, BPF_EXIST, 3, BPF_F_LOCK, 1ull << 32 };
    uint64_t flag = flags[random_below(&trial->random, 8)];
    uint8_t value[SIZE_MAX_BYTES];
    long wanted = expected_of_update(model, entry, flag), got;

    fill(&trial->random, value, sizeof(value));
    got = model->kind->call_update(model->map, entry->key, value, flag, 0, &trial->thread[who]);
    if (got != wanted)
        fixture_fail("%s: an update with flags %#llx returns %ld, not %ld", model->kind->name, (unsigned long long)flag,
                     got, wanted);
    if (got != 0)
        return;
    if (!entry->present) {
        memset(entry->value, 0, sizeof(entry->value));
        entry->present = true;
        model->present++;
    }
    memcpy(copy_of(model, entry, who), value, sizeof(value));
    if (model->present > model->map->max_entries && !is_array(model->map))
        find_evicted(trial, model, entry);
}

static void delete(struct trial *trial, struct model *model, struct entry *entry, unsigned who)
{
    long wanted = is_array(model->map) ? -EINVAL : entry->present ? 0 : -ENOENT, got;

    if (!model->kind->call_delete)
        return;
    got = model->kind->call_delete(model->map, entry->key, 0, 0, 0, &trial->thread[who]);
    if (got != wanted)
        fixture_fail("%s: a delete returns %ld, not %ld", model->kind->name, got, wanted);
    if (got == 0) {
        entry->present = false;
        model->present--;
    }
}

/* Each key once, with its value. */
static void check_iteration(struct trial *trial, struct model *model)
{
    struct map_cursor cursor = { 0 };
    uint32_t seen = 0, present = 0;
    const void *key;
    void *value;

    for (uint32_t i = 0; i < model->keys; i++)
        present += model->entry[i].present;
    while ((key = model->kind->call_next(model->map, &cursor, &value, 0, 0, &trial->thread[0])) && seen <= present) {
        uint32_t i = 0;

        while (i < model->keys && (!model->entry[i].present || memcmp(model->entry[i].key, key, model->map->key_size)))
            i++;
        if (i == model->keys || memcmp(value, copy_of(model, &model->entry[i], 0), model->map->value_size) != 0)
            fixture_fail("%s: iteration finds what is not there", model->kind->name);
        seen++;
    }
    if (seen != present)
        fixture_fail("%s: iteration finds %u of %u elements", model->kind->name, seen, present);
}

void model_keyed(struct trial *trial, unsigned steps)
{
    struct model model;

    model_make(trial, &model);
    for (unsigned i = 0; i < steps; i++) {
        struct entry *entry = &model.entry[random_below(&trial->random, model.keys)];
        unsigned who = random_below(&trial->random, MODEL_THREADS), what = random_below(&trial->random, 100);

        if (what < 45)
            update(trial, &model, entry, who);
        else if (what < 65)
            delete(trial, &model, entry, who);
        else if (what < 98)
            check_lookup(trial, &model, entry, who);
        else
            check_iteration(trial, &model);
    }
}
