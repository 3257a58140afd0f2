/* SPDX-License-Identifier: MIT */
/* Does one state include another. */

#include "inclusion.h"

#define IDS_MAX 64
#define PRESERVED 0x3c0         /* R6 to R9 */
#define REGISTERS 0x3ff         /* R0 to R9; R10 is always the same */
#define ARGUMENTS 0x3e          /* R1 to R5, which a helper that calls back still needs */

/*
 * Ids say that values belong together; which number they are does not matter.  So the outer's are mapped to the
 * inner's.  Two of the outer may be one in the inner: equal values are a case of unrelated ones.
 */
struct comparison {
    const struct control *control;
    const struct verifier_state *outer, *inner;
    const struct demand *demand;
    uint32_t at;
    uint32_t ids;
    uint32_t outer_id[IDS_MAX], inner_id[IDS_MAX];
};

uint16_t inclusion_live(const struct control *control, uint32_t at, const struct verifier_state *state, uint32_t f)
{
    if (f + 1 == state->depth)
        return control->live[at];
    return (control->live_behind[state->frame[f + 1]->call] & PRESERVED) |
           (state->frame[f + 1]->callback ? ARGUMENTS : 0);
}

/* Values of the outer with this id that matter. */
static unsigned count_id(const struct comparison *c, uint32_t id)
{
    unsigned count = 0;

    for (uint32_t f = 0; f < c->outer->depth; f++) {
        const struct frame *frame = c->outer->frame[f];
        uint16_t live = inclusion_live(c->control, c->at, c->outer, f);

        for (unsigned reg = 0; reg < INSTRUCTION_REGISTERS - 1; reg++)
            count += live >> reg & 1 && frame->reg[reg].id == id;
        for (uint32_t slot = 0; slot < frame->slots; slot++)
            count += frame->slot[slot].written && frame->slot[slot].value.id == id;
    }
    return count;
}

static bool ids_match(struct comparison *c, uint32_t outer, uint32_t inner)
{
    for (uint32_t i = 0; i < c->ids; i++)
        if (c->outer_id[i] == outer)
            return c->inner_id[i] == inner;
    if (c->ids == IDS_MAX)
        return false;
    c->outer_id[c->ids] = outer;
    c->inner_id[c->ids++] = inner;
    return true;
}

/* Numbers with one id were one number; that was used if there is more than one of them. */
static bool links_match(struct comparison *c, const struct value *outer, const struct value *inner)
{
    if (!outer->id)
        return true;
    if (inner->id && outer->delta == inner->delta && ids_match(c, outer->id, inner->id))
        return true;
    return count_id(c, outer->id) == 1;
}

static bool pointer_includes(struct comparison *c, const struct value *outer, const struct value *inner, bool range)
{
    if (outer->region != inner->region || outer->size != inner->size || outer->offset != inner->offset ||
        outer->frame != inner->frame || outer->read_only != inner->read_only ||
        (range && outer->range > inner->range) || !scalar_includes(&outer->number, &inner->number))
        return false;
    return !outer->id == !inner->id && (!outer->id || ids_match(c, outer->id, inner->id));
}

/* `range`: that of a number, or how much of the packet is there, was used. */
static bool value_includes(struct comparison *c, const struct value *outer, const struct value *inner, bool range)
{
    if (outer->type == VALUE_NOT_INIT)
        return true;
    if (outer->type != inner->type)
        return false;
    if (value_is_pointer(outer))
        return pointer_includes(c, outer, inner, range);
    /*
     * The proof used a link only if it used the ranges of both its ends: demand goes back over a jump to its operands,
     * too.  Facts may rest on others: inclusion_find_gap().
     */
    return !range || (scalar_includes(&outer->number, &inner->number) && links_match(c, outer, inner));
}

static bool slot_includes(struct comparison *c, const struct slot *outer, const struct slot *inner, bool range)
{
    if (!outer->written)
        return true;
    return !(outer->written & ~inner->written) && value_includes(c, &outer->value, &inner->value, range);
}

/* Of these registers, those that are live.  *differs: the first one that does not. */
static bool registers_include(struct comparison *c, uint32_t f, uint16_t registers, uint8_t *differs)
{
    const struct value *outer = c->outer->frame[f]->reg, *inner = c->inner->frame[f]->reg;
    uint16_t ranges = c->demand ? demand_of_registers(c->demand, f) : UINT16_MAX;

    for (registers &= inclusion_live(c->control, c->at, c->outer, f); registers; registers &= registers - 1) {
        unsigned reg = (unsigned)__builtin_ctz(registers);

        if (!value_includes(c, &outer[reg], &inner[reg], ranges >> reg & 1)) {
            *differs = (uint8_t)reg;
            return false;
        }
    }
    return true;
}

static bool slots_include(struct comparison *c, uint32_t f)
{
    const struct frame *outer = c->outer->frame[f], *inner = c->inner->frame[f];
    uint64_t slots = c->demand ? demand_of_slots(c->demand, f) : UINT64_MAX;
    uint64_t reads = c->demand ? c->demand->reads[f] : UINT64_MAX;
    static const struct slot nothing;

    for (uint32_t slot = 0; slot < outer->slots; slot++)
        if (reads >> slot & 1 &&
            !slot_includes(c, &outer->slot[slot], slot < inner->slots ? &inner->slot[slot] : &nothing,
                           slots >> slot & 1))
            return false;
    return true;
}

/* Memory to be given back: as many, each of its own. */
static bool references_match(struct comparison *c)
{
    const struct verifier_state *outer = c->outer, *inner = c->inner;

    if (outer->references != inner->references)
        return false;
    for (uint32_t i = 0; i < outer->references; i++)
        if (!ids_match(c, outer->reference[i], inner->reference[i]))
            return false;
    return true;
}

static bool calls_equal(const struct verifier_state *a, const struct verifier_state *b)
{
    if (a->depth != b->depth)
        return false;
    for (uint32_t f = 0; f < a->depth; f++)
        if (a->frame[f]->call != b->frame[f]->call || a->frame[f]->function != b->frame[f]->function ||
            a->frame[f]->callback != b->frame[f]->callback)
            return false;
    return true;
}

/* The arrays of ids stay as they are: this is called often. */
static void comparison_init(struct comparison *c, const struct control *control, uint32_t at,
                            const struct verifier_state *outer, const struct verifier_state *inner,
                            const struct demand *demand)
{
    c->control = control;
    c->outer = outer;
    c->inner = inner;
    c->demand = demand;
    c->at = at;
    c->ids = 0;
}

bool inclusion_holds(const struct control *control, uint32_t at, const struct verifier_state *outer,
                     const struct verifier_state *inner, const struct demand *demand, uint8_t *differs)
{
    uint8_t ignored;
    struct comparison c;

    comparison_init(&c, control, at, outer, inner, demand);
    if (!calls_equal(outer, inner) ||
        (differs && !registers_include(&c, outer->depth - 1, (uint16_t)(1u << *differs), differs)) ||
        !references_match(&c))
        return false;
    /* The running function first: it is where states differ. */
    for (uint32_t f = outer->depth; f-- > 0;)
        if (!registers_include(&c, f, REGISTERS, f + 1 == outer->depth && differs ? differs : &ignored) ||
            !slots_include(&c, f))
            return false;
    return true;
}

/* ---- what is not compared ---- */

static bool number_differs(struct comparison *c, const struct value *outer, const struct value *inner)
{
    return value_is_number(outer) && value_is_number(inner) &&
           !(scalar_includes(&outer->number, &inner->number) && links_match(c, outer, inner));
}

static uint16_t registers_that_differ(struct comparison *c, uint32_t f)
{
    const struct value *outer = c->outer->frame[f]->reg, *inner = c->inner->frame[f]->reg;
    uint16_t live = inclusion_live(c->control, c->at, c->outer, f), differ = 0;

    for (unsigned reg = 0; reg < INSTRUCTION_REGISTERS - 1; reg++)
        if (live >> reg & 1 && number_differs(c, &outer[reg], &inner[reg]))
            differ |= (uint16_t)(1u << reg);
    return differ;
}

static bool slots_differ(struct comparison *c, uint32_t f)
{
    const struct frame *outer = c->outer->frame[f], *inner = c->inner->frame[f];

    for (uint32_t slot = 0; slot < outer->slots && slot < inner->slots; slot++)
        if (c->demand->reads[f] >> slot & 1 &&
            number_differs(c, &outer->slot[slot].value, &inner->slot[slot].value))
            return true;
    return false;
}

void inclusion_find_gap(const struct control *control, uint32_t at, const struct verifier_state *outer,
                        const struct verifier_state *inner, const struct demand *demand, struct inclusion_gap *ret)
{
    struct inclusion_gap gap = { .slots = false };
    struct comparison c;

    comparison_init(&c, control, at, outer, inner, demand);
    for (uint32_t f = 0; f < outer->depth; f++) {
        gap.registers[f] = registers_that_differ(&c, f);
        gap.slots |= slots_differ(&c, f);
    }
    *ret = gap;
}
