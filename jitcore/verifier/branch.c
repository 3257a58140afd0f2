/* SPDX-License-Identifier: MIT */
/* Jumps, and what a conditional one tells of its operands. */

#include "branch.h"

#include <errno.h>

/* A conditional jump at work: `a` OPERATION `b`. */
struct jump {
    struct analysis *analysis;
    struct instruction instruction;
    enum instruction_jump operation;
    bool is_64;
    struct value a, b;          /* as they were */
    unsigned a_reg;
    int b_reg;                  /* -1: an immediate */
};

static uint32_t target(const struct jump *jump)
{
    return jump->analysis->at + 1 + (uint32_t)instruction_jump_distance(jump->instruction);
}

static void demand_operands(const struct jump *jump)
{
    if (value_is_number(&jump->a))
        analysis_demand(jump->analysis, DEMAND_JUMP, jump->a_reg);
    if (jump->b_reg >= 0 && value_is_number(&jump->b))
        analysis_demand(jump->analysis, DEMAND_JUMP, (unsigned)jump->b_reg);
}

/* It is known where the jump leads. */
static int decide(const struct jump *jump, bool taken)
{
    facts_note_jump(jump->analysis, taken, !taken);
    jump->analysis->at = taken ? target(jump) : jump->analysis->at + 1;
    return ANALYSIS_GOES_ON;
}

/* Both ways: that of the jump later, which is *ret. */
static int fork_path(const struct jump *jump, struct pending **ret)
{
    int r = exploration_fork(jump->analysis, target(jump), ret);

    if (r < 0)
        return r;
    facts_note_jump(jump->analysis, true, true);
    jump->analysis->at++;
    return ANALYSIS_GOES_ON;
}

/* ---- numbers ---- */

/* Everything that was copied from the same number as `of`, which is `number` now. */
struct link {
    const struct value *of;
    const struct scalar *number;
};

static bool is_linked(const struct value *value, const struct value *of)
{
    return of->id && value_is_number(value) && value->id == of->id;
}

static void narrow_linked(void *userdata, struct value *value, uint32_t frame, int reg)
{
    const struct link *link = userdata;
    struct scalar distance, number;

    if (!is_linked(value, link->of))
        return;
    distance = scalar_constant((uint64_t)((int64_t)value->delta - link->of->delta));
    number = scalar_arithmetic(ALU_ADD, true, false, link->number, &distance);
    scalar_refine(JUMP_EQ, true, true, &value->number, &number);        /* the numbers that are in both */
}

static void narrow(const struct jump *jump, struct verifier_state *state, const struct scalar *a,
                   const struct scalar *b)
{
    struct frame *frame = state_top(state);
    struct link to_a = { &jump->a, a }, to_b = { &jump->b, b };

    if (jump->a.id)
        state_visit(state, narrow_linked, &to_a);
    if (jump->b.id)
        state_visit(state, narrow_linked, &to_b);
    frame->reg[jump->a_reg].number = *a;
    if (jump->b_reg >= 0)
        frame->reg[jump->b_reg].number = *b;
}

/* What else is narrowed, for those who go back over this step. */
static void note_links(const struct jump *jump)
{
    struct analysis *analysis = jump->analysis;
    struct step *step = analysis_step(analysis);

    for (uint32_t f = 0; f < analysis->state.depth; f++) {
        const struct frame *frame = analysis->state.frame[f];
        bool top = f == analysis_frame(analysis);

        for (unsigned reg = 0; reg < INSTRUCTION_REGISTERS - 1; reg++)
            if (is_linked(&frame->reg[reg], &jump->a) || is_linked(&frame->reg[reg], &jump->b)) {
                step->linked |= top ? (uint16_t)(1u << reg) : 0;
                step->linked_elsewhere |= !top;
            }
        for (uint32_t slot = 0; slot < frame->slots; slot++)
            if (frame->slot[slot].written && (is_linked(&frame->slot[slot].value, &jump->a) ||
                                              is_linked(&frame->slot[slot].value, &jump->b))) {
                step->linked_slots |= top ? UINT64_C(1) << slot : 0;
                step->linked_elsewhere |= !top;
            }
    }
    facts_note_links(analysis, step->linked, step->linked_slots || step->linked_elsewhere);
}

static int compare_numbers(const struct jump *jump)
{
    struct scalar a_taken = jump->a.number, b_taken = jump->b.number, a = a_taken, b = b_taken;
    bool may_be_taken = scalar_refine(jump->operation, jump->is_64, true, &a_taken, &b_taken);
    bool may_be_not_taken = scalar_refine(jump->operation, jump->is_64, false, &a, &b);
    struct pending *taken;
    int r;

    if (jump->a.id || jump->b.id)
        note_links(jump);
    if (!may_be_taken || !may_be_not_taken) {
        demand_operands(jump);
        if (!may_be_taken && !may_be_not_taken) {
            message_log(jump->analysis, "no value leads here");
            return ANALYSIS_ENDS;
        }
        narrow(jump, &jump->analysis->state, may_be_taken ? &a_taken : &a, may_be_taken ? &b_taken : &b);
        return decide(jump, may_be_taken);
    }
    r = fork_path(jump, &taken);
    if (r < 0)
        return r;
    narrow(jump, taken->state, &a_taken, &b_taken);
    narrow(jump, &jump->analysis->state, &a, &b);
    return r;
}

/* ---- NULL ---- */

struct null_check {
    uint32_t id;
    bool is_null;
};

static void note_null(void *userdata, struct value *value, uint32_t frame, int reg)
{
    const struct null_check *check = userdata;

    if (!value_is_or_null(value) || value->id != check->id)
        return;
    if (check->is_null) {
        *value = value_number(scalar_constant(0));
    } else if (value->type == VALUE_MEMORY_OR_NULL) {
        value->type = VALUE_MEMORY;     /* its id says what is to be given back */
    } else {
        value->type = value->type == VALUE_MAP_OR_NULL ? VALUE_MAP : VALUE_MAP_VALUE;
        value->id = 0;
    }
}

static void know_null(struct verifier_state *state, uint32_t id, bool is_null)
{
    struct null_check check = { id, is_null };

    state_visit(state, note_null, &check);
    for (uint32_t i = 0; is_null && i < state->references; i++)
        if (state->reference[i] == id)
            state->reference[i--] = state->reference[--state->references];
}

/* A pointer == 0, or != 0. */
static int compare_with_null(const struct jump *jump, const struct value *pointer)
{
    bool taken_is_null = jump->operation == JUMP_EQ;
    struct pending *taken;
    int r;

    demand_operands(jump);
    if (!value_is_or_null(pointer) && pointer->type != VALUE_PACKET && pointer->type != VALUE_PACKET_END)
        return decide(jump, !taken_is_null);
    r = fork_path(jump, &taken);
    if (r >= 0 && value_is_or_null(pointer)) {
        know_null(taken->state, pointer->id, taken_is_null);
        know_null(&jump->analysis->state, pointer->id, !taken_is_null);
    }
    return r;
}

/* ---- packet ---- */

/* b OPERATION a for a OPERATION b */
static enum instruction_jump mirrored(enum instruction_jump operation)
{
    switch (operation) {
    case JUMP_GT:
        return JUMP_LT;
    case JUMP_GE:
        return JUMP_LE;
    case JUMP_LT:
        return JUMP_GT;
    case JUMP_LE:
        return JUMP_GE;
    default:
        return operation;
    }
}

static enum instruction_jump opposite(enum instruction_jump operation)
{
    switch (operation) {
    case JUMP_EQ:
        return JUMP_NE;
    case JUMP_NE:
        return JUMP_EQ;
    case JUMP_GT:
        return JUMP_LE;
    case JUMP_GE:
        return JUMP_LT;
    case JUMP_LT:
        return JUMP_GE;
    case JUMP_LE:
        return JUMP_GT;
    default:
        return operation;
    }
}

/* Are the bytes up to pointer + room known to be in the packet?  Its start is not behind its end in any case. */
static bool is_inside(const struct value *pointer, int32_t room)
{
    bool measured = pointer->range > 0 || pointer->id == 0;

    return measured && (int64_t)pointer->offset + room <= (int64_t)pointer->range;
}

/* So much of the packet is there, from where all with this id point. */
static bool measure(struct value *value, uint32_t id, uint32_t range)
{
    if (value->type != VALUE_PACKET || value->id != id || value->range >= range)
        return false;
    value->range = range;
    return true;
}

/* In all frames; of the running one, the step says which. */
static void measure_all(struct verifier_state *state, uint32_t id, uint32_t range, struct step *step)
{
    for (uint32_t f = 0; f < state->depth; f++) {
        struct frame *frame = state->frame[f];
        bool top = f + 1 == state->depth;

        for (unsigned reg = 0; reg < INSTRUCTION_REGISTERS - 1; reg++)
            if (measure(&frame->reg[reg], id, range) && top)
                step->measured |= (uint16_t)(1u << reg);
        for (uint32_t slot = 0; slot < frame->slots; slot++)
            if (frame->slot[slot].written && measure(&frame->slot[slot].value, id, range) && top)
                step->measured_slots |= UINT64_C(1) << slot;
    }
}

/* pointer RELATION end holds: how much is there now. */
static void know_relation(struct verifier_state *state, struct step *step, const struct value *pointer,
                          enum instruction_jump relation)
{
    int64_t room = -1;

    if (relation == JUMP_LT || (relation == JUMP_NE && is_inside(pointer, 0)))
        room = 1;
    else if (relation == JUMP_LE || relation == JUMP_EQ)
        room = 0;
    if (room >= 0 && pointer->offset + room > 0)
        measure_all(state, pointer->id, (uint32_t)(pointer->offset + room), step);
}

/* pointer RELATION end: 1 it must be so, 0 it cannot be, -1 it may be. */
static int decide_relation(const struct value *pointer, enum instruction_jump relation)
{
    switch (relation) {
    case JUMP_LE:
        return is_inside(pointer, 0) ? 1 : -1;
    case JUMP_LT:
        return is_inside(pointer, 1) ? 1 : -1;
    case JUMP_GT:
        return is_inside(pointer, 0) ? 0 : -1;
    case JUMP_GE:
    case JUMP_EQ:
        return is_inside(pointer, 1) ? 0 : -1;
    case JUMP_NE:
        return is_inside(pointer, 1) ? 1 : -1;
    default:
        return -1;
    }
}

static int compare_with_end(const struct jump *jump)
{
    bool first = jump->a.type == VALUE_PACKET;
    const struct value *pointer = first ? &jump->a : &jump->b;
    enum instruction_jump relation = first ? jump->operation : mirrored(jump->operation);
    int decided = decide_relation(pointer, relation);
    struct pending *taken;
    int r;

    /* Whether it is inside was looked at, and `!=` makes use of it. */
    if (decided >= 0 || is_inside(pointer, 0))
        analysis_demand(jump->analysis, DEMAND_JUMP, first ? jump->a_reg : (unsigned)jump->b_reg);
    if (decided >= 0)
        return decide(jump, decided);
    r = fork_path(jump, &taken);
    if (r < 0)
        return r;
    know_relation(taken->state, &taken->step, pointer, relation);
    know_relation(&jump->analysis->state, analysis_step(jump->analysis), pointer, opposite(relation));
    return r;
}

/* ---- pointers to one object ---- */

static bool is_whole_region(const struct analysis *analysis, const struct value *value)
{
    return value->type == VALUE_MAP_VALUE && value->size == analysis->bytecode->region[value->region].size;
}

static bool same_object(const struct analysis *analysis, const struct value *a, const struct value *b)
{
    if (a->type != b->type)
        return false;
    return a->type == VALUE_PACKET || (a->type == VALUE_STACK && a->frame == b->frame) ||
           (is_whole_region(analysis, a) && is_whole_region(analysis, b) && a->region == b->region);
}

/* Distances from the object's start may be negative, addresses are not: their order is the signed one. */
static enum instruction_jump signed_order(enum instruction_jump operation)
{
    switch (operation) {
    case JUMP_GT:
        return JUMP_SGT;
    case JUMP_GE:
        return JUMP_SGE;
    case JUMP_LT:
        return JUMP_SLT;
    case JUMP_LE:
        return JUMP_SLE;
    default:
        return operation;
    }
}

static struct scalar distance_of(const struct value *pointer)
{
    struct scalar offset = scalar_constant((uint64_t)(int64_t)pointer->offset);

    return scalar_arithmetic(ALU_ADD, true, false, &pointer->number, &offset);
}

static int compare_in_object(const struct jump *jump)
{
    struct scalar a = distance_of(&jump->a), b = distance_of(&jump->b);
    enum scalar_branch branch = scalar_branch(signed_order(jump->operation), true, &a, &b);
    struct pending *taken;

    return branch == SCALAR_BRANCH_MAYBE ? fork_path(jump, &taken) : decide(jump, branch == SCALAR_BRANCH_ALWAYS);
}

/* ---- all of it ---- */

static bool are_packet_and_end(const struct value *a, const struct value *b)
{
    return (a->type == VALUE_PACKET && b->type == VALUE_PACKET_END) ||
           (a->type == VALUE_PACKET_END && b->type == VALUE_PACKET);
}

static int compare_pointers(const struct jump *jump)
{
    bool equality = jump->operation == JUMP_EQ || jump->operation == JUMP_NE;
    bool whole = jump->is_64 && jump->operation != JUMP_SET;

    if (whole && equality && value_is_zero(&jump->b))
        return compare_with_null(jump, &jump->a);
    if (whole && equality && value_is_zero(&jump->a))
        return compare_with_null(jump, &jump->b);
    if (whole && are_packet_and_end(&jump->a, &jump->b))
        return compare_with_end(jump);
    if (whole && same_object(jump->analysis, &jump->a, &jump->b))
        return compare_in_object(jump);
    return message_refuse(jump->analysis, "pointer-comparison",
                          "compare pointers with 0, with data_end, or within one object",
                          "compares %s with %s: the result would tell an address", value_type_name(jump->a.type),
                          value_type_name(jump->b.type));
}

static int compare(struct analysis *analysis, struct instruction i)
{
    struct jump jump = {
        .analysis = analysis,
        .instruction = i,
        .operation = (enum instruction_jump)instruction_operation(i),
        .is_64 = instruction_class(i) == CLASS_JMP,
        .a_reg = instruction_destination(i),
        .b_reg = instruction_uses_source(i) ? (int)instruction_source(i) : -1,
        .b = value_number(scalar_constant((uint64_t)(int64_t)i.immediate)),
    };
    int r = analysis_read(analysis, jump.a_reg);

    if (r == 0 && jump.b_reg >= 0)
        r = analysis_read(analysis, (unsigned)jump.b_reg);
    if (r < 0)
        return r;
    jump.a = *analysis_register(analysis, jump.a_reg);
    if (jump.b_reg >= 0)
        jump.b = *analysis_register(analysis, (unsigned)jump.b_reg);
    return value_is_number(&jump.a) && value_is_number(&jump.b) ? compare_numbers(&jump) : compare_pointers(&jump);
}

int branch_process(struct analysis *analysis)
{
    struct instruction i = analysis_instruction(analysis);

    if (instruction_operation(i) != JUMP_ALWAYS)
        return compare(analysis, i);
    analysis->at += 1 + (uint32_t)instruction_jump_distance(i);
    return ANALYSIS_GOES_ON;
}
