/* SPDX-License-Identifier: MIT */
/* The runtime as bytes: what runtime/runtime.ld has linked, and the offsets that runtime/runtime.S put in front. */

#include "runtime.h"

#include <assert.h>
#include <string.h>

#include "runtime/trace.h"
#include "runtime_block.h"

/* The ring of this process itself, when it calls trace_print() as it is. */
struct map trace_map;

const uint8_t *runtime_bytes(void)
{
    return runtime_block;
}

size_t runtime_size(void)
{
    return runtime_block_size;
}

uint32_t runtime_offset(enum runtime_function function)
{
    uint32_t offset;

    assert(function < RUNTIME_FUNCTIONS_END);
    memcpy(&offset, runtime_block + function * sizeof(offset), sizeof(offset));
    return offset;
}

bool runtime_wants_thread(enum runtime_function function)
{
#define WANTS(name, thread) [RUNTIME_##name] = (thread) == THREAD,
    static const bool wants[] = { RUNTIME_FUNCTIONS(WANTS) };

    assert(function < RUNTIME_FUNCTIONS_END);
    return wants[function];
}

/* Behind the offsets. */
uint32_t runtime_trace_map(void)
{
    return (RUNTIME_FUNCTIONS_END * sizeof(uint32_t) + RUNTIME_ALIGNMENT - 1) / RUNTIME_ALIGNMENT * RUNTIME_ALIGNMENT;
}
