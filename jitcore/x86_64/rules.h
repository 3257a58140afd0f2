/* SPDX-License-Identifier: MIT */
/*
 * The rules that make better code of a block than one operation an instruction.  Each row of the table (rules.c) is one
 * rule, with what it is for; they run in the table's order over each block, and after some of them what has become dead
 * is dropped.  They rely on what liveness.h, provenance.h and the verifier's marks say, and never change what a program
 * computes, proven or not.
 */
#ifndef JITCORE_X86_64_RULES_H
#define JITCORE_X86_64_RULES_H

#include "operation.h"
#include "../provenance.h"

#define RULES_WINDOW 64         /* instructions that a rule looks back or ahead */

/* What is known of an instruction's operands when it runs. */
struct operand_facts {
    uint32_t number[2];         /* of the destination's value and of the source's; see provenance.h */
    int64_t offset[2];
    bool upper_zero[2];
};

/* A program's operations, and the block that rules look at. */
struct plan {
    const struct verified *verified;
    const struct instruction *instruction;      /* the program's */
    struct operation *operation;        /* per instruction */
    struct operand_facts *facts;        /* per instruction */
    uint16_t *live_after;       /* per instruction: registers, see liveness.h */
    uint32_t first, end;        /* the block: instructions */
};

/* Choose all operations of a program.  *ret is the caller's (free()).  -ENOMEM. */
int rules_apply(const struct verified *verified, struct operation **ret);

/* ---- for rules; places are instructions of the block ---- */

#define NO_PLACE UINT32_MAX

uint16_t plan_reads(const struct plan *plan, uint32_t at);
uint16_t plan_writes(const struct plan *plan, uint32_t at);

/* The last one before `at` that writes the register; NO_PLACE if there is none near. */
uint32_t plan_writer(const struct plan *plan, uint32_t at, unsigned reg);

/* Does one between `after` and `before` (both exclusive) read, or write, a register of the mask? */
bool plan_read_between(const struct plan *plan, uint32_t after, uint32_t before, uint16_t mask);
bool plan_written_between(const struct plan *plan, uint32_t after, uint32_t before, uint16_t mask);

/* Is the register's value behind `at` never read? */
bool plan_dead_after(const struct plan *plan, uint32_t at, unsigned reg);

/* merge.c: loads of bytes, put together, into one load */
void rule_merge_loads(struct plan *plan);

#endif
