/* SPDX-License-Identifier: MIT */
/* Static calls of all types of results, and what they leave in the register. */
#ifndef RESULTS_H
#define RESULTS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "dispatchd.h"

DD_CALL_NULL(result_s8, int8_t(void))
DD_CALL_NULL(result_s16, int16_t(void))
DD_CALL_NULL(result_s32, int(void))
DD_CALL_NULL(result_s64, int64_t(void))
DD_CALL_NULL(result_u8, uint8_t(void))
DD_CALL_NULL(result_u16, uint16_t(void))
DD_CALL_NULL(result_u32, uint32_t(void))
DD_CALL_NULL(result_u64, uint64_t(void))
DD_CALL_NULL(result_bool, bool(void))

/* As if all returned 64 bits: the compiler would make good what the others lack. */
static int64_t register_of(const struct dd_table *call)
{
    char *base;
    struct dd_guard guard = dd_hook_enter(&base);
    int64_t result = ((int64_t(*)(void))dd_hook_entry(call, &guard, base))();

    dd_hook_leave(&guard);
    return result;
}

static int64_t result_of(const char *type)
{
    const struct dd_table *const calls[] = { &result_s8_call, &result_s16_call, &result_s32_call, &result_s64_call,
                                             &result_u8_call, &result_u16_call, &result_u32_call, &result_u64_call,
                                             &result_bool_call };

    for (unsigned i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
        if (strcmp(calls[i]->name + strlen("result_"), type) == 0)
            return register_of(calls[i]);
    return INT64_MIN + 1;
}

#endif
