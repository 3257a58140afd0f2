/* SPDX-License-Identifier: MIT */
/* The table of helpers. */

#include "helper.h"

#include <linux/bpf.h>
#include <stddef.h>

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

static const struct row {
    int32_t number;
    struct helper helper;
} rows[] = {
    { BPF_FUNC_map_lookup_elem, { "map_lookup_elem", { MAP, KEY }, RESULT_MAP_VALUE_OR_NULL, 0 } },
    { BPF_FUNC_map_update_elem, { "map_update_elem", { MAP, KEY, VALUE, NUMBER }, RESULT_SCALAR, 0 } },
    { BPF_FUNC_map_delete_elem, { "map_delete_elem", { MAP, KEY }, RESULT_SCALAR, 0 } },
    { BPF_FUNC_ktime_get_ns, { "ktime_get_ns", { 0 }, RESULT_SCALAR, 0 } },
    { BPF_FUNC_get_prandom_u32, { "get_prandom_u32", { 0 }, RESULT_SCALAR, 0 } },
    { BPF_FUNC_get_smp_processor_id, { "get_smp_processor_id", { 0 }, RESULT_SCALAR, 0 } },
    { BPF_FUNC_ringbuf_output, { "ringbuf_output", { MAP, MEMORY, SIZE_OR_ZERO, NUMBER }, RESULT_SCALAR, 0 } },
    { BPF_FUNC_ringbuf_reserve, { "ringbuf_reserve", { MAP, SIZE, NUMBER }, RESULT_MEMORY_OR_NULL, 0 } },
    { BPF_FUNC_ringbuf_submit, { "ringbuf_submit", { ALLOCATED, NUMBER }, RESULT_SCALAR, 0 } },
    { BPF_FUNC_ringbuf_discard, { "ringbuf_discard", { ALLOCATED, NUMBER }, RESULT_SCALAR, 0 } },
    { BPF_FUNC_for_each_map_elem,
      { "for_each_map_elem", { MAP, CALLBACK, CONTEXT, NUMBER }, RESULT_SCALAR, CALLBACK_MAP_ELEMENT } },
    { BPF_FUNC_loop, { "loop", { NUMBER, CALLBACK, CONTEXT, NUMBER }, RESULT_SCALAR, CALLBACK_LOOP } },
};

#define HELPER_NAME(name) #name
static const char *const names[] = { __BPF_FUNC_MAPPER(HELPER_NAME) };

const struct helper *helper_find(int32_t number)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (rows[i].number == number)
            return &rows[i].helper;
    return NULL;
}

const char *helper_name(int32_t number)
{
    return number >= 0 && (size_t)number < sizeof(names) / sizeof(names[0]) ? names[number] : NULL;
}
