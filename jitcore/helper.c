/* SPDX-License-Identifier: MIT */
/* The tables of helpers and of maps. */

#include "helper.h"

#include <linux/bpf.h>
#include <stddef.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MAP ARGUMENT_MAP
#define KEY ARGUMENT_MAP_KEY
#define VALUE ARGUMENT_MAP_VALUE
#define NUMBER ARGUMENT_SCALAR
#define MEMORY ARGUMENT_MEMORY
#define SIZE ARGUMENT_SIZE
#define SIZE_OR_ZERO ARGUMENT_SIZE_OR_ZERO
#define CALLBACK ARGUMENT_CALLBACK
#define CONTEXT ARGUMENT_CALLBACK_CONTEXT
#define ALLOCATED ARGUMENT_ALLOCATED
#define KEEPS false             /* its map, or it has none */
#define CHANGES true

static const struct row {
    int32_t number;
    struct helper helper;
} rows[] = {
    { BPF_FUNC_map_lookup_elem, { "map_lookup_elem", { MAP, KEY }, RESULT_MAP_VALUE_OR_NULL, 0, KEEPS } },
    { BPF_FUNC_map_update_elem, { "map_update_elem", { MAP, KEY, VALUE, NUMBER }, RESULT_SCALAR, 0, CHANGES } },
    { BPF_FUNC_map_delete_elem, { "map_delete_elem", { MAP, KEY }, RESULT_SCALAR, 0, CHANGES } },
    { BPF_FUNC_ktime_get_ns, { "ktime_get_ns", { 0 }, RESULT_SCALAR, 0, KEEPS } },
    { BPF_FUNC_get_prandom_u32, { "get_prandom_u32", { 0 }, RESULT_SCALAR, 0, KEEPS } },
    { BPF_FUNC_get_smp_processor_id, { "get_smp_processor_id", { 0 }, RESULT_SCALAR, 0, KEEPS } },
    { BPF_FUNC_ringbuf_output,
      { "ringbuf_output", { MAP, MEMORY, SIZE_OR_ZERO, NUMBER }, RESULT_SCALAR, 0, CHANGES } },
    { BPF_FUNC_ringbuf_reserve, { "ringbuf_reserve", { MAP, SIZE, NUMBER }, RESULT_MEMORY_OR_NULL, 0, CHANGES } },
    { BPF_FUNC_ringbuf_submit, { "ringbuf_submit", { ALLOCATED, NUMBER }, RESULT_SCALAR, 0, KEEPS } },
    { BPF_FUNC_ringbuf_discard, { "ringbuf_discard", { ALLOCATED, NUMBER }, RESULT_SCALAR, 0, KEEPS } },
    { BPF_FUNC_for_each_map_elem,
      { "for_each_map_elem", { MAP, CALLBACK, CONTEXT, NUMBER }, RESULT_SCALAR, CALLBACK_MAP_ELEMENT, KEEPS } },
    { BPF_FUNC_loop, { "loop", { NUMBER, CALLBACK, CONTEXT, NUMBER }, RESULT_SCALAR, CALLBACK_LOOP, KEEPS } },
};

/* What the kernel's check_map_func_compatibility() and the maps' own operations allow (kernel/bpf/verifier.c). */
#define ELEMENTS BPF_FUNC_map_lookup_elem, BPF_FUNC_map_update_elem, BPF_FUNC_map_delete_elem

static const struct map_row {
    uint32_t kind;              /* enum bpf_map_type */
    const char *name;
    int32_t helper[4];          /* that take it; 0: no more */
} map_rows[] = {
    { BPF_MAP_TYPE_HASH, "hash", { ELEMENTS, BPF_FUNC_for_each_map_elem } },
    { BPF_MAP_TYPE_ARRAY, "array", { ELEMENTS, BPF_FUNC_for_each_map_elem } },
    { BPF_MAP_TYPE_PERCPU_HASH, "percpu_hash", { ELEMENTS, BPF_FUNC_for_each_map_elem } },
    { BPF_MAP_TYPE_PERCPU_ARRAY, "percpu_array", { ELEMENTS, BPF_FUNC_for_each_map_elem } },
    { BPF_MAP_TYPE_LRU_HASH, "lru_hash", { ELEMENTS, BPF_FUNC_for_each_map_elem } },
    { BPF_MAP_TYPE_LRU_PERCPU_HASH, "lru_percpu_hash", { ELEMENTS, BPF_FUNC_for_each_map_elem } },
    { BPF_MAP_TYPE_LPM_TRIE, "lpm_trie", { ELEMENTS } },
    { BPF_MAP_TYPE_RINGBUF, "ringbuf", { BPF_FUNC_ringbuf_output, BPF_FUNC_ringbuf_reserve } },
};

#define HELPER_NAME(name) #name
static const char *const names[] = { __BPF_FUNC_MAPPER(HELPER_NAME) };

const struct helper *helper_find(int32_t number)
{
    for (size_t i = 0; i < COUNT(rows); i++)
        if (rows[i].number == number)
            return &rows[i].helper;
    return NULL;
}

const char *helper_name(int32_t number)
{
    return number >= 0 && (size_t)number < COUNT(names) ? names[number] : NULL;
}

static const struct map_row *find_map(uint32_t kind)
{
    for (size_t i = 0; i < COUNT(map_rows); i++)
        if (map_rows[i].kind == kind)
            return &map_rows[i];
    return NULL;
}

bool helper_takes_map(int32_t number, uint32_t kind)
{
    const struct map_row *row = find_map(kind);

    for (size_t i = 0; row && i < COUNT(row->helper); i++)
        if (row->helper[i] == number)
            return true;
    return false;
}

const char *helper_map_name(uint32_t kind)
{
    const struct map_row *row = find_map(kind);

    return row ? row->name : "unknown";
}
