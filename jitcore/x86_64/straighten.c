/* SPDX-License-Identifier: MIT */
/*
 * Jumps that code laid out in the program's order does not need: to what comes next anyway, and those that a
 * conditional jump leads around, which the opposite condition makes needless.
 */

#include <errno.h>
#include <stdlib.h>

#include "operation.h"

struct straightening {
    const struct verified *verified;
    struct operation *operation;
    uint32_t *next;             /* per instruction: the first one from there on that code is emitted for */
    bool *landed;               /* per instruction: a jump or a call leads there */
};

static bool is_jump(const struct operation *o)
{
    return o->kind == OPERATION_INSTRUCTION && instruction_is_jump(o->instruction);
}

static bool is_proven(const struct straightening *s, uint32_t at, enum verified_mark mark)
{
    return (s->verified->mark[at] & (VERIFIED_ALWAYS | VERIFIED_NEVER)) == mark;
}

static bool is_unconditional(const struct straightening *s, uint32_t at)
{
    return is_jump(&s->operation[at]) &&
           (instruction_operation(s->operation[at].instruction) == JUMP_ALWAYS || is_proven(s, at, VERIFIED_ALWAYS));
}

static bool is_conditional(const struct straightening *s, uint32_t at)
{
    return instruction_operation(s->operation[at].instruction) != JUMP_ALWAYS &&
           !(s->verified->mark[at] & (VERIFIED_ALWAYS | VERIFIED_NEVER));
}

static void find_targets(const struct straightening *s)
{
    const struct bytecode *bytecode = s->verified->bytecode;

    for (uint32_t f = 0; f < bytecode->functions; f++)
        s->landed[bytecode->function[f].first] = true;
    for (uint32_t at = 0; at < bytecode->instructions; at++) {
        struct operation *o = &s->operation[at];

        if (!is_jump(o))
            continue;
        o->target = at + 1 + (uint32_t)instruction_jump_distance(o->instruction);
        s->landed[o->target] = true;
    }
}

/* Does a jump lead between the two, or to the second one? */
static bool is_landed_between(const struct straightening *s, uint32_t after, uint32_t at)
{
    while (at > after && !s->landed[at])
        at--;
    return at > after;
}

/* `if c goto L; goto M; L:` is `if not c goto M; L:`. */
static void invert(const struct straightening *s, uint32_t at)
{
    struct operation *o = &s->operation[at];
    uint32_t around = s->next[at + 1];

    if (around == s->verified->bytecode->instructions || !is_unconditional(s, around) ||
        o->target <= around || s->next[around + 1] != s->next[o->target] || is_landed_between(s, at, around))
        return;
    o->inverted = true;
    o->target = s->operation[around].target;
    s->operation[around].kind = OPERATION_NOTHING;
}

/* What is proven to be never taken is nothing; where both are proven nobody comes, and that is not nothing. */
static void straighten(const struct straightening *s, uint32_t at)
{
    struct operation *o = &s->operation[at];

    if (is_proven(s, at, VERIFIED_ALWAYS | VERIFIED_NEVER))
        return;
    if (is_proven(s, at, VERIFIED_NEVER) || (o->target > at && s->next[o->target] == s->next[at + 1]))
        o->kind = OPERATION_NOTHING;
    else if (is_conditional(s, at))
        invert(s, at);
}

int x86_64_straighten(const struct verified *verified, struct operation *operation)
{
    uint32_t instructions = verified->bytecode->instructions;
    struct straightening s = {
        .verified = verified,
        .operation = operation,
        .next = calloc(instructions + 1ul, sizeof(*s.next)),
        .landed = calloc(instructions + 1ul, sizeof(*s.landed)),
    };
    int r = s.next && s.landed ? 0 : -ENOMEM;

    if (r == 0) {
        find_targets(&s);
        s.next[instructions] = instructions;
        for (uint32_t at = instructions; at-- > 0;) {
            if (is_jump(&operation[at]))
                straighten(&s, at);
            s.next[at] = operation[at].kind == OPERATION_NOTHING ? s.next[at + 1] : at;
        }
    }
    free(s.next);
    free(s.landed);
    return r;
}
