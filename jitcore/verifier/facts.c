/* SPDX-License-Identifier: MIT */
/* What the compiler may rely on. */

#include "facts.h"

#include <errno.h>
#include <stdlib.h>

#include "../liveness.h"
#include "../worklist.h"
#include "analysis.h"
#include "inclusion.h"

#define NONE_YET (UINT32_MAX - 1)       /* no region, and no kind of maps: none was seen yet */
#define BIT(n) ((uint16_t)(1u << (n)))
#define ARGUMENTS 0x3e          /* R1 to R5 */
#define PRESERVED 0x3c0         /* R6 to R9 */

/* Of the marks, those that hold until a state is seen in which they do not. */
#define HELD (VERIFIED_SOURCE_32 | VERIFIED_DESTINATION_32 | VERIFIED_NO_WRAP | VERIFIED_ALWAYS | VERIFIED_NEVER)

int facts_init(struct facts *facts, const struct bytecode *bytecode)
{
    *facts = (struct facts){
        .loose = calloc(bytecode->instructions, sizeof(*facts->loose)),
        .linked = calloc(bytecode->instructions, sizeof(*facts->linked)),
        .linked_elsewhere = calloc(bytecode->instructions, sizeof(*facts->linked_elsewhere)),
        .region = malloc(bytecode->instructions * sizeof(*facts->region)),
        .map_kind = malloc(bytecode->instructions * sizeof(*facts->map_kind)),
    };
    if (!facts->loose || !facts->linked || !facts->linked_elsewhere || !facts->region || !facts->map_kind) {
        facts_clear(facts);
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < bytecode->instructions; i++)
        facts->region[i] = facts->map_kind[i] = NONE_YET;
    return 0;
}

void facts_clear(struct facts *facts)
{
    free(facts->loose);
    free(facts->linked);
    free(facts->linked_elsewhere);
    free(facts->region);
    free(facts->map_kind);
    *facts = (struct facts){ 0 };
}

/* ---- while paths are explored ---- */

static uint8_t *mark_at(struct analysis *analysis)
{
    return &analysis->verified.mark[analysis->at];
}

static bool is_32(const struct value *value)
{
    return value_is_number(value) && scalar_is_32(&value->number);
}

static bool can_wrap(struct instruction i)
{
    return instruction_class(i) == CLASS_ALU && instruction_operation(i) != ALU_END &&
           instruction_operation(i) != ALU_MOV;
}

static bool is_conditional(struct instruction i)
{
    return instruction_is_jump(i) && instruction_operation(i) != JUMP_ALWAYS;
}

/* The first time: what this kind of instruction can have. */
static uint8_t marks_of(struct instruction i)
{
    return VERIFIED_REACHED | VERIFIED_SOURCE_32 | VERIFIED_DESTINATION_32 | (can_wrap(i) ? VERIFIED_NO_WRAP : 0) |
           (is_conditional(i) ? VERIFIED_ALWAYS | VERIFIED_NEVER : 0);
}

void facts_note(struct analysis *analysis)
{
    struct instruction i = analysis_instruction(analysis);
    uint8_t *mark = mark_at(analysis);

    if (!*mark)
        *mark = marks_of(i);
    if (!is_32(analysis_register(analysis, instruction_source(i))))
        *mark &= (uint8_t)~VERIFIED_SOURCE_32;
    if (!is_32(analysis_register(analysis, instruction_destination(i))))
        *mark &= (uint8_t)~VERIFIED_DESTINATION_32;
}

/*
 * Of these operations the low half of the 64-bit result is the 32-bit result; the upper half must be zero.  A right
 * shift's amount must be below 32, where both forms shift alike; of a left shift by more nothing is left in either.
 */
static bool wide_is_same(struct instruction i, const struct scalar *a, const struct scalar *b)
{
    struct scalar wide;

    switch (instruction_operation(i)) {
    case ALU_RSH:
        if (b->full.umax >= 32 || !scalar_is_32(a))
            return false;
        break;
    case ALU_DIV:
    case ALU_MOD:
        if (i.offset != 0 || !scalar_is_32(a) || !scalar_is_32(b))
            return false;
        break;
    case ALU_ADD:
    case ALU_SUB:
    case ALU_MUL:
    case ALU_LSH:
    case ALU_OR:
    case ALU_AND:
    case ALU_XOR:
        break;
    default:
        return false;
    }
    wide = scalar_arithmetic(instruction_operation(i), true, false, a, b);
    return scalar_is_32(&wide);
}

void facts_note_wrap(struct analysis *analysis, const struct scalar *a, const struct scalar *b)
{
    uint8_t *mark = mark_at(analysis);

    if (*mark & VERIFIED_NO_WRAP && !wide_is_same(analysis_instruction(analysis), a, b))
        *mark &= (uint8_t)~VERIFIED_NO_WRAP;
}

void facts_note_jump(struct analysis *analysis, bool may_be_taken, bool may_be_not_taken)
{
    if (may_be_not_taken)
        *mark_at(analysis) &= (uint8_t)~VERIFIED_ALWAYS;
    if (may_be_taken)
        *mark_at(analysis) &= (uint8_t)~VERIFIED_NEVER;
}

void facts_note_links(struct analysis *analysis, uint16_t registers, bool elsewhere)
{
    analysis->facts.linked[analysis->at] |= registers;
    analysis->facts.linked_elsewhere[analysis->at] |= elsewhere;
}

static void note_same(uint32_t *seen, uint32_t now, uint32_t several)
{
    *seen = *seen == NONE_YET || *seen == now ? now : several;
}

void facts_note_map(struct analysis *analysis, uint32_t region)
{
    note_same(&analysis->facts.region[analysis->at], region, VERIFIED_NO_REGION);
    note_same(&analysis->facts.map_kind[analysis->at], analysis->bytecode->region[region].map_type, 0);
}

void facts_note_cover(struct analysis *analysis, const struct verifier_state *outer, const struct demand *demand)
{
    struct facts *facts = &analysis->facts;
    struct inclusion_gap gap;

    inclusion_find_gap(&analysis->control, analysis->at, outer, &analysis->state, demand, &gap);
    for (uint32_t f = 0; f < outer->depth; f++)
        facts->loose[f + 1 == outer->depth ? analysis->at : outer->frame[f + 1]->call] |= gap.registers[f];
    facts->loose_slots |= gap.slots;
}

/* ---- in the end ---- */

/*
 * From what was not seen to what is computed from it: `loose` of all instructions, until nothing changes.  Stacks are
 * taken as one: a loose number that is stored anywhere may be loaded anywhere.
 */
struct spread {
    const struct bytecode *bytecode;
    const uint8_t *mark;
    struct facts *facts;
    struct worklist worklist;
    bool returned[BYTECODE_FUNCTIONS_MAX];      /* the function's result is loose */
};

static void add(struct spread *spread, uint32_t at, uint16_t registers)
{
    if (!(registers & ~spread->facts->loose[at]))
        return;
    spread->facts->loose[at] |= registers;
    worklist_put(&spread->worklist, at);
}

static void put_all(struct spread *spread)
{
    for (uint32_t at = spread->bytecode->instructions; at-- > 0;)
        if (spread->mark[at])
            worklist_put(&spread->worklist, at);
}

static void add_slots(struct spread *spread)
{
    if (!spread->facts->loose_slots)
        put_all(spread);
    spread->facts->loose_slots = true;
}

static uint16_t behind_arithmetic(struct instruction i, uint16_t loose)
{
    bool from_source = instruction_uses_source(i) && instruction_operation(i) != ALU_END &&
                       loose & BIT(instruction_source(i));
    bool from_itself = instruction_operation(i) != ALU_MOV && loose & BIT(instruction_destination(i));

    return (uint16_t)((loose & ~BIT(instruction_destination(i))) |
                      (from_source || from_itself ? BIT(instruction_destination(i)) : 0));
}

/* What a jump tells of one operand, and of what is linked to it, comes from the other. */
static uint16_t behind_jump(struct spread *spread, uint32_t at, uint16_t loose)
{
    struct instruction i = spread->bytecode->instruction[at];

    if (!is_conditional(i) || !(liveness_reads(i) & loose))
        return loose;
    if (spread->facts->linked_elsewhere[at])
        add_slots(spread);
    return loose | liveness_reads(i) | spread->facts->linked[at];
}

/* The registers that are loose behind the instruction; of a call, those that stay. */
static uint16_t behind(struct spread *spread, uint32_t at, uint16_t loose)
{
    struct instruction i = spread->bytecode->instruction[at];
    uint16_t kept = (uint16_t)(loose & ~liveness_writes(i));

    if (instruction_is_arithmetic(i))
        return behind_arithmetic(i, loose);
    if (instruction_is_jump(i))
        return behind_jump(spread, at, loose);
    if (instruction_class(i) == CLASS_STX && loose & BIT(instruction_source(i)))
        add_slots(spread);
    if (instruction_class(i) == CLASS_STX || instruction_class(i) == CLASS_LDX)
        return kept | (spread->facts->loose_slots ? liveness_writes(i) : 0);
    return kept;
}

/* A callback gets and gives no number but by the stack. */
static bool is_local_call(struct instruction i)
{
    return i.opcode == OPCODE_CALL && instruction_source(i) == CALL_LOCAL;
}

/* Behind all calls of a function whose result is loose: to be done once for each. */
static void spread_result(struct spread *spread, uint32_t exit)
{
    uint32_t function = bytecode_function_at(spread->bytecode, exit);

    if (spread->returned[function])
        return;
    spread->returned[function] = true;
    for (uint32_t at = 0; at < spread->bytecode->instructions; at++)
        if (spread->mark[at] && is_local_call(spread->bytecode->instruction[at]) &&
            (uint32_t)spread->bytecode->instruction[at].immediate == function)
            add(spread, at + 1, 1);
}

static void spread_instruction(struct spread *spread, uint32_t at)
{
    struct instruction i = spread->bytecode->instruction[at];
    uint16_t loose = spread->facts->loose[at], after = behind(spread, at, loose);

    if (i.opcode == OPCODE_EXIT) {
        if (loose & 1)
            spread_result(spread, at);
        return;
    }
    /* A jump in what is called may have narrowed, by their id, the caller's numbers, no less than those of slots. */
    if (i.opcode == OPCODE_CALL && spread->facts->loose_slots)
        after |= PRESERVED;
    if (is_local_call(i))
        add(spread, spread->bytecode->function[i.immediate].first, loose & ARGUMENTS);
    if (instruction_is_jump(i))
        add(spread, at + 1 + (uint32_t)instruction_jump_distance(i), after);
    if (!instruction_is_jump(i) || is_conditional(i))
        add(spread, at + instruction_length(i), after);
}

static int spread_all(struct analysis *analysis)
{
    struct spread spread = { .bytecode = analysis->bytecode, .mark = analysis->verified.mark,
                             .facts = &analysis->facts };
    uint32_t at;
    int r = worklist_init(&spread.worklist, analysis->bytecode->instructions);

    if (r < 0)
        return r;
    put_all(&spread);
    while (worklist_take(&spread.worklist, &at))
        if (spread.mark[at])
            spread_instruction(&spread, at);
    worklist_clear(&spread.worklist);
    return 0;
}

int facts_complete(struct analysis *analysis)
{
    const struct bytecode *bytecode = analysis->bytecode;
    int r = spread_all(analysis);

    if (r < 0)
        return r;
    for (uint32_t at = 0; at < bytecode->instructions; at += instruction_length(bytecode->instruction[at])) {
        struct instruction i = bytecode->instruction[at];
        bool source = analysis->facts.loose[at] & BIT(instruction_source(i));
        bool destination = analysis->facts.loose[at] & BIT(instruction_destination(i));
        uint8_t *mark = &analysis->verified.mark[at];

        if (source)
            *mark &= (uint8_t)~VERIFIED_SOURCE_32;
        if (destination)
            *mark &= (uint8_t)~VERIFIED_DESTINATION_32;
        if (source || destination)
            *mark &= (uint8_t)~VERIFIED_NO_WRAP;
        if (*mark && analysis->facts.region[at] != NONE_YET) {
            analysis->verified.region[at] = analysis->facts.region[at];
            analysis->verified.map_kind[at] = analysis->facts.map_kind[at];
        }
    }
    return 0;
}
