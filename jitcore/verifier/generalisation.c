/* SPDX-License-Identifier: MIT */
/* Fewer states where many paths meet. */

#include "generalisation.h"

#include "inclusion.h"

/* What a pair of numbers, one of each state, is looked at for. */
typedef bool pair_visitor(const struct value *explored, struct value *value, bool is_address);

/* All numbers that `explored` has a demand for and that it does not include.  False: the visitor said so. */
static bool visit(const struct control *control, uint32_t at, const struct verifier_state *explored,
                  const struct demand *demand, struct verifier_state *state, pair_visitor *visitor)
{
    for (uint32_t f = 0; f < explored->depth; f++) {
        const struct frame *old = explored->frame[f];
        struct frame *new = state->frame[f];
        uint16_t registers = demand_of_registers(demand, f) & inclusion_live(control, at, explored, f);
        uint16_t in_addresses = demand->ranges[DEMAND_ACCESS].registers[f];
        uint64_t slots = demand_of_slots(demand, f), slots_in_addresses = demand->ranges[DEMAND_ACCESS].slots[f];

        for (unsigned reg = 0; reg < INSTRUCTION_REGISTERS - 1; reg++)
            if (registers >> reg & 1 && value_is_number(&old->reg[reg]) &&
                !scalar_includes(&old->reg[reg].number, &new->reg[reg].number) &&
                !visitor(&old->reg[reg], &new->reg[reg], in_addresses >> reg & 1))
                return false;
        for (uint32_t slot = 0; slot < old->slots && slot < new->slots; slot++)
            if (slots >> slot & 1 && old->slot[slot].written && value_is_number(&old->slot[slot].value) &&
                !scalar_includes(&old->slot[slot].value.number, &new->slot[slot].value.number) &&
                !visitor(&old->slot[slot].value, &new->slot[slot].value, slots_in_addresses >> slot & 1))
                return false;
    }
    return true;
}

static bool is_near(const struct value *explored, struct value *value, bool is_address)
{
    return !scalar_is_constant(&explored->number) || !scalar_is_constant(&value->number);
}

/* The smallest range that holds both. */
static struct scalar join(const struct scalar_range *a, const struct scalar_range *b)
{
    if (a->smin < 0 || b->smin < 0)
        return scalar_signed_range(a->smin < b->smin ? a->smin : b->smin, a->smax > b->smax ? a->smax : b->smax);
    return scalar_unsigned_range(a->umin < b->umin ? a->umin : b->umin, a->umax > b->umax ? a->umax : b->umax);
}

static bool make_wider(const struct value *explored, struct value *value, bool is_address)
{
    *value = is_address ? value_number(join(&explored->number.full, &value->number.full)) : value_unknown();
    return true;
}

/* A range that is in no address becomes the other's, if that is wider. */
static void adopt(const struct value *explored, struct value *value)
{
    if (value_is_number(explored) && value_is_number(value) && !scalar_is_constant(&value->number) &&
        scalar_includes(&explored->number, &value->number))
        *value = value_number(explored->number);
}

static void adopt_registers(const struct verifier_state *explored, const struct demand *demand,
                            struct verifier_state *state)
{
    for (uint32_t f = 0; f < explored->depth; f++)
        for (unsigned reg = 0; reg < INSTRUCTION_REGISTERS - 1; reg++)
            if (!(demand->ranges[DEMAND_ACCESS].registers[f] >> reg & 1))
                adopt(&explored->frame[f]->reg[reg], &state->frame[f]->reg[reg]);
}

bool generalise(const struct control *control, uint32_t at, const struct verifier_state *explored,
                const struct demand *demand, struct verifier_state *state)
{
    struct demand types = *demand;

    for (unsigned use = 0; use < DEMAND_USES; use++)
        types.ranges[use] = (struct demand_ranges){ 0 };
    if (!inclusion_holds(control, at, explored, state, &types, NULL) ||
        !visit(control, at, explored, demand, state, is_near))
        return false;
    visit(control, at, explored, demand, state, make_wider);
    adopt_registers(explored, demand, state);
    return true;
}
