/* SPDX-License-Identifier: MIT */
/* A program that fails, made small. */

#include "minimise.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bytecode_check.h"

static const struct instruction nothing = { .opcode = OPCODE_JUMP_16 };

static bool is_nothing(struct instruction i)
{
    return i.opcode == OPCODE_JUMP_16 && i.offset == 0;
}

/* Take [first, first + count) out.  False, and nothing has changed: that would change nothing. */
static bool take_out(struct instruction *instruction, uint32_t count)
{
    bool changes = false;

    for (uint32_t i = 0; i < count; i++) {
        changes |= !is_nothing(instruction[i]);
        instruction[i] = nothing;
    }
    return changes;
}

void minimise(struct bytecode *bytecode, bool (*fails)(void *userdata, const struct bytecode *bytecode),
              void *userdata)
{
    size_t size = bytecode->instructions * sizeof(struct instruction);
    struct instruction *kept = malloc(size);
    bool smaller = kept != NULL;

    while (smaller) {
        smaller = false;
        for (uint32_t count = bytecode->instructions / 2; count > 0; count /= 2)
            for (uint32_t first = 0; first + count <= bytecode->instructions; first += count) {
                memcpy(kept, bytecode->instruction, size);
                if (take_out(bytecode->instruction + first, count) && bytecode_check(bytecode, NULL) == 0 &&
                    fails(userdata, bytecode))
                    smaller = true;
                else
                    memcpy(bytecode->instruction, kept, size);
            }
    }
    free(kept);
}

void minimise_print(const struct bytecode *bytecode)
{
    for (uint32_t i = 0; i < bytecode->instructions; i++) {
        struct instruction at = bytecode->instruction[i];

        if (!is_nothing(at))
            printf("# %4u %-10s opcode 0x%02x destination R%u source R%u offset %d immediate 0x%x\n", i,
                   instruction_name(at), at.opcode, instruction_destination(at), instruction_source(at), at.offset,
                   (unsigned)at.immediate);
    }
}
