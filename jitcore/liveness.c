/* SPDX-License-Identifier: MIT */
/* Which registers are live: backwards over the function until nothing changes. */

#include "liveness.h"

#include <stdbool.h>
#include <string.h>

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
    case CLASS_LD:
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

/* One pass from the last instruction to the first; did a set of what is live before a jump's target change? */
static bool pass(const struct bytecode *bytecode, const struct bytecode_function *function, uint16_t *after)
{
    uint16_t before = 0;
    bool changed = false;

    for (uint32_t at = function->first + function->count; at-- > function->first;) {
        struct instruction i = bytecode->instruction[at];
        uint16_t live = goes_on(i) ? before : 0;

        if (instruction_is_jump(i)) {
            uint32_t to = at + 1 + (uint32_t)instruction_jump_distance(i);
            struct instruction target = bytecode->instruction[to];

            live |= (uint16_t)((after[to] & ~liveness_writes(target)) | liveness_reads(target));
        }
        changed |= live != after[at];
        after[at] = live;
        /* The second half of an lddw has opcode 0, which reads and writes nothing but R0: it is stepped over. */
        if (at > function->first && instruction_length(bytecode->instruction[at - 1]) == 2)
            before = live;
        else
            before = (uint16_t)((live & ~liveness_writes(i)) | liveness_reads(i));
    }
    return changed;
}

void liveness_of_function(const struct bytecode *bytecode, uint32_t function, uint16_t *ret_after)
{
    const struct bytecode_function *f = &bytecode->function[function];

    memset(&ret_after[f->first], 0, f->count * sizeof(*ret_after));
    while (pass(bytecode, f, ret_after))
        ;
}
