/* SPDX-License-Identifier: MIT */
/*
 * The table of helpers: functions that a program may call by number, with the types of their arguments and of their
 * result, and what runs when they are called.  Numbers and semantics are the kernel's (include/uapi/linux/bpf.h).  A
 * new helper is one row; kinds of maps are rows of map.c.
 */
#ifndef JITCORE_HELPER_H
#define JITCORE_HELPER_H

#include <stdbool.h>
#include <stdint.h>

#include "linkage.h"
#include "runtime/functions.h"

enum helper_argument {
    ARGUMENT_NONE,              /* no more arguments */
    ARGUMENT_SCALAR,
    ARGUMENT_MAP,               /* a map itself (lddw, source 1) */
    ARGUMENT_MAP_KEY,           /* readable memory of the map's key size */
    ARGUMENT_MAP_VALUE,         /* readable memory of the map's value size */
    ARGUMENT_MAP_VALUE_WRITE,   /* memory of the map's value size, to be written */
    ARGUMENT_MEMORY,            /* readable memory, as many bytes as the next argument says */
    ARGUMENT_MEMORY_WRITE,      /* memory to be written, likewise */
    ARGUMENT_SIZE,              /* bytes of the argument before; may not be 0 */
    ARGUMENT_SIZE_OR_ZERO,
    ARGUMENT_CALLBACK,          /* lddw, source 4 */
    ARGUMENT_CALLBACK_CONTEXT,  /* pointer to the caller's stack, or a scalar 0 */
    ARGUMENT_ALLOCATED,         /* memory that a helper gave and that this one takes back */
    ARGUMENT_TEXT,              /* constant text that ends with a NUL */
    ARGUMENT_OPTIONAL,          /* a number; where it does not count (trace_printk without %), anything */
};

enum helper_result {
    RESULT_SCALAR,
    RESULT_MAP_VALUE_OR_NULL,
    RESULT_MEMORY_OR_NULL,      /* as many bytes as the second argument, a constant, says; to be given back */
};

struct helper {
    const char *name;           /* "map_lookup_elem" */
    uint8_t argument[5];        /* enum helper_argument */
    uint8_t result;             /* enum helper_result */
    uint8_t callback;           /* what a callback argument gets: enum helper_callback; 0 without one */
    bool changes_map;           /* so not a map that programs may only read */
};

enum helper_callback {
    CALLBACK_NONE,
    CALLBACK_LOOP,              /* long (*)(u32 or u64 index, void *context): bpf_loop */
    CALLBACK_MAP_ELEMENT,       /* long (*)(map, key, value, void *context): bpf_for_each_map_elem */
};

#define HELPER_MAP_LOOKUP 1
#define HELPER_FOR_EACH 164
#define HELPER_LOOP 181

/* NULL: there is none with this number.  That a back end has code for it is the back end's matter. */
const struct helper *helper_find(int32_t number);

/* May it be called with maps of this kind (enum bpf_map_type)? */
bool helper_takes_map(int32_t number, uint32_t kind);

/*
 * What runs when it is called with a map of this kind (0 for helpers without a map): a function of the runtime
 * (RUNTIME_NONE: none), or of the process (-1: none).  Neither: it is code in place.
 */
enum runtime_function helper_runtime(int32_t number, uint32_t kind);
int helper_service(int32_t number);

/* "hash"; "unknown" if there are no such maps. */
const char *helper_map_name(uint32_t kind);

/* What the kernel calls this number, for messages; NULL if unknown. */
const char *helper_name(int32_t number);

#endif
