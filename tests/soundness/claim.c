/* SPDX-License-Identifier: MIT */
/* What the verifier tells the compiler, against what happens. */

#include "claim.h"

#include <stdio.h>

#include "helper.h"
#include "liveness.h"
#include "semantics.h"

struct moment {
    const struct verified *verified;
    const struct interpreter *interpreter;
    const struct interpreter_frame *frame;
    struct instruction instruction;
    uint8_t mark;
};

static bool is_wide(const struct moment *moment, unsigned reg)
{
    return liveness_reads(moment->instruction) >> reg & 1 && moment->frame->known >> reg & 1 &&
           moment->frame->value[reg] >> 32;
}

static uint64_t source_of(const struct moment *moment)
{
    return instruction_uses_source(moment->instruction) ?
               moment->frame->value[instruction_source(moment->instruction)] : 0;
}

/* The 64-bit operation has the 32-bit one's result. */
static bool is_same_wide(const struct moment *moment)
{
    struct instruction wide = moment->instruction;
    uint64_t a = moment->frame->value[instruction_destination(wide)], b = source_of(moment);

    wide.opcode |= CLASS_ALU64;
    return semantics_arithmetic(moment->instruction, a, b) == semantics_arithmetic(wide, a, b);
}

static bool is_taken(const struct moment *moment)
{
    return semantics_condition(moment->instruction,
                               moment->frame->value[instruction_destination(moment->instruction)], source_of(moment));
}

static bool is_other_map(const struct moment *moment)
{
    uint32_t region = moment->verified->region[moment->frame->at];
    struct interpreter_place place = interpreter_find(moment->interpreter, moment->frame->value[1]);

    return moment->instruction.opcode == OPCODE_CALL && instruction_source(moment->instruction) == CALL_HELPER &&
           moment->instruction.immediate == HELPER_MAP_LOOKUP && region != VERIFIED_NO_REGION &&
           (place.kind != PLACE_MAP || moment->interpreter->arena.region[place.index] != region);
}

/* An access below what the function is said to use of its stack. */
static bool is_below_stack(const struct moment *moment)
{
    struct instruction i = moment->instruction;
    bool load = instruction_class(i) == CLASS_LDX;
    uint64_t pointer = moment->frame->value[load ? instruction_source(i) : instruction_destination(i)];
    struct interpreter_place place = interpreter_find(moment->interpreter, pointer + (uint64_t)i.offset);
    uint32_t function;

    if ((!load && instruction_class(i) != CLASS_ST && instruction_class(i) != CLASS_STX) || place.kind != PLACE_STACK)
        return false;
    function = bytecode_function_at(moment->verified->bytecode, moment->interpreter->frame[place.index].at);
    return INSTRUCTION_STACK_SIZE - place.offset > moment->verified->stack[function];
}

static const char *find_lie(const struct moment *moment)
{
    if (!(moment->mark & VERIFIED_REACHED))
        return "it is said not to be reached";
    if (moment->mark & VERIFIED_SOURCE_32 && is_wide(moment, instruction_source(moment->instruction)))
        return "the source is said to have 32 bits";
    if (moment->mark & VERIFIED_DESTINATION_32 && is_wide(moment, instruction_destination(moment->instruction)))
        return "the destination is said to have 32 bits";
    if (moment->mark & VERIFIED_NO_WRAP && !is_same_wide(moment))
        return "it is said not to wrap";
    if (moment->mark & VERIFIED_ALWAYS && !is_taken(moment))
        return "the jump is said to be always taken";
    if (moment->mark & VERIFIED_NEVER && is_taken(moment))
        return "the jump is said to be never taken";
    if (is_other_map(moment))
        return "the map is not the one that it is said to be";
    if (is_below_stack(moment))
        return "the function is said to use less stack";
    return NULL;
}

bool claim_holds(const struct verified *verified, const struct interpreter *interpreter, char *reason, size_t size)
{
    const struct interpreter_frame *frame = &interpreter->frame[interpreter->depth - 1];
    const struct moment moment = { verified, interpreter, frame, verified->bytecode->instruction[frame->at],
                                   verified->mark[frame->at] };
    const char *lie = find_lie(&moment);

    if (lie)
        snprintf(reason, size, "%s", lie);
    return !lie;
}

/* The marks that tell the compiler something of this instruction. */
static uint8_t telling(struct instruction i)
{
    uint8_t marks = VERIFIED_NO_WRAP | VERIFIED_ALWAYS | VERIFIED_NEVER;

    if (i.opcode == OPCODE_EXIT || i.opcode == OPCODE_CALL)
        return 0;
    if (liveness_reads(i) >> instruction_source(i) & 1)
        marks |= VERIFIED_SOURCE_32;
    if (liveness_reads(i) >> instruction_destination(i) & 1)
        marks |= VERIFIED_DESTINATION_32;
    return marks;
}

bool claim_compare(const struct verified *verified, const struct verified *exact, char *reason, size_t size)
{
    const struct bytecode *bytecode = verified->bytecode;

    for (uint32_t at = 0; at < bytecode->instructions; at += instruction_length(bytecode->instruction[at])) {
        uint8_t more = verified->mark[at] & ~exact->mark[at] & telling(bytecode->instruction[at]);

        if (!(verified->mark[at] & exact->mark[at] & VERIFIED_REACHED) || !more)
            continue;
        snprintf(reason, size, "instruction %u: marks %#x do not hold for all numbers", at, more);
        return false;
    }
    return true;
}
