/* SPDX-License-Identifier: MIT */
/*
 * The linkage: stubs through which code of an image reaches what each process has at an address of its own.  It
 * lies at a fixed distance from the image, and reads where to go from words of data at another, which each process
 * fills for itself.
 *
 *      counters stub   answers in r11 with the address of the thread's counters (counters.h)
 *      services        functions of the process that programs' helpers need: called as C functions
 *      stubs           one for each index, of LINKAGE_STUB_SIZE, with two entries:
 *          +0          jumps to its word's target.  Word 0: tells `resolve` which word it is, and its index
 *          +LEAVING    the same by way of `leave`, which leaves the guard before it jumps to the target
 *
 * Stubs keep all registers that carry arguments and results, and the stack.
 */
#ifndef JITCORE_LINKAGE_H
#define JITCORE_LINKAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "emitter.h"

#define LINKAGE_COUNTERS 0      /* byte offset of the counters stub */
#define LINKAGE_SERVICES 80     /* of the first service's stub */
#define LINKAGE_SERVICE_SIZE 16
#define LINKAGE_STUBS 128       /* of the first stub */
#define LINKAGE_STUB_SIZE 64
#define LINKAGE_LEAVING 40      /* from a stub's entry to its other one */

/* Functions of each process without arguments; each has a word of data with its address. */
enum linkage_service {
    SERVICE_CLOCK,              /* uint64_t: nanoseconds of CLOCK_MONOTONIC */
    SERVICE_BOOT_CLOCK,         /* uint64_t: of CLOCK_BOOTTIME */
    SERVICE_PROCESSOR,          /* uint32_t: the number of the processor that runs the thread */
    SERVICES,
};

_Static_assert(LINKAGE_SERVICES + SERVICES * LINKAGE_SERVICE_SIZE <= LINKAGE_STUBS, "they do not overlap");

/* Places are offsets, as the emitter's position is one.  Each is that of eight bytes of data. */
struct linkage {
    uint64_t counters;          /* a distance from the thread pointer: there is the address of the thread's counters */
    uint64_t resolve, leave;    /* addresses to jump to with a stub's index in eax, its word's address in r10 */
    uint64_t service;           /* of the first of SERVICES words: their addresses */
    uint64_t target;            /* of the first of `stubs` words: where stubs lead, 0: ask */
    size_t stubs;
    bool no_indirect;           /* through a return thunk in the place of each indirect jump */
};

static inline size_t linkage_size(size_t stubs)
{
    return LINKAGE_STUBS + stubs * LINKAGE_STUB_SIZE;
}

#endif
