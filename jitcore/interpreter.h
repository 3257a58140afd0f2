/* SPDX-License-Identifier: MIT */
/*
 * An interpreter of the whole instruction set with shadow memory: every byte is known to be initialised or not, and
 * each pointer leads to one memory only.  The oracle of the tests, by another way than the compiler's; workers never
 * run it.
 *
 * Addresses are made up, the same in every run: kind, index and offset of the place are in separate bits, so that a
 * pointer that leaves its memory by any 32-bit distance leads to no other one.  Helpers are the same C functions that
 * programs call in an image, on real memory; each pointer that they get or give is translated, and checked.
 */
#ifndef JITCORE_INTERPRETER_H
#define JITCORE_INTERPRETER_H

#include <stdbool.h>
#include <stdint.h>

#include "bytecode.h"
#include "error.h"
#include "instruction.h"
#include "test_arena.h"

#define INTERPRETER_DEPTH_MAX 8         /* functions on the stack at once */
#define INTERPRETER_MEMORIES_MAX 4      /* besides the regions: context, packet, ... */
#define INTERPRETER_LOOPS_MAX (1u << 23)
#define INTERPRETER_RECORDS_MAX 16      /* that are reserved at once */

struct interpreter;

/* What an address leads to. */
enum interpreter_kind {
    PLACE_NONE,                 /* nothing: a number */
    PLACE_STACK,                /* index: the frame, 0 the program's; offset from the lower end of its stack */
    PLACE_MEMORY,               /* index: into memory[] */
    PLACE_VALUE,                /* index: into arena.map[]; offset: in the value `element`: of an array its index, else
                                   where it begins in the map's memory, in eights of bytes */
    PLACE_MAP,                  /* index: into arena.map[]; the map itself, for helpers */
    PLACE_FUNCTION,             /* index: the function; a callback */
    PLACE_KEY,                  /* index: the frame whose helper gave it to a callback; offset in the key */
};

struct interpreter_place {
    enum interpreter_kind kind;
    uint32_t index;
    uint32_t element;           /* PLACE_VALUE */
    int64_t offset;             /* bytes; may be outside */
};

struct interpreter_memory {
    const char *name;           /* borrowed */
    uint8_t *bytes;
    uint8_t *initialised;       /* per byte, not 0: it is; NULL: all are */
    uint32_t size;              /* bytes */
    bool writable;
};

/* A helper that calls a function again and again: what it does when that returns. */
struct interpreter_loop {
    uint32_t function;          /* the callback */
    uint32_t index, count;      /* calls done, calls at most; count 0: none under way */
    uint64_t context;
    /* Of one that calls it for each element of a map: */
    bool elements;
    uint32_t map;               /* index into arena.map[] */
    struct map_cursor cursor;
    const void *key;            /* of the element at hand */
};

/* A record of a ring that was reserved, and not yet submitted or discarded. */
struct interpreter_record {
    uint32_t map, element;      /* as in its address; */
    uint32_t size;              /* bytes; 0: free */
};

struct interpreter_frame {
    uint32_t at;                /* the instruction that it is at, in the program */
    uint64_t value[INSTRUCTION_REGISTERS];
    uint16_t known;             /* bit n: Rn holds a value */
    _Alignas(8) uint8_t stack[INSTRUCTION_STACK_SIZE];
    uint8_t initialised[INSTRUCTION_STACK_SIZE];
    struct interpreter_loop loop;
};

struct interpreter {
    const struct bytecode *bytecode;            /* borrowed */
    struct interpreter_memory memory[BYTECODE_REGIONS_MAX + INTERPRETER_MEMORIES_MAX];
    uint32_t memories;                          /* the regions come first */
    struct test_arena arena;                    /* what the regions and maps lie in */
    struct interpreter_record record[INTERPRETER_RECORDS_MAX];
    struct interpreter_frame frame[INTERPRETER_DEPTH_MAX];
    uint32_t depth;                             /* frames in use; the last one is running */
    uint64_t steps;                             /* instructions done */
    uint64_t steps_max;
    /* Called before each instruction; NULL: not.  The harness may look at all of this struct. */
    void (*observe)(void *userdata, const struct interpreter *interpreter);
    void *userdata;
    int result;                                 /* negative errno once it has failed */
    struct jit_error *error;
};

/*
 * For one program, with its regions filled with their contents; `steps_max` instructions at most, `observe` NULL.
 * NULL: no memory, or no such maps.
 */
struct interpreter *interpreter_new(const struct bytecode *bytecode, uint64_t steps_max);

/* Memory that the program is given, all initialised; `bytes` are borrowed.  Returns its address. */
uint64_t interpreter_add(struct interpreter *interpreter, const char *name, void *bytes, uint32_t size, bool writable);

/*
 * Run it with R1 and R2.  Changes what it stores into; may be called again.  0 and R0 in *ret, or -EFAULT with `error`;
 * rules: "bounds" (a byte outside all memories), "read-only", "uninitialised" (a register or a byte that nothing was
 * written to), "alignment" (of an atomic), "depth", "steps", "helper" (one that it does not have, or a wrong argument).
 */
int interpreter_run(struct interpreter *interpreter, uint64_t r1, uint64_t r2, uint64_t *ret, struct jit_error *error);

/* What a register's value leads to, if it is an address. */
struct interpreter_place interpreter_find(const struct interpreter *interpreter, uint64_t value);

/* NULL is fine.  Returns NULL. */
struct interpreter *interpreter_free(struct interpreter *interpreter);

#endif
