/* SPDX-License-Identifier: MIT */
/*
 * What the verifier knows of a register, or of eight bytes of stack: its type, and for that type the rest.
 *
 * A pointer is the start of its object + `offset` + `number`, in bytes: a fixed part and a variable one.  Addresses
 * themselves are never known.
 */
#ifndef JITCORE_VERIFIER_VALUE_H
#define JITCORE_VERIFIER_VALUE_H

#include <stdbool.h>
#include <stdint.h>

#include "../bytecode.h"
#include "scalar.h"

/* A pointer's fixed part and its variable part each stay within this, so that no address wraps around.  Bytes. */
#define VALUE_OFFSET_MAX (1 << 29)

enum value_type {
    VALUE_NOT_INIT,             /* nothing was written: may not be read */
    VALUE_SCALAR,               /* a number: `number` */
    VALUE_CTX,                  /* the hook's context */
    VALUE_STACK,                /* the stack of frame `frame`; the object starts at that frame's R10 */
    VALUE_MAP,                  /* a map itself, for helpers: `region`, or one that is like it (REGION_INNER) */
    VALUE_MAP_OR_NULL,          /* the same, or NULL: from a map of maps */
    VALUE_MAP_VALUE,            /* `size` bytes of region `region`: an element, or all of it */
    VALUE_MAP_VALUE_OR_NULL,    /* the same, or NULL */
    VALUE_MEMORY,               /* `size` bytes of other memory; with an `id`, to be given back */
    VALUE_MEMORY_OR_NULL,       /* the same, or NULL */
    VALUE_PACKET,               /* the packet; `range` bytes behind the variable part are there */
    VALUE_PACKET_END,           /* where the packet ends */
    VALUE_FUNCTION,             /* a callback: `region` is the function's index */
};

struct value {
    uint8_t type;               /* enum value_type */
    uint8_t frame;              /* VALUE_STACK; of VALUE_MEMORY the one that it is for, 0: it outlives all frames */
    bool read_only;             /* VALUE_MEMORY */
    /*
     * Values with one id were copied from one.  Numbers: they differ by their `delta` alone, modulo 2^64.
     * MAP_OR_NULL, MAP_VALUE_OR_NULL, MEMORY_OR_NULL: if one is NULL, all are.  PACKET: the variable parts are the
     * same.  0: none.
     */
    uint32_t id;
    int32_t delta;
    uint32_t region, size;
    int32_t offset;
    uint32_t range;
    struct scalar number;
};

/* A number that has this range, without an id. */
struct value value_number(struct scalar number);
struct value value_unknown(void);

/* A pointer to the start of an object. */
struct value value_pointer(enum value_type type);

static inline bool value_is_number(const struct value *value)
{
    return value->type == VALUE_SCALAR;
}

static inline bool value_is_pointer(const struct value *value)
{
    return value->type > VALUE_SCALAR;
}

static inline bool value_is_or_null(const struct value *value)
{
    return value->type == VALUE_MAP_OR_NULL || value->type == VALUE_MAP_VALUE_OR_NULL ||
           value->type == VALUE_MEMORY_OR_NULL;
}

/* Is this the number 0, alone? */
bool value_is_zero(const struct value *value);

/* The lowest and highest offset that a pointer may have, bytes. */
static inline int64_t value_lowest(const struct value *value)
{
    return value->offset + value->number.full.smin;
}

static inline int64_t value_highest(const struct value *value)
{
    return value->offset + value->number.full.smax;
}

/* "a pointer to the stack", ... */
const char *value_type_name(enum value_type type);

/* Writes "0..255", "stack-16", "packet+14+0..60 (range 80)", ... and returns `buffer`. */
#define VALUE_FORMAT_SIZE (SCALAR_FORMAT_SIZE + BYTECODE_NAME_MAX + 128)
const char *value_format(const struct value *value, const struct bytecode *bytecode, char buffer[VALUE_FORMAT_SIZE]);

#endif
