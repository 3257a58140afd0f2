/* SPDX-License-Identifier: MIT */
/* What is proven of a program. */

#include "verified.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int verified_new(const struct bytecode *bytecode, struct verified *ret)
{
    struct verified verified = {
        .bytecode = bytecode,
        .mark = calloc(bytecode->instructions, sizeof(*verified.mark)),
        .region = malloc(bytecode->instructions * sizeof(*verified.region)),
        .map_kind = calloc(bytecode->instructions, sizeof(*verified.map_kind)),
        .stack = calloc(bytecode->functions, sizeof(*verified.stack)),
    };

    if (!verified.mark || !verified.region || !verified.map_kind || !verified.stack) {
        verified_clear(&verified);
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < bytecode->instructions; i++)
        verified.region[i] = VERIFIED_NO_REGION;
    *ret = verified;
    return 0;
}

int verified_assume(const struct bytecode *bytecode, struct verified *ret)
{
    int r = verified_new(bytecode, ret);

    if (r < 0)
        return r;
    memset(ret->mark, VERIFIED_REACHED, bytecode->instructions);
    for (uint32_t i = 0; i < bytecode->functions; i++)
        ret->stack[i] = INSTRUCTION_STACK_SIZE;
    return 0;
}

void verified_clear(struct verified *verified)
{
    free(verified->mark);
    free(verified->region);
    free(verified->map_kind);
    free(verified->stack);
    *verified = (struct verified){ 0 };
}
