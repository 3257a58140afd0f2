/* SPDX-License-Identifier: MIT */
/*
 * What registers hold, followed through a block (instructions that run one after the other): which hold the same value
 * or one at a known distance from it, which hold bytes of memory at which places, and of which the upper half is zero.
 * No processor is assumed.
 *
 * A value is a number plus an offset.  Equal numbers mean equal values in the block; what they are is not known, but
 * that 0 is zero.
 */
#ifndef JITCORE_PROVENANCE_H
#define JITCORE_PROVENANCE_H

#include <stdbool.h>
#include <stdint.h>

#include "verified.h"

enum value_byte {
    BYTE_UNKNOWN,
    BYTE_ZERO,
    BYTE_LOADED,                /* from memory, at value_bytes.offset */
};

struct value_bytes {
    uint8_t kind[8];            /* enum value_byte, the least significant first */
    int32_t offset[8];          /* BYTE_LOADED: where, counted from `base` */
    uint32_t base;              /* a value's number */
    uint32_t memory;            /* how often memory may have changed before they were loaded */
    uint32_t first, last;       /* the loads: instructions */
};

struct value {
    uint32_t number;
    int64_t offset;
    struct value_bytes bytes;
};

#define VALUE_ZERO 0            /* the number of zero: constants are offsets from it */

#define VALUE_EXPRESSIONS 64    /* remembered; older ones are forgotten */

struct value_expression {
    struct instruction instruction;     /* without registers */
    uint32_t number[2];
    int64_t offset[2];
    uint32_t result;
};

struct values {
    struct value reg[INSTRUCTION_REGISTERS];
    uint32_t memory;            /* how often memory may have changed */
    uint32_t next;              /* number without a value so far */
    struct value_expression expression[VALUE_EXPRESSIONS];
    uint32_t expressions;       /* all that there were */
};

/* At a block's beginning nothing is known. */
void values_begin(struct values *values);

/* Follow one instruction. */
void values_step(struct values *values, const struct verified *verified, uint32_t at);

/* Are bits 32 to 63 zero? */
bool value_upper_zero(const struct value *value);

#endif
