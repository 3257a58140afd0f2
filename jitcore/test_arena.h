/* SPDX-License-Identifier: MIT */
/*
 * What a program's data and maps lie in, as the daemon makes it, in this process and for one program; for tests.  Every
 * memory is between pages that nobody may touch.
 */
#ifndef JITCORE_TEST_ARENA_H
#define JITCORE_TEST_ARENA_H

#include <stddef.h>
#include <stdint.h>

#include "bytecode.h"
#include "linkage.h"
#include "runtime/map.h"
#include "runtime/seat.h"

#define TEST_ARENA_INNER 2      /* maps in each map of maps, for keys 0 and 1 (little endian, behind that zeros) */
#define TEST_ARENA_MAPS (BYTECODE_REGIONS_MAX * (1 + TEST_ARENA_INNER))

struct test_arena {
    uint8_t *base;                              /* of the whole mapping; begins with the room that was asked for */
    size_t size;                                /* bytes */
    uint8_t *counters;                          /* of the one thread (counters.h) */
    struct thread *thread;                      /* in them */
    struct map *map[TEST_ARENA_MAPS];           /* per region: the descriptor, NULL: no map; then the inner maps */
    uint32_t region[TEST_ARENA_MAPS];           /* that describes it */
    uint32_t maps;                              /* regions and inner maps */
    struct map *trace;                          /* ring of trace_print */
    uint8_t *memory[BYTECODE_REGIONS_MAX];  /* per region that programs can change: its bytes, of a map all of them */
    size_t memory_size[BYTECODE_REGIONS_MAX];
};

/*
 * With `room` bytes of address space, whole pages, in front, that nobody may touch yet.  Regions are filled with their
 * contents, maps of maps with maps.  Undo with test_arena_clear().  -ENOMEM; of map_lay_out() with `error`.
 */
int test_arena_new(const struct bytecode *bytecode, size_t room, struct test_arena *ret, struct jit_error *error);

/* What the program takes for the bytes of a region: of an array, its first value.  NULL: constant, or no such bytes. */
uint8_t *test_arena_bytes(const struct test_arena *arena, uint32_t region);

/* A copy of the trace ring's descriptor, for another place: that of the runtime's bytes, or of trace_map. */
void test_arena_copy_trace(const struct test_arena *arena, struct map *to);

/* The services of the process, the same in each run: clocks that advance by a microsecond whenever they are read. */
extern uint64_t (*const test_arena_service[SERVICES])(void);

/*
 * What stands for each native of a program: a + 2b + 3c + 4d + 5e of its arguments, cut to the result's type by whoever
 * calls it.
 * Like the services, it returns TEST_ARENA_MISALIGNED where the stack is not at a multiple of 16 as C has it.
 */
uint64_t test_arena_native(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e);
#define TEST_ARENA_MISALIGNED UINT64_C(0xdeadbeefdeadbeef)

/* What is zeroed is fine. */
void test_arena_clear(struct test_arena *arena);

#endif
