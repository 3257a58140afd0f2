/* SPDX-License-Identifier: MIT */
#include "map_layout.h"

#include <errno.h>

#include "runtime/array.h"
#include "runtime/element.h"
#include "runtime/hash.h"
#include "runtime/queue.h"
#include "runtime/ring.h"
#include "runtime/trie.h"

#define LINE 64                 /* bytes of a cache line */

int layout_check_size(const char *what, uint32_t size, uint32_t least, uint32_t most, struct jit_error *error)
{
    if (size >= least && size <= most)
        return 0;
    if (least == most)
        return jit_error_set(error, -EINVAL, "map", "%s is %u bytes; of this kind of map it is %u", what, size, least);
    return jit_error_set(error, size > most ? -E2BIG : -EINVAL, "map", "%s is %u bytes; it may be %u to %u", what, size,
                         least, most);
}

int layout_finish(uint64_t size, struct map *ret, struct jit_error *error)
{
    size = layout_round(size, LINE);
    if (size > MAP_SIZE_MAX)
        return jit_error_set(error, -E2BIG, "map", "the map needs %llu bytes of memory, and may have %u: give it fewer "
                             "entries or smaller values", (unsigned long long)size, MAP_SIZE_MAX);
    ret->size = size;
    return 0;
}

uint64_t layout_elements(uint64_t at, uint32_t elements, uint32_t stride, struct map *ret)
{
    uint64_t count = (uint64_t)elements + ret->spares;

    ret->elements = elements;
    ret->stride = stride;
    ret->owners_at = (uint32_t)layout_round(at, LINE);
    ret->elements_at = (uint32_t)(layout_round(at, LINE) + element_owners_size(count));
    return ret->elements_at + count * stride;
}

/* ---- arrays ---- */

/* One copy: values, then its locks. */
static int lay_out_array(const struct map_definition *definition, uint32_t copies, struct map *ret,
                         struct jit_error *error)
{
    uint32_t locks = copies == 1 ? ARRAY_LOCKS * sizeof(uint32_t) : LINE;
    uint64_t values;

    ret->stride = (uint32_t)layout_round(definition->value_size, 8);
    values = layout_round((uint64_t)definition->max_entries * ret->stride, LINE);
    if (values > MAP_SIZE_MAX)
        return layout_finish(values * copies, ret, error);
    ret->part_at[0] = (uint32_t)values;
    ret->copy_stride = copies == 1 ? 0 : (uint32_t)values + locks;
    return layout_finish((values + locks) * copies, ret, error);
}

int layout_array(const struct map_definition *definition, struct map *ret, struct jit_error *error)
{
    int r = layout_check_size("key_size", definition->key_size, 4, 4, error);

    if (r >= 0)
        r = layout_check_size("value_size", definition->value_size, 1, LAYOUT_VALUE_MAX, error);
    return r < 0 ? r : lay_out_array(definition, 1, ret, error);
}

int layout_seat_array(const struct map_definition *definition, struct map *ret, struct jit_error *error)
{
    int r = layout_check_size("key_size", definition->key_size, 4, 4, error);

    if (r >= 0)
        r = layout_check_size("value_size", definition->value_size, 1, LAYOUT_COPY_MAX, error);
    return r < 0 ? r : lay_out_array(definition, SEATS_MAX, ret, error);
}

/* ---- hash tables ---- */

static uint32_t count_buckets(uint32_t entries)
{
    uint32_t buckets = 1;

    while ((uint64_t)buckets * HASH_LOAD < entries)
        buckets *= 2;
    return buckets;
}

static int lay_out_table(const struct map_definition *definition, bool copies, struct map *ret, struct jit_error *error)
{
    uint64_t key = layout_round(definition->key_size, 8), value = layout_round(definition->value_size, 8), at;
    uint64_t least = (uint64_t)definition->max_entries * (HASH_KEY_AT + key + value * (copies ? SEATS_MAX : 1));

    if (least > MAP_SIZE_MAX)
        return layout_finish(least, ret, error);
    ret->buckets = count_buckets(definition->max_entries);
    ret->value_at = (uint32_t)(HASH_KEY_AT + key);
    ret->spares = copies ? 0 : SEATS_MAX;
    at = (uint64_t)ret->buckets * sizeof(struct bucket);
    ret->part_at[0] = (uint32_t)at;
    at += SEATS_MAX * sizeof(struct hash_seat);
    ret->part_at[1] = (uint32_t)at;
    at = layout_elements(at + LINE, definition->max_entries, ret->value_at + (copies ? 0 : (uint32_t)value), ret);
    if (copies) {
        ret->part_at[2] = (uint32_t)layout_round(at, LINE);
        ret->value_stride = (uint32_t)value;
        ret->copy_stride = (uint32_t)layout_round(definition->max_entries * value, LINE);
        at = ret->part_at[2] + (uint64_t)ret->copy_stride * SEATS_MAX;
    }
    return layout_finish(at, ret, error);
}

int layout_hash(const struct map_definition *definition, struct map *ret, struct jit_error *error)
{
    int r = layout_check_size("key_size", definition->key_size, 1, HASH_KEY_MAX, error);

    if (r >= 0)
        r = layout_check_size("value_size", definition->value_size, 1, LAYOUT_VALUE_MAX, error);
    return r < 0 ? r : lay_out_table(definition, false, ret, error);
}

int layout_seat_hash(const struct map_definition *definition, struct map *ret, struct jit_error *error)
{
    int r = layout_check_size("key_size", definition->key_size, 1, HASH_KEY_MAX, error);

    if (r >= 0)
        r = layout_check_size("value_size", definition->value_size, 1, LAYOUT_COPY_MAX, error);
    return r < 0 ? r : lay_out_table(definition, true, ret, error);
}

/* ---- maps of maps: the value is a distance ---- */

int layout_array_of_maps(const struct map_definition *definition, struct map *ret, struct jit_error *error)
{
    int r = layout_check_size("value_size", definition->value_size, sizeof(int64_t), sizeof(int64_t), error);

    return r < 0 ? r : layout_array(definition, ret, error);
}

int layout_hash_of_maps(const struct map_definition *definition, struct map *ret, struct jit_error *error)
{
    int r = layout_check_size("value_size", definition->value_size, sizeof(int64_t), sizeof(int64_t), error);

    return r < 0 ? r : layout_hash(definition, ret, error);
}

/* ---- queues, stacks, ring buffers, tries ---- */

int layout_queue(const struct map_definition *definition, struct map *ret, struct jit_error *error)
{
    int r = layout_check_size("key_size", definition->key_size, 0, 0, error);

    if (r >= 0)
        r = layout_check_size("value_size", definition->value_size, 1, LAYOUT_VALUE_MAX, error);
    if (r < 0)
        return r;
    ret->stride = (uint32_t)layout_round(definition->value_size, 8);
    ret->elements_at = sizeof(struct queue_memory);
    return layout_finish(ret->elements_at + ((uint64_t)definition->max_entries + 1) * ret->stride, ret, error);
}

/* A value's type says how readers are shown the records of its size: programs write records of any. */
int layout_ring(const struct map_definition *definition, struct map *ret, struct jit_error *error)
{
    int r = layout_check_size("key_size", definition->key_size, 0, 0, error);

    if (r >= 0)
        r = layout_check_size("value_size", definition->value_size, 0, LAYOUT_VALUE_MAX, error);
    if (r < 0)
        return r;
    if (definition->max_entries < LAYOUT_RING_MIN || definition->max_entries & (definition->max_entries - 1))
        return jit_error_set(error, -EINVAL, "map",
                             "max_entries is %u; of a ring buffer it is its bytes, a power of two, %u at least",
                             definition->max_entries, LAYOUT_RING_MIN);
    ret->elements_at = sizeof(struct ring_memory);
    return layout_finish((uint64_t)ret->elements_at + definition->max_entries, ret, error);
}

/* Fewer branchings than entries, and one node more while an entry is replaced. */
int layout_trie(const struct map_definition *definition, struct map *ret, struct jit_error *error)
{
    uint32_t key_min = sizeof(struct trie_key) + 1, key_max = sizeof(struct trie_key) + TRIE_DATA_MAX;
    int r = layout_check_size("key_size", definition->key_size, key_min, key_max, error);
    uint64_t stride, elements = 2 * (uint64_t)definition->max_entries;

    if (r >= 0)
        r = layout_check_size("value_size", definition->value_size, 1, LAYOUT_VALUE_MAX, error);
    if (r < 0)
        return -EINVAL;         /* of tries the kernel says so of all sizes */
    ret->value_at = (uint32_t)layout_round(offsetof(struct trie_node, key) + definition->key_size, 8);
    stride = ret->value_at + layout_round(definition->value_size, 8);
    if (elements * stride > MAP_SIZE_MAX)
        return layout_finish(elements * stride, ret, error);
    return layout_finish(layout_elements(sizeof(struct trie_memory), (uint32_t)elements, (uint32_t)stride, ret), ret,
                         error);
}
