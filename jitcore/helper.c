/* SPDX-License-Identifier: MIT */
/* The table of helpers. */

#include "helper.h"

#include <linux/bpf.h>
#include <stddef.h>

#include "map.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MAP ARGUMENT_MAP
#define KEY ARGUMENT_MAP_KEY
#define VALUE ARGUMENT_MAP_VALUE
#define VALUE_WRITE ARGUMENT_MAP_VALUE_WRITE
#define NUMBER ARGUMENT_SCALAR
#define MEMORY ARGUMENT_MEMORY
#define SIZE ARGUMENT_SIZE
#define SIZE_OR_ZERO ARGUMENT_SIZE_OR_ZERO
#define CALLBACK ARGUMENT_CALLBACK
#define CONTEXT ARGUMENT_CALLBACK_CONTEXT
#define ALLOCATED ARGUMENT_ALLOCATED
#define TEXT ARGUMENT_TEXT
#define OPTIONAL ARGUMENT_OPTIONAL
#define KEEPS false             /* its map, or it has none */
#define CHANGES true

/* What runs: a member of the map's kind; a function, of maps of one kind or of none; a service; code in place. */
#define OF_KIND(member) .member_at = offsetof(struct map_kind, member)
#define RUNS(name) .runtime = RUNTIME_##name
#define RUNS_OF(map_kind, name) .kind = (map_kind), RUNS(name)
#define SERVES(name) .service = 1 + SERVICE_##name
#define IN_PLACE .service = 0
#define RING BPF_MAP_TYPE_RINGBUF

static const struct row {
    int32_t number;
    struct helper helper;
    size_t member_at;           /* bytes into struct map_kind: an enum runtime_function; 0: no */
    uint32_t kind;              /* of maps; 0: all */
    uint8_t runtime;            /* enum runtime_function; RUNTIME_NONE: no */
    uint8_t service;            /* 1 + enum linkage_service; 0: no */
} rows[] = {
    { BPF_FUNC_map_lookup_elem, { "map_lookup_elem", { MAP, KEY }, RESULT_MAP_VALUE_OR_NULL, 0, KEEPS },
      OF_KIND(lookup) },
    { BPF_FUNC_map_update_elem, { "map_update_elem", { MAP, KEY, VALUE, NUMBER }, RESULT_SCALAR, 0, CHANGES },
      OF_KIND(update) },
    { BPF_FUNC_map_delete_elem, { "map_delete_elem", { MAP, KEY }, RESULT_SCALAR, 0, CHANGES }, OF_KIND(delete) },
    { BPF_FUNC_map_push_elem, { "map_push_elem", { MAP, VALUE, NUMBER }, RESULT_SCALAR, 0, CHANGES }, OF_KIND(push) },
    { BPF_FUNC_map_pop_elem, { "map_pop_elem", { MAP, VALUE_WRITE }, RESULT_SCALAR, 0, CHANGES }, OF_KIND(pop) },
    { BPF_FUNC_map_peek_elem, { "map_peek_elem", { MAP, VALUE_WRITE }, RESULT_SCALAR, 0, KEEPS }, OF_KIND(peek) },
    { BPF_FUNC_for_each_map_elem,
      { "for_each_map_elem", { MAP, CALLBACK, CONTEXT, NUMBER }, RESULT_SCALAR, CALLBACK_MAP_ELEMENT, KEEPS },
      OF_KIND(next) },
    { BPF_FUNC_ringbuf_output,
      { "ringbuf_output", { MAP, MEMORY, SIZE_OR_ZERO, NUMBER }, RESULT_SCALAR, 0, CHANGES },
      RUNS_OF(RING, ring_output) },
    { BPF_FUNC_ringbuf_reserve, { "ringbuf_reserve", { MAP, SIZE, NUMBER }, RESULT_MEMORY_OR_NULL, 0, CHANGES },
      RUNS_OF(RING, ring_reserve) },
    { BPF_FUNC_ringbuf_submit, { "ringbuf_submit", { ALLOCATED, NUMBER }, RESULT_SCALAR, 0, KEEPS },
      RUNS_OF(RING, ring_submit) },
    { BPF_FUNC_ringbuf_discard, { "ringbuf_discard", { ALLOCATED, NUMBER }, RESULT_SCALAR, 0, KEEPS },
      RUNS_OF(RING, ring_discard) },
    { BPF_FUNC_ringbuf_query, { "ringbuf_query", { MAP, NUMBER }, RESULT_SCALAR, 0, KEEPS },
      RUNS_OF(RING, ring_query) },
    { BPF_FUNC_strncmp, { "strncmp", { MEMORY, SIZE, TEXT }, RESULT_SCALAR, 0, KEEPS }, RUNS(text_compare) },
    { BPF_FUNC_trace_printk,
      { "trace_printk", { MEMORY, SIZE, OPTIONAL, OPTIONAL, OPTIONAL }, RESULT_SCALAR, 0, KEEPS }, RUNS(trace_print) },
    { BPF_FUNC_get_prandom_u32, { "get_prandom_u32", { 0 }, RESULT_SCALAR, 0, KEEPS }, RUNS(random_number) },
    { BPF_FUNC_get_current_pid_tgid, { "get_current_pid_tgid", { 0 }, RESULT_SCALAR, 0, KEEPS }, RUNS(process_thread) },
    { BPF_FUNC_ktime_get_ns, { "ktime_get_ns", { 0 }, RESULT_SCALAR, 0, KEEPS }, SERVES(CLOCK) },
    { BPF_FUNC_ktime_get_boot_ns, { "ktime_get_boot_ns", { 0 }, RESULT_SCALAR, 0, KEEPS }, SERVES(BOOT_CLOCK) },
    { BPF_FUNC_get_smp_processor_id, { "get_smp_processor_id", { 0 }, RESULT_SCALAR, 0, KEEPS }, SERVES(PROCESSOR) },
    { BPF_FUNC_loop, { "loop", { NUMBER, CALLBACK, CONTEXT, NUMBER }, RESULT_SCALAR, CALLBACK_LOOP, KEEPS }, IN_PLACE },
};

#define HELPER_NAME(name) #name
static const char *const names[] = { __BPF_FUNC_MAPPER(HELPER_NAME) };

static const struct row *find_row(int32_t number)
{
    for (size_t i = 0; i < COUNT(rows); i++)
        if (rows[i].number == number)
            return &rows[i];
    return NULL;
}

const struct helper *helper_find(int32_t number)
{
    const struct row *row = find_row(number);

    return row ? &row->helper : NULL;
}

const char *helper_name(int32_t number)
{
    return number >= 0 && (size_t)number < COUNT(names) ? names[number] : NULL;
}

enum runtime_function helper_runtime(int32_t number, uint32_t kind)
{
    const struct row *row = find_row(number);
    const struct map_kind *map = map_kind_find(kind);

    if (!row || (row->kind && row->kind != kind))
        return RUNTIME_NONE;
    if (!row->member_at)
        return (enum runtime_function)row->runtime;
    return map ? (enum runtime_function)((const uint8_t *)map)[row->member_at] : RUNTIME_NONE;
}

int helper_service(int32_t number)
{
    const struct row *row = find_row(number);

    return row ? row->service - 1 : -1;
}

bool helper_takes_map(int32_t number, uint32_t kind)
{
    return helper_runtime(number, kind) != RUNTIME_NONE;
}

const char *helper_map_name(uint32_t kind)
{
    const struct map_kind *map = map_kind_find(kind);

    return map ? map->name : "unknown";
}
