/* SPDX-License-Identifier: MIT */
/*
 * A program under construction: the instructions so far, and what each register and each spill slot holds at this
 * point.  In a loop nothing may change from a pointer to a number or back, so that each round finds what the first one
 * found.
 *
 * Each function's stack: R10 - array_size .. R10 is an array, initialised at the entry, that holds numbers for good;
 * below it lie spill slots of 8 bytes.
 */
#ifndef TESTS_GENERATE_BUILDER_H
#define TESTS_GENERATE_BUILDER_H

#include "instruction.h"
#include "program.h"

#define BUILDER_INSTRUCTIONS_MAX 4096
#define BUILDER_FUNCTIONS_MAX 5
#define BUILDER_SPILLS 4
#define BUILDER_LOOPS_MAX 2
#define BUILDER_KINDS_MAX 16
#define STACK_POINTER 10
#define NO_REGISTER (-1)

enum value_kind { HOLDS_NOTHING, HOLDS_NUMBER, HOLDS_POINTER };

/* A pointer may be used for bytes [low, high) from where it points. */
struct value {
    uint8_t kind;               /* enum value_kind */
    bool writable;
    bool atomics;               /* atomic operations may be done there */
    bool fields;                /* a context: whole fields of 8 bytes only, none computed */
    uint8_t alignment;          /* 8 or 1 */
    int32_t low, high;
};

struct state {
    struct value reg[INSTRUCTION_REGISTERS];
    struct value spill[BUILDER_SPILLS];
};

/* The last two: of callbacks that get elements of maps. */
enum parameter {
    PARAMETER_NONE, PARAMETER_NUMBER, PARAMETER_STACK, PARAMETER_DATA, PARAMETER_KEY, PARAMETER_VALUE,
};

#define PARAMETER_BYTES 16      /* that a pointer parameter leads to */

struct function {
    uint32_t first, count;
    uint8_t parameter[5];       /* enum parameter */
    uint8_t callback;           /* enum helper_callback: what it gets; returns 0 or 1 */
};

struct builder {
    struct random random;
    const struct generate_options *options;
    struct generate_features features;
    struct instruction code[BUILDER_INSTRUCTIONS_MAX];
    uint32_t count;
    struct function function[BUILDER_FUNCTIONS_MAX];
    uint32_t functions;
    uint32_t current;           /* the function being built */
    int32_t array_size;         /* bytes, a multiple of 8 */
    struct state now;
    const struct state *loop[BUILDER_LOOPS_MAX];        /* states at the beginning of the loops around */
    unsigned loops;
    uint16_t locked;            /* bit n: Rn counts a loop */
    uint8_t statement_taste[BUILDER_KINDS_MAX], construct_taste[BUILDER_KINDS_MAX];     /* factors of their weights */
};

/* The regions of every program; the next if options->hash; the others if options->maps. */
enum {
    REGION_OF_DATA, REGION_OF_CONSTANTS, REGION_OF_ARRAY,
    REGION_OF_HASH,             /* with options->maps of any kind that has keys */
    REGION_OF_RING, REGION_OF_QUEUE, REGION_OF_OUTER, REGION_OF_INNER, REGIONS,
};
#define DATA_SIZE 64            /* bytes */
#define CONSTANTS_SIZE 32
#define KEY_SIZE 4              /* bytes that all keys have */
#define VALUE_SIZE 24           /* bytes, of all maps */
#define ENTRIES 5               /* likewise */
#define BUILDER_NATIVES 3       /* if options->maps */

/* ---- instructions ---- */

void build(struct builder *b, uint8_t opcode, int destination, int source, int32_t offset, int32_t immediate);
void build_move(struct builder *b, int destination, int source);
void build_number(struct builder *b, int destination, uint64_t number);
/* Pointer to a region (lddw, source 2) or to a function (source 4). */
void build_wide(struct builder *b, int destination, enum instruction_wide kind, int32_t index, int32_t offset);

/* A forward jump that is given its target later: builder_land(b, builder_jump(...)). */
uint32_t build_jump(struct builder *b, uint8_t opcode, int destination, int source, int32_t immediate);
void build_land(struct builder *b, uint32_t jump);

/* ---- registers ---- */

/* A register with a number; makes one if there is none.  Always succeeds. */
int builder_number(struct builder *b);

/* A register that may be given a number or a pointer here, not in `except` (a mask); NO_REGISTER if there is none. */
int builder_target(struct builder *b, enum value_kind kind, uint16_t except);

/* A register with a pointer to at least `size` bytes; R10 at worst. */
int builder_pointer(struct builder *b, int32_t size, bool writable);

void builder_set_number(struct builder *b, int number);
void builder_set_pointer(struct builder *b, int number, struct value value);

/* Another way leads here too, on which this is what is held: what differs is nothing. */
void builder_join(struct builder *b, const struct state *other);

/* ---- statements ---- */

/* One of so many kinds: its weight times its factor, by chance; the first one if all are 0. */
uint32_t builder_choose(struct builder *b, const uint8_t *weight, const uint8_t *taste, uint32_t kinds);

/* One statement without control flow. */
void build_statement(struct builder *b);

/* Access to memory through `pointer`, which is within bounds: a load, a store or an atomic. */
void build_access(struct builder *b, int pointer);

/* Arithmetic on a register with a number. */
void build_arithmetic(struct builder *b, int destination);

/* A conditional jump over what follows, on a number. */
uint32_t build_condition(struct builder *b);

/* ---- calls of helpers: maps.c ---- */

/* What a call leaves behind: R0 is a number, R1 to R5 are nothing. */
void builder_clobber(struct builder *b);

/* A pointer to `size` bytes of the array on the stack. */
void build_stack_pointer(struct builder *b, int target, int32_t size);

/* A callback of this kind (enum helper_callback) behind this function; b->functions: there is none. */
uint32_t builder_callback(const struct builder *b, uint8_t kind);

/* The region that is a map, and the native, of this index.  All kinds of maps if `all`. */
void builder_describe_map(struct bytecode_region *region, int index, bool all, struct random *random);
void builder_describe_native(struct bytecode_native *native, uint32_t index);

void build_lookup(struct builder *b);
void build_change(struct builder *b);           /* of a map with keys */
void build_inner(struct builder *b);            /* a map of maps, and what is found there */
void build_elements(struct builder *b);         /* bpf_for_each_map_elem() */
void build_record(struct builder *b);           /* a ring's: reserved, written, and given back */
void build_native(struct builder *b);
void build_helper(struct builder *b);           /* one of the others that take memory */

#endif
