/* SPDX-License-Identifier: MIT */
/* Where accesses may go. */

#include "fit.h"

#include <stdlib.h>
#include <string.h>

#include "verifier/state.h"

/* The instruction's offset may be from `first` on; offset + size up to `end`. */
struct reach {
    bool seen, variable, packet;
    int64_t first, end;
};

bool fit_init(struct fit *fit, const struct bytecode *bytecode)
{
    *fit = (struct fit){ bytecode, calloc(bytecode->instructions, sizeof(struct reach)) };
    return fit->reach;
}

void fit_clear(struct fit *fit)
{
    free(fit->reach);
    *fit = (struct fit){ NULL, NULL };
}

void fit_reset(struct fit *fit)
{
    memset(fit->reach, 0, fit->bytecode->instructions * sizeof(struct reach));
}

static bool is_access(struct instruction i)
{
    return instruction_class(i) == CLASS_LDX || instruction_class(i) == CLASS_ST || instruction_class(i) == CLASS_STX;
}

/* What a function may use of the stack, so that all that are active at once have their part. */
static int64_t stack_part(const struct bytecode *bytecode)
{
    return INSTRUCTION_STACK_SIZE / 8 / bytecode->functions * 8;
}

/* The object's first byte and the byte behind its last one, counted from where the pointer points. */
static bool find_reach(const struct bytecode *bytecode, const struct value *pointer, struct reach *ret)
{
    int64_t lowest = value_lowest(pointer), highest = value_highest(pointer);

    ret->variable = !scalar_is_constant(&pointer->number);
    ret->packet = pointer->type == VALUE_PACKET;
    switch ((enum value_type)pointer->type) {
    case VALUE_STACK:
        ret->first = -stack_part(bytecode) - lowest;
        ret->end = -highest;
        return true;
    case VALUE_MAP_VALUE:
    case VALUE_MEMORY:
        ret->first = -lowest;
        ret->end = (int64_t)pointer->size - highest;
        return true;
    case VALUE_PACKET:
        ret->first = -lowest;
        ret->end = (int64_t)pointer->range - pointer->offset;
        return true;
    default:
        return false;
    }
}

void fit_observe(void *userdata, uint32_t instruction, const struct verifier_state *state)
{
    struct fit *fit = userdata;
    struct instruction i = fit->bytecode->instruction[instruction];
    unsigned reg = instruction_class(i) == CLASS_LDX ? instruction_source(i) : instruction_destination(i);
    struct reach *reach = &fit->reach[instruction], new;

    if (!is_access(i) || !find_reach(fit->bytecode, verifier_register(state, state->depth - 1, reg), &new))
        return;
    if (!reach->seen)
        *reach = new;
    reach->seen = true;
    reach->variable |= new.variable;
    reach->packet |= new.packet;
    reach->first = new.first > reach->first ? new.first : reach->first;
    reach->end = new.end < reach->end ? new.end : reach->end;
}

bool fit_is_variable(const struct fit *fit, uint32_t at)
{
    return fit->reach[at].seen && fit->reach[at].variable;
}

bool fit_is_packet(const struct fit *fit, uint32_t at)
{
    return fit->reach[at].seen && fit->reach[at].packet;
}

/* The offsets from `first` to `last` fit. */
static bool find_offsets(const struct fit *fit, uint32_t at, int64_t *first, int64_t *last)
{
    const struct reach *reach = &fit->reach[at];

    *first = reach->first < INT16_MIN ? INT16_MIN : reach->first;
    *last = reach->end - (int64_t)instruction_access_size(fit->bytecode->instruction[at]);
    *last = *last > INT16_MAX ? INT16_MAX : *last;
    return reach->seen && *first <= *last;
}

bool fit_offset(const struct fit *fit, uint32_t at, struct random *random, int16_t *ret)
{
    int64_t first, last;

    if (!find_offsets(fit, at, &first, &last))
        return false;
    *ret = (int16_t)(first + random_below(random, (uint32_t)(last - first) + 1));
    return true;
}

bool fit_edge(const struct fit *fit, uint32_t at, struct random *random, int32_t beyond, int16_t *ret)
{
    int64_t first, last, offset;

    if (!find_offsets(fit, at, &first, &last))
        return false;
    offset = random_percent(random, 50) ? first - beyond : last + beyond;
    if (offset < INT16_MIN || offset > INT16_MAX)
        return false;
    *ret = (int16_t)offset;
    return true;
}
