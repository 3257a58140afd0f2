/* SPDX-License-Identifier: MIT */
/* Which registers are live: backwards, until nothing changes. */

#include "liveness.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "worklist.h"

#define ARGUMENTS 0x3e          /* R1 to R5 */
#define RESULT 0x01             /* R0 */

static uint16_t arithmetic_reads(struct instruction i)
{
    unsigned operation = instruction_operation(i);
    uint16_t source = instruction_uses_source(i) && operation != ALU_END ? register_bit(instruction_source(i)) : 0;

    return operation == ALU_MOV ? source : source | register_bit(instruction_destination(i));
}

static uint16_t jump_reads(struct instruction i)
{
    if (i.opcode == OPCODE_CALL)
        return ARGUMENTS;
    if (i.opcode == OPCODE_EXIT)
        return RESULT;
    if (instruction_operation(i) == JUMP_ALWAYS)
        return 0;
    return register_bit(instruction_destination(i)) |
           (instruction_uses_source(i) ? register_bit(instruction_source(i)) : 0);
}

static uint16_t store_reads(struct instruction i)
{
    uint16_t compared = instruction_is_atomic(i) && i.immediate == ATOMIC_COMPARE_EXCHANGE ? RESULT : 0;

    return register_bit(instruction_destination(i)) | register_bit(instruction_source(i)) | compared;
}

uint16_t liveness_reads(struct instruction i)
{
    switch (instruction_class(i)) {
    case CLASS_LD:
        return 0;
    case CLASS_LDX:
        return register_bit(instruction_source(i));
    case CLASS_ST:
        return register_bit(instruction_destination(i));
    case CLASS_STX:
        return store_reads(i);
    case CLASS_ALU:
    case CLASS_ALU64:
        return arithmetic_reads(i);
    case CLASS_JMP:
    case CLASS_JMP32:
        return jump_reads(i);
    }
    return 0;
}

uint16_t liveness_writes(struct instruction i)
{
    switch (instruction_class(i)) {
    case CLASS_LD:              /* not the second half of an lddw, which has opcode 0 */
        return i.opcode == OPCODE_LOAD_64 ? register_bit(instruction_destination(i)) : 0;
    case CLASS_LDX:
    case CLASS_ALU:
    case CLASS_ALU64:
        return register_bit(instruction_destination(i));
    case CLASS_STX:
        if (!instruction_is_atomic(i) || !(i.immediate & ATOMIC_FETCH))
            return 0;
        return i.immediate == ATOMIC_COMPARE_EXCHANGE ? RESULT : register_bit(instruction_source(i));
    case CLASS_JMP:
    case CLASS_JMP32:
        return i.opcode == OPCODE_CALL ? ARGUMENTS | RESULT : 0;
    case CLASS_ST:
        return 0;
    }
    return 0;
}

static bool goes_on(struct instruction i)
{
    return i.opcode != OPCODE_EXIT && i.opcode != OPCODE_JUMP_16 && i.opcode != OPCODE_JUMP_32;
}

/* ---- backwards ---- */

#define NO_JUMP UINT32_MAX

/* The jumps that lead to each instruction: the first one, and for each jump the next one that leads there. */
struct jumps {
    uint32_t *first, *next;
};

static uint32_t target(const struct bytecode *bytecode, uint32_t at)
{
    return at + 1 + (uint32_t)instruction_jump_distance(bytecode->instruction[at]);
}

static void jumps_clear(struct jumps *jumps)
{
    free(jumps->first);
    free(jumps->next);
}

static int jumps_init(struct jumps *jumps, const struct bytecode *bytecode)
{
    *jumps = (struct jumps){
        .first = malloc(bytecode->instructions * sizeof(*jumps->first)),
        .next = malloc(bytecode->instructions * sizeof(*jumps->next)),
    };
    if (!jumps->first || !jumps->next) {
        jumps_clear(jumps);
        return -ENOMEM;
    }
    for (uint32_t at = 0; at < bytecode->instructions; at++)
        jumps->first[at] = NO_JUMP;
    for (uint32_t at = 0; at < bytecode->instructions; at++)
        if (instruction_is_jump(bytecode->instruction[at])) {
            jumps->next[at] = jumps->first[target(bytecode, at)];
            jumps->first[target(bytecode, at)] = at;
        }
    return 0;
}

static uint16_t behind(const struct bytecode *bytecode, const uint16_t *before, uint32_t at)
{
    struct instruction i = bytecode->instruction[at];
    uint16_t live = goes_on(i) ? before[at + 1] : 0;

    return instruction_is_jump(i) ? live | before[target(bytecode, at)] : live;
}

/* All from which this one is reached are to be looked at again. */
static void put_predecessors(struct worklist *worklist, const struct bytecode *bytecode, const struct jumps *jumps,
                             uint32_t at)
{
    if (at > 0 && goes_on(bytecode->instruction[at - 1]))
        worklist_put(worklist, at - 1);
    for (uint32_t from = jumps->first[at]; from != NO_JUMP; from = jumps->next[from])
        worklist_put(worklist, from);
}

int liveness_of_program(const struct bytecode *bytecode, uint16_t *ret_before, uint16_t *ret_behind)
{
    struct worklist worklist;
    struct jumps jumps;
    uint32_t at;
    int r = worklist_init(&worklist, bytecode->instructions);

    if (r < 0)
        return r;
    r = jumps_init(&jumps, bytecode);
    if (r < 0) {
        worklist_clear(&worklist);
        return r;
    }
    for (at = 0; at < bytecode->instructions; at++) {
        ret_before[at] = 0;
        worklist_put(&worklist, at);            /* the last one is looked at first */
    }
    while (worklist_take(&worklist, &at)) {
        struct instruction i = bytecode->instruction[at];
        uint16_t before;

        ret_behind[at] = behind(bytecode, ret_before, at);
        before = (uint16_t)((ret_behind[at] & ~liveness_writes(i)) | liveness_reads(i));
        if (before == ret_before[at])
            continue;
        ret_before[at] = before;
        put_predecessors(&worklist, bytecode, &jumps, at);
    }
    jumps_clear(&jumps);
    worklist_clear(&worklist);
    return 0;
}
